"""A shard's records as COCO: instances whose category is the head noun, and captions. Pure; knows no file.

Identifiers are functions of the image's key and of the noun, so that the files of several shards can be put together.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from schemas.boxes import Box
from schemas.dataset import ExportRecord

_IMAGES_IN_SHARD = 10**9  # more than image_key has digits for
_ANNOTATIONS_OF_IMAGE = 10**4
_TEXTS = ("long", "short", "alt")


class CocoShard:
    """The records of one shard, one after another; holds their boxes and captions."""

    def __init__(self, shard_number: int) -> None:
        self._number = shard_number
        self._images: list[str] = []
        self._instances: list[str] = []
        self._captions: list[str] = []
        self._nouns: set[str] = set()

    def add(self, record: ExportRecord, index: int, file_name: str) -> None:
        """One image, whose place in the shard is `index` and whose member in the tar is `file_name`."""
        image = self._number * _IMAGES_IN_SHARD + index
        first = image * _ANNOTATIONS_OF_IMAGE
        about = {"id": image, "file_name": file_name, "width": record.width, "height": record.height, "key": record.key}
        self._images.append(_encoded(about))
        for n, region in enumerate(record.regions):
            if region.xyxy is None:
                continue
            self._nouns.add(region.head)
            self._instances.append(
                _encoded(
                    {
                        "id": first + n + 1,
                        "image_id": image,
                        "category_id": category_id(region.head),
                        **_box(region.xyxy),
                        "phrase": region.phrase,
                        "caption": region.short,
                    }
                )
            )
        texts = ((name, getattr(record, name)) for name in _TEXTS)
        for n, (name, text) in enumerate((name, text) for name, text in texts if text):
            self._captions.append(_encoded({"id": first + n + 1, "image_id": image, "caption": text, "kind": name}))

    def files(self) -> dict[str, bytes]:
        """`instances` and `captions` -> the file's content."""
        info = _encoded({"description": "Boxes and captions of an fgdata data set; images are members of the tar of this number."})
        categories = [_encoded({"id": category_id(noun), "name": noun, "supercategory": "object"}) for noun in sorted(self._nouns)]
        return {
            "instances": _joined(info, images=self._images, annotations=self._instances, categories=categories),
            "captions": _joined(info, images=self._images, annotations=self._captions),
        }


def category_id(noun: str) -> int:
    """The same in every shard: 52 bits of the noun's digest, which every reader's numbers hold."""
    return int.from_bytes(hashlib.sha256(noun.encode(errors="surrogatepass")).digest()[:8]) >> 12


def _box(xyxy: Box) -> dict[str, Any]:
    x0, y0, x1, y1 = xyxy
    width, height = x1 - x0, y1 - y0
    return {"bbox": [x0, y0, width, height], "area": width * height, "iscrowd": 0, "segmentation": []}


def _encoded(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False)


def _joined(info: str, **lists: Iterable[str]) -> bytes:
    parts = ",\n".join(f'"{name}": [\n' + ",\n".join(entries) + "\n]" for name, entries in lists.items())
    return f'{{"info": {info},\n{parts}}}\n'.encode()
