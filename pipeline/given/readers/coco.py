"""Importer of COCO annotations (LVIS too): boxes with category names, one record an image. Three passes, each a stream.

Annotations stand in any order, so all boxes of a file are held while it is read, about 200 bytes each, and its images' names.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.given.readers.stream import JSON_ERRORS, items, shape
from pipeline.given.source import GivenError, Raw, SourceFile

_ARRAYS = ("images", "annotations", "categories")
_TWICE = object()  # in place of a category's name where two categories have its id


def read_coco(source: SourceFile) -> Iterator[Raw]:
    """A record for each image that has annotations, named by its file; then what belongs to no image, with its reason.

    Raises: GivenError where the file is no COCO annotations.
    """
    try:
        names = _names(source)
        boxes: dict[Any, list[dict[str, Any]]] = {}
        for annotation in _objects(source, "annotations.item"):
            boxes.setdefault(_id(annotation.get("image_id")), []).append(_box(annotation, names))
        images = [(_id(image.get("id")), image) for image in map(_slim, _objects(source, "images.item"))]
        if not images or not names:
            _check_shape(source)
    except JSON_ERRORS as error:
        yield Raw(source.path, reason="malformed_json", detail=str(error)[:300])
        return
    count = Counter(image_id for image_id, _ in images)
    for image_id, image in images:
        if image_id in boxes:
            yield _record(source, image, boxes[image_id], is_single=count[image_id] == 1)
    for image_id in boxes.keys() - count.keys():
        num = len(boxes[image_id])
        yield Raw(f"{source.path}:image {image_id}", reason="no_such_image", detail=f"{num} annotations of an image not listed")


def words_of(name: str) -> str:
    """A category's name as words: `baseball_bat` is a baseball bat, `orange_(fruit)` an orange."""
    words = " ".join(re.sub(r"\([^()]*\)", " ", name.replace("_", " ")).split())
    return words or name


def _names(source: SourceFile) -> dict[Any, Any]:
    names: dict[Any, Any] = {}
    for category in _objects(source, "categories.item"):
        category_id, name = _id(category.get("id")), category.get("name")
        names[category_id] = name if names.get(category_id, name) == name else _TWICE
    return {category_id: words_of(name) if isinstance(name, str) else name for category_id, name in names.items()}


def _objects(source: SourceFile, prefix: str) -> Iterator[dict[str, Any]]:
    return (item for item in items(source, prefix) if isinstance(item, dict))


def _slim(image: dict[str, Any]) -> dict[str, Any]:
    return {name: image.get(name) for name in ("id", "file_name", "coco_url", "width", "height")}


def _id(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else repr(value)


def _check_shape(source: SourceFile) -> None:
    outline, arrays = shape(source)
    if not arrays.issuperset(_ARRAYS):
        wanted = "an object with the arrays images, annotations and categories"
        where = f"given.{source.stage}.path: {source.storage.url(source.path)}"
        raise GivenError(f"{where}: no COCO annotations: {wanted} was looked for, and {outline} is there")


def _box(annotation: dict[str, Any], names: dict[Any, Any]) -> dict[str, Any]:
    name = names.get(_id(annotation.get("category_id")))
    box = {"bbox": annotation.get("bbox"), "phrase": None if name is _TWICE else name, "score": annotation.get("score")}
    if name is None:
        box["refused"] = "unknown_category"
    if name is _TWICE:
        box["refused"] = "duplicate_id"
    if annotation.get("iscrowd") == 1:
        box["refused"] = "crowd"
    return box


def _record(source: SourceFile, image: dict[str, Any], boxes: list[dict[str, Any]], *, is_single: bool) -> Raw:
    place = f"{source.path}:image {image['id']}"
    name = image["file_name"] or image["coco_url"]
    if not isinstance(name, str):
        return Raw(place, reason="missing_key", detail="the image has neither file_name nor coco_url")
    if not is_single:
        return Raw(place, name=name, reason="duplicate_id", detail=f"two images have the id {image['id']}: whose the boxes are is not said")
    return Raw(place, {"width": image["width"], "height": image["height"], "boxes": boxes}, name)
