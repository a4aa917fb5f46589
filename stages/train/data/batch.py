"""One step's images, boxes and texts as tensors, and how samples become one. Knows no files and no model.

Axes: B images, C H W their channels and pixels, R boxes an image (padded with empty ones), K boxes with an expression, H boxes with
negatives, M their texts (positive first, padded), N distinct texts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import get_args

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from schemas.rows import EditType
from stages.train.data.crossing import SentInline
from stages.train.data.texts import LONG, SHORT, PackedTexts, TextPacker

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
    """One image as the step wants it. `pixels_CHW` is uint8, a square or whole patches. One that could not be read has no texts and no
    regions."""

    key: str
    pixels_CHW: Shaped[Tensor, "C H W"]
    long: str | None = None
    short: str | None = None
    regions: tuple[SampleRegion, ...] = ()
    is_readable: bool = True


@dataclass(frozen=True)
class Batch(SentInline):
    """Tensors of one step. Each distinct text is there once; all else refers to it. -1: there is none."""

    shared = frozenset({"pixels_BCHW"})
    keys: tuple[str, ...]
    pixels_BCHW: Shaped[Tensor, "B ..."]
    boxes_BR4: Float[Tensor, "B R 4"]
    texts: PackedTexts
    text_key_N: Int[Tensor, " N"]  # equal for equal texts, on all processes
    long_B: Int[Tensor, " B"]  # index of a text
    short_B: Int[Tensor, " B"]
    box_K: Int[Tensor, " K"]  # index of a box in the flattened boxes
    expression_K: Int[Tensor, " K"]
    hard_box_H: Int[Tensor, " H"]
    hard_text_HM: Int[Tensor, "H M"]
    hard_weight_HM: Float[Tensor, "H M"]
    hard_type_HM: Int[Tensor, "H M"]
    grid_B2: Int[Tensor, "B 2"] | None = None  # rows and columns of patches; None where images are squares
    num_unreadable: int = 0

    @property
    def num_cut(self) -> int:
        """Distinct texts that had more tokens than positions."""
        return int(self.texts.is_cut_N.sum())

    def to(self, device: torch.device) -> "Batch":
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in moved.items():
            if isinstance(value, PackedTexts):
                moved[name] = value.to(device)
            elif isinstance(value, torch.Tensor):
                moved[name] = value.to(device, non_blocking=True)
        return Batch(**moved)


class _Texts:
    """Distinct texts in order of appearance, as the family's tokenizer wants them."""

    def __init__(self, packer: TextPacker) -> None:
        self._packer = packer
        self.numbers: dict[tuple[int, str], int] = {}

    def add(self, text: str | None, kind: int = SHORT) -> int:
        if not text:
            return NONE
        return self.numbers.setdefault((kind, self._packer.normal(text)), len(self.numbers))

    def keys(self, place_N: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
        """Each text's key at its place in the packed order."""
        key_N = torch.zeros(len(self.numbers), dtype=torch.long)
        key_N[place_N] = torch.tensor([_text_key(text) for _, text in self.numbers], dtype=torch.long)
        return key_N


def collate(samples: Sequence[Sample], packer: TextPacker, patch_size: int | None = None) -> Batch:
    """The batch of these samples. Texts that several of them share are encoded once. With a `patch_size`, images of any shape are cut
    into patches (B, T, P), padded to the largest."""
    texts, of_box = _Texts(packer), packer.box_kind
    long = [texts.add(sample.long, LONG) for sample in samples]
    short = [texts.add(sample.short) for sample in samples]
    boxes_BR4 = _boxes(samples)
    num_boxes, hard = boxes_BR4.shape[1], list[list[tuple[int, float, int]]]()
    boxes, expressions, hard_boxes = [], [], []
    for image, sample in enumerate(samples):
        for number, region in enumerate(sample.regions):
            if region.expression:
                boxes.append(image * num_boxes + number)
                expressions.append(texts.add(region.expression, of_box))
            if region.positive and region.negatives:
                hard_boxes.append(image * num_boxes + number)
                negatives = [(texts.add(text, of_box), weight, _TYPE_NUMBERS[kind]) for text, kind, weight in region.negatives]
                hard.append([(texts.add(region.positive, of_box), 1.0, NONE), *negatives])
    packed, places = packer.pack(list(texts.numbers))
    place_N = torch.tensor([*places, NONE], dtype=torch.long)  # the last one answers for NONE
    width = max((len(row) for row in hard), default=1)
    padded = [row + [(NONE, 0.0, NONE)] * (width - len(row)) for row in hard]
    pixels, grid_B2 = stacked(samples, patch_size)
    return Batch(
        keys=tuple(sample.key for sample in samples),
        pixels_BCHW=pixels,
        grid_B2=grid_B2,
        num_unreadable=sum(not sample.is_readable for sample in samples),
        boxes_BR4=boxes_BR4,
        texts=packed,
        text_key_N=texts.keys(place_N[:-1]),
        long_B=place_N[torch.tensor(long, dtype=torch.long)],
        short_B=place_N[torch.tensor(short, dtype=torch.long)],
        box_K=torch.tensor(boxes, dtype=torch.long),
        expression_K=place_N[torch.tensor(expressions, dtype=torch.long)],
        hard_box_H=torch.tensor(hard_boxes, dtype=torch.long),
        hard_text_HM=place_N[_column(padded, 0, torch.long, width)],
        hard_weight_HM=_column(padded, 1, torch.float32, width),
        hard_type_HM=_column(padded, 2, torch.long, width),
    )


def _boxes(samples: Sequence[Sample]) -> Float[Tensor, "B R 4"]:
    """(B, R, 4), padded with empty boxes."""
    boxes_BR4 = torch.zeros((len(samples), max((len(sample.regions) for sample in samples), default=0), 4))
    for image, sample in enumerate(samples):
        if sample.regions:
            boxes_BR4[image, : len(sample.regions)] = torch.tensor([region.xyxy for region in sample.regions])
    return boxes_BR4


def stacked(samples: Sequence[Sample], patch_size: int | None) -> tuple[UInt8[Tensor, "B ..."], Int[Tensor, "B 2"] | None]:
    """Pixels of the samples as one tensor; as patches with their grids where a patch's side is given."""
    if patch_size is None:
        # Stacked as Pillow lays pixels out, channels last: nothing is turned around in the reader.
        return torch.stack([sample.pixels_CHW.permute(1, 2, 0) for sample in samples]).permute(0, 3, 1, 2), None
    cut = [_patches(sample.pixels_CHW, patch_size) for sample in samples]
    pixels_BTP = torch.zeros((len(cut), max(len(patches) for patches in cut), cut[0].shape[1]), dtype=torch.uint8)
    for number, patches in enumerate(cut):
        pixels_BTP[number, : len(patches)] = patches
    sides = [[side // patch_size for side in sample.pixels_CHW.shape[1:]] for sample in samples]
    return pixels_BTP, torch.tensor(sides, dtype=torch.long)


def _patches(pixels_CHW: Shaped[Tensor, "C H W"], size: int) -> UInt8[Tensor, "T P"]:
    """(T, P): patches row by row; in a patch pixel by pixel, of each all channels."""
    cut: torch.Tensor = pixels_CHW.unflatten(1, (-1, size)).unflatten(3, (-1, size))
    return cut.permute(1, 3, 2, 4, 0).flatten(2).flatten(0, 1)


def _column(rows: Sequence[Sequence[tuple[int, float, int]]], number: int, dtype: torch.dtype, width: int) -> torch.Tensor:
    return torch.tensor([[cell[number] for cell in row] for row in rows], dtype=dtype).reshape(len(rows), width)


def _text_key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
