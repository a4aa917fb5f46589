"""FG-OVD as FG-CLIP's evaluation ships it: boxes of COCO images with an expression and its negatives, asked of a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from stages.train.config import Stage2, TrainError
from stages.train.data.samples import SampleMaker
from stages.train.evaluation.evaluate import hard_negative_top1
from stages.train.evaluation.features import Box, Encoder, SeenRegion
from stages.train.evaluation.fgovd_file import FgOvdItem, read_fgovd
from stages.train.evaluation.scores import Floats, unmeasured


def evaluate_fgovd(encoder: Encoder, path: Path, images: Path) -> dict[str, Any]:
    """The figures of `fgdata eval` on such a file; retrieval and region classification have nothing to be measured on.

    Raises: TrainError where an image is missing or broken, or a box has no area in its image.
    """
    regions: list[SeenRegion] = []
    features: list[Floats] = []
    maker = SampleMaker(Stage2(), **encoder.model.image_settings)
    for number, items in enumerate(_by_image(read_fgovd(path))):
        pixels, (width, height) = _pixels(images / items[0].img_path, maker)
        _, (of_boxes,) = encoder.images([pixels], [[_shares(item, width, height) for item in items]])
        features.extend(of_boxes)
        regions += [SeenRegion(number, item.positive, tuple((text, item.test_type) for text in item.neg_expression)) for item in items]
    why = "FG-OVD has boxes with negatives alone"
    nothing = {"i2t_r1": None, "i2t_r1_why": why, "t2i_r1": None, "t2i_r1_why": why, "images": 0}
    return {
        "long": nothing,
        "short": nothing,
        "region_top1": unmeasured(why),
        "hard_negative_top1": hard_negative_top1(encoder, regions, features),
    }


def _by_image(items: list[FgOvdItem]) -> Iterator[list[FgOvdItem]]:
    groups: dict[str, list[FgOvdItem]] = {}
    for item in items:
        groups.setdefault(item.img_path, []).append(item)
    yield from groups.values()


def _pixels(path: Path, maker: SampleMaker) -> tuple[torch.Tensor, tuple[int, int]]:
    try:
        content = path.read_bytes()
        with Image.open(path) as image:
            size = image.size
    except OSError as error:
        raise TrainError(f"{path}: {error.strerror or error}; --images names the folder that holds val2017/") from error
    pixels = maker.pixels(content)
    if pixels is None:
        raise TrainError(f"{path}: cannot be decoded")
    return pixels, size


def _shares(item: FgOvdItem, width: int, height: int) -> Box:
    """The box in shares of the image, its part inside."""
    x, y, w, h = item.bbox
    box = tuple(min(max(value, 0.0), 1.0) for value in (x / width, y / height, (x + w) / width, (y + h) / height))
    if not (box[0] < box[2] and box[1] < box[3]):
        raise TrainError(f"{item.img_path}: the box {list(item.bbox)} has no area in an image of {width} x {height}")
    return box[0], box[1], box[2], box[3]
