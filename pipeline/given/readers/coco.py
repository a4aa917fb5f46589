"""Importer of COCO annotations (LVIS too): boxes with category names, one record an image. Three passes, each a stream.

Annotations stand in any order, so all boxes of a file are held while it is read, about 200 bytes each.
"""

from collections.abc import Iterator
from typing import Any

import ijson

from pipeline.given.source import Raw, SourceFile


def read_coco(source: SourceFile) -> Iterator[Raw]:
    """A record for each image that has annotations, named by its file; then what belongs to no image, with its reason."""
    try:
        names = {category.get("id"): category.get("name") for category in _objects(source, "categories.item")}
        boxes: dict[Any, list[dict[str, Any]]] = {}
        for annotation in _objects(source, "annotations.item"):
            boxes.setdefault(annotation.get("image_id"), []).append(_box(annotation, names))
        for image in _objects(source, "images.item"):
            found = boxes.pop(image.get("id"), None)
            if found is not None:
                yield _record(source, image, found)
        for image_id, rest in boxes.items():
            yield Raw(f"{source.path}:image {image_id}", reason="no_such_image", detail=f"{len(rest)} annotations of an image not listed")
    except (ijson.JSONError, UnicodeDecodeError) as error:
        yield Raw(source.path, reason="malformed_json", detail=str(error)[:300])


def _objects(source: SourceFile, prefix: str) -> Iterator[dict[str, Any]]:
    with source.open() as file:
        yield from (item for item in ijson.items(file, prefix, use_float=True) if isinstance(item, dict))


def _box(annotation: dict[str, Any], names: dict[Any, Any]) -> dict[str, Any]:
    box = {"bbox": annotation.get("bbox"), "phrase": names.get(annotation.get("category_id")), "score": annotation.get("score")}
    if box["phrase"] is None:
        box["refused"] = "unknown_category"
    if annotation.get("iscrowd") == 1:
        box["refused"] = "crowd"
    return box


def _record(source: SourceFile, image: dict[str, Any], boxes: list[dict[str, Any]]) -> Raw:
    place = f"{source.path}:image {image.get('id')}"
    name = image.get("file_name") or image.get("coco_url")
    if not isinstance(name, str):
        return Raw(place, reason="missing_key", detail="the image has neither file_name nor coco_url")
    return Raw(place, {"width": image.get("width"), "height": image.get("height"), "boxes": boxes}, name)
