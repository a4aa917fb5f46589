"""An exported data set from Python: its images with all that was said of them, one after another or by key; local or s3://."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import IO, Any

from fsspec.core import url_to_fs
from PIL import Image
from pydantic import ValidationError

from pipeline.corpus.pixels import Problem, decode
from schemas.dataset import ExportRecord, ExportRegion, Manifest, ShardEntry
from schemas.rows import Negative

_MANIFEST = "manifest.json"
_MAX_PIXELS = 178_956_970


class DatasetError(ValueError):
    """There is no exported data set, or what its manifest names is not there; the message says what, where and what to do."""


@dataclass(frozen=True)
class Sample:
    """One exported image. `data` is the image as the source had it, None where the corpus held no pixels."""

    record: ExportRecord
    data: bytes | None

    @property
    def key(self) -> str:
        """The image's name in the data set."""
        return self.record.key

    @property
    def long(self) -> str | None:
        """The long caption."""
        return self.record.long

    @property
    def short(self) -> str | None:
        """The short caption."""
        return self.record.short

    @property
    def regions(self) -> list[ExportRegion]:
        """Boxes with their expressions, attributes and negatives; `xyxy` in pixels of `image`."""
        return self.record.regions

    @property
    def negatives(self) -> list[Negative]:
        """Texts that are false of the whole image: edits of the long caption, each with its verdict."""
        return self.record.negatives

    @property
    def image(self) -> Image.Image:
        """Upright RGB at full size, the pixels that the captioner saw. Decoded each time.

        Raises: DatasetError where there are no pixels, or the image cannot be read.
        """
        if self.data is None:
            raise DatasetError(f"{self.key}: the data set holds no pixels of it")
        decoded = decode(self.data, _MAX_PIXELS)
        if isinstance(decoded, Problem):
            raise DatasetError(f"{self.key}: {decoded.reason}: {decoded.detail}")
        return decoded


def dataset(path: str | PathLike[str]) -> "Dataset":
    """The data set at a folder or s3:// location.

    Raises: DatasetError where there is no manifest.
    """
    return Dataset(fspath(path))


class Dataset:
    """The shards that a manifest names; nothing else in the folder is looked at. Reads one image at a time."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.manifest = self._manifest()
        self._shards = {PurePosixPath(shard.tar).stem: shard for shard in self.manifest.shards}

    def __len__(self) -> int:
        return sum(shard.images for shard in self.manifest.shards)

    def __iter__(self) -> Iterator[Sample]:
        """All images, in the manifest's order.

        Raises: DatasetError where a shard is missing or cut.
        """
        for shard in self.manifest.shards:
            yield from self._read(shard)

    def __getitem__(self, key: str) -> Sample:
        """One image by its key; of its shard's tar headers are read up to it, and no other image.

        Raises: KeyError where no image has this key.
        """
        shard = next((entry for name, entry in self._shards.items() if key.startswith(name)), None)
        for sample in self._read(shard, key) if shard is not None else ():
            return sample
        raise KeyError(f"{key!r} is no image of {self.root}")

    def _manifest(self) -> Manifest:
        path = f"{self.root}/{_MANIFEST}"
        try:
            filesystem, inner = url_to_fs(path)
            return Manifest.model_validate_json(filesystem.cat_file(inner))
        except (OSError, ValidationError, ImportError, ValueError) as error:
            detail = " ".join(str(error).split())[:200]
            raise DatasetError(f"{path}: no manifest of an exported data set ({detail}); `fgdata export` writes one") from error

    def _read(self, shard: ShardEntry, key: str | None = None) -> Iterator[Sample]:
        """The shard's images, or the one of this key: an image, then its other members, its json the last that is needed."""
        path = f"{self.root}/{shard.tar}"
        number = 0
        try:
            filesystem, inner = url_to_fs(path)
            with filesystem.open(inner, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                for members in _by_stem(tar):
                    if key is None or PurePosixPath(members[0].name).stem == key:
                        yield _sample(file, members)
                    number += 1
        except (OSError, tarfile.TarError, EOFError) as error:
            raise DatasetError(f"{path}: cannot be read beyond image {number}: {' '.join(str(error).split())[:200]}") from error
        if number < shard.images:
            raise DatasetError(f"{path}: holds {number} images, the manifest says {shard.images}: copy it again")


def _by_stem(tar: tarfile.TarFile) -> Iterator[list[tarfile.TarInfo]]:
    """The members of one image after another."""
    waiting: list[tarfile.TarInfo] = []
    for member in tar:
        tar.members.clear()  # type: ignore[attr-defined]  # in no stub; else all headers stay in memory
        if waiting and PurePosixPath(member.name).stem != PurePosixPath(waiting[0].name).stem:
            yield waiting
            waiting = []
        waiting.append(member)
    if waiting:
        yield waiting


def _sample(file: IO[bytes] | Any, members: list[tarfile.TarInfo]) -> Sample:
    contents = {PurePosixPath(member.name).suffix: member for member in members}
    record = ExportRecord.model_validate_json(_content(file, contents.pop(".json")))
    contents.pop(".txt", None)
    image = next(iter(contents.values()), None)
    return Sample(record, None if image is None else _content(file, image))


def _content(file: Any, member: tarfile.TarInfo) -> bytes:
    place = file.tell()
    file.seek(member.offset_data)
    content: bytes = file.read(member.size)
    file.seek(place)
    if len(content) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return content
