"""One step's images, boxes and texts as tensors, and how samples become one. Knows no files and no model.

Axes: B images, C H W their channels and pixels, R boxes an image (padded with empty ones), K boxes with an expression, H boxes with
negatives, M their texts (positive first, padded), N distinct texts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import get_args

import torch

from schemas.rows import EditType
from stages.train.data.texts import PackedTexts, TextPacker

NONE = -1
TYPE_NAMES: dict[int, str] = dict(enumerate(get_args(EditType)))
_TYPE_NUMBERS = {name: number for number, name in TYPE_NAMES.items()}


@dataclass(frozen=True)
class SampleRegion:
    """A box of an image: xyxy in shares of its sides, its expression, and the negatives of `positive` with types and weights."""

    xyxy: tuple[float, float, float, float]
    expression: str | None
    positive: str | None = None
    negatives: tuple[tuple[str, str, float], ...] = ()  # text, edit type, weight


@dataclass(frozen=True)
class Sample:
    """One image as the step wants it. `pixels_CHW` is uint8. A sample that could not be read has no texts and no regions."""

    key: str
    pixels_CHW: torch.Tensor
    long: str | None = None
    short: str | None = None
    regions: tuple[SampleRegion, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Tensors of one step. Each distinct text is there once; all else refers to it. -1: there is none."""

    keys: tuple[str, ...]
    pixels_BCHW: torch.Tensor
    boxes_BR4: torch.Tensor
    texts: PackedTexts
    text_key_N: torch.Tensor  # equal for equal texts, on all processes
    long_B: torch.Tensor  # index of a text
    short_B: torch.Tensor
    box_K: torch.Tensor  # index of a box in the flattened boxes
    expression_K: torch.Tensor
    hard_box_H: torch.Tensor
    hard_text_HM: torch.Tensor
    hard_weight_HM: torch.Tensor
    hard_type_HM: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in moved.items():
            if name != "keys":
                moved[name] = value.to(device) if isinstance(value, PackedTexts) else value.to(device, non_blocking=True)
        return Batch(**moved)


class _Texts:
    """Distinct texts in order of appearance."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[bool, str], int] = {}

    def add(self, text: str | None, is_long: bool = False) -> int:
        if not text:
            return NONE
        return self.numbers.setdefault((is_long, text), len(self.numbers))


def collate(samples: Sequence[Sample], packer: TextPacker) -> Batch:
    """The batch of these samples. Texts that several of them share are encoded once."""
    texts = _Texts()
    long = [texts.add(sample.long, is_long=True) for sample in samples]
    short = [texts.add(sample.short) for sample in samples]
    num_boxes = max((len(sample.regions) for sample in samples), default=0)
    boxes_BR4 = torch.zeros((len(samples), num_boxes, 4))
    boxes, expressions, hard_boxes = [], [], []
    hard: list[list[tuple[int, float, int]]] = []
    for image, sample in enumerate(samples):
        for number, region in enumerate(sample.regions):
            boxes_BR4[image, number] = torch.tensor(region.xyxy)
            if region.expression:
                boxes.append(image * num_boxes + number)
                expressions.append(texts.add(region.expression))
            if region.positive and region.negatives:
                hard_boxes.append(image * num_boxes + number)
                negatives = [(texts.add(text), weight, _TYPE_NUMBERS[kind]) for text, kind, weight in region.negatives]
                hard.append([(texts.add(region.positive), 1.0, NONE), *negatives])
    packed, places = packer.pack(list(texts.numbers))
    place_N = torch.tensor([*places, NONE], dtype=torch.long)  # the last one answers for NONE
    text_key_N = torch.zeros(len(places), dtype=torch.long)
    text_key_N[place_N[:-1]] = torch.tensor([_text_key(text) for _, text in texts.numbers], dtype=torch.long)
    width = max((len(row) for row in hard), default=1)
    padded = [row + [(NONE, 0.0, NONE)] * (width - len(row)) for row in hard]
    return Batch(
        keys=tuple(sample.key for sample in samples),
        pixels_BCHW=torch.stack([sample.pixels_CHW for sample in samples]),
        boxes_BR4=boxes_BR4,
        texts=packed,
        text_key_N=text_key_N,
        long_B=place_N[torch.tensor(long, dtype=torch.long)],
        short_B=place_N[torch.tensor(short, dtype=torch.long)],
        box_K=torch.tensor(boxes, dtype=torch.long),
        expression_K=place_N[torch.tensor(expressions, dtype=torch.long)],
        hard_box_H=torch.tensor(hard_boxes, dtype=torch.long),
        hard_text_HM=place_N[_column(padded, 0, torch.long, width)],
        hard_weight_HM=_column(padded, 1, torch.float32, width),
        hard_type_HM=_column(padded, 2, torch.long, width),
    )


def _column(rows: Sequence[Sequence[tuple[int, float, int]]], number: int, dtype: torch.dtype, width: int) -> torch.Tensor:
    return torch.tensor([[cell[number] for cell in row] for row in rows], dtype=dtype).reshape(len(rows), width)


def _text_key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
