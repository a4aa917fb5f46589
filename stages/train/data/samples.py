"""An exported image as a sample: pixels of the model's size, texts, usable boxes, weighted negatives. Knows no model and no files."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageFile
from torch import Tensor

from schemas.dataset import ExportRecord, ExportRegion
from schemas.pixels import BAD_FILE, register_readers, shown
from schemas.rows import EditType, Negative
from schemas.text import sentences
from stages.train.config import StageTraining
from stages.train.data.batch import Sample, SampleRegion
from stages.train.data.resize import resized

_UNREADABLE = (*BAD_FILE, Image.DecompressionBombError)


@dataclass(frozen=True)
class SampleMaker:
    """Turns images and records into samples as a stage's parameters say. Draws depend on (seed, epoch, key) alone.

    `hardest_first` (evaluation): all of a box's negatives, those of the fewest edits first and there each type in turn. With a
    `patch_size` an image keeps its shape: its sides are whole patches, as many as fit into a budget.
    """

    params: StageTraining
    image_size: int
    hardest_first: bool = False
    patch_size: int | None = None
    resample: int = Image.Resampling.BICUBIC

    @property
    def own_budget(self) -> int:
        """Patches of the square that the positions were made for."""
        return (self.image_size // (self.patch_size or self.image_size)) ** 2

    def sample(self, content: bytes, record: ExportRecord, epoch: int, budget: int | None = None) -> Sample:
        """The sample; without texts and regions where the image cannot be read, so that a batch keeps its size."""
        pixels_CHW = self.pixels(content, budget)
        if pixels_CHW is None:
            return self.unreadable(record.key)
        rng = np.random.default_rng([self.params.seed, epoch, *record.key.encode()])
        params = self.params
        short = _clean(record.short) or _clean(record.alt)
        return Sample(
            key=record.key,
            pixels_CHW=pixels_CHW,
            long=self._long(record, epoch) if params.weight_long else None,
            short=params.short_prefix + _without(short, params.short_prefix) if short and params.weight_short else None,
            regions=self._regions(record, rng) if params.reads_expressions or params.reads_negatives else (),
        )

    def unreadable(self, key: str) -> Sample:
        side = self.patch_size or self.image_size
        return Sample(key, torch.zeros((3, side, side), dtype=torch.uint8), is_readable=False)

    def pixels(self, content: bytes, budget: int | None = None) -> UInt8[Tensor, "3 H W"] | None:
        """The upright image (3, H, W) of uint8, a square or of whole patches; None where Pillow cannot read it."""
        register_readers()
        try:
            with Image.open(io.BytesIO(content)) as image:
                assert isinstance(image, ImageFile.ImageFile), "what is opened is a file"
                upright = shown(image, content)
            pixels_HWC = resized(upright, self._size(*upright.size, budget or self.own_budget), Image.Resampling(self.resample))
        except _UNREADABLE:
            return None
        return torch.from_numpy(pixels_HWC).permute(2, 0, 1)  # a view: Pillow's order, which is what a batch keeps

    def _size(self, width: int, height: int, budget: int) -> tuple[int, int]:
        if self.patch_size is None:
            return self.image_size, self.image_size
        columns, rows = patch_grid(width, height, budget)
        return columns * self.patch_size, rows * self.patch_size

    def _long(self, record: ExportRecord, epoch: int) -> str | None:
        text, params = _clean(record.long), self.params
        if text is None or not (params.long_drop_first or params.long_subsample or params.long_shuffle):
            return text
        rng = np.random.default_rng([params.seed, epoch, *record.key.encode(), *b"long"])
        return varied(text, params.long_drop_first, params.long_subsample, params.long_shuffle, rng)

    def _regions(self, record: ExportRecord, rng: np.random.Generator) -> tuple[SampleRegion, ...]:
        """At most `max_boxes`: those with negatives first, then as exported (best score first)."""
        regions = [region for exported in record.regions if (region := self._region(exported, rng)) is not None]
        return tuple(sorted(regions, key=lambda region: not region.negatives)[: self.params.max_boxes])

    def _region(self, region: ExportRegion, rng: np.random.Generator) -> SampleRegion | None:
        positive = _clean(region.short)
        if positive is None or region.bbox is None or not is_box(region.bbox):
            return None
        long = _clean(region.long) or positive
        drawn = rng.random() < 0.5
        choice = self.params.region_text
        expression = positive if choice == "short" or (choice == "either" and drawn) else long
        negatives = self._negatives(region, positive, rng) if self.params.reads_negatives else ()
        return SampleRegion(region.bbox, expression if self.params.reads_expressions else None, positive, negatives)

    def _negatives(self, region: ExportRegion, positive: str, rng: np.random.Generator) -> tuple[tuple[str, str, float], ...]:
        """Distinct texts that weigh something; of more than `max_negatives` as many are drawn, reciprocal ones before all others."""
        usable: dict[str, tuple[str, str, float]] = {}
        is_mined: set[str] = set()
        for negative in _hardest_first(region.negatives) if self.hardest_first else region.negatives:
            text, weight = _clean(negative.text), negative_weight(negative, self.params.type_weights, self.params.unverified_weight)
            if text and weight > 0 and text.lower() != positive.lower():
                usable.setdefault(text, (text, negative.type, weight))
                is_mined |= {text} if negative.source == "reciprocal" else set()
        texts = list(usable.values())
        if len(texts) > self.params.max_negatives and not self.hardest_first:
            rank = rng.permutation(len(texts)) + np.array([0 if text in is_mined else len(texts) for text, _, _ in texts])
            texts = [texts[number] for number in sorted(np.argsort(rank)[: self.params.max_negatives].tolist())]
        return tuple(texts)


def patch_grid(width: int, height: int, budget: int) -> tuple[int, int]:
    """Columns and rows of patches of an image that keeps its shape: as large as at most `budget` patches allow, at least one.

    Sides are rounded up to whole patches, so that the largest scale is one at which a side is exactly some patches long.
    """
    best = Fraction(0), 1, 1
    for count in range(1, budget + 1):
        for long, other, is_wide in ((width, height, True), (height, width, False)):
            rest = max(1, -(-other * count // long))
            if rest * count <= budget:
                best = max(best, (Fraction(count, long), *((count, rest) if is_wide else (rest, count))))
    return best[1], best[2]


def varied(text: str, drop_first: float, subsample: float, shuffle: float, rng: np.random.Generator) -> str:
    """A long caption by sentences: with these chances without its first, as a drawn part of at least half, and in another order."""
    parts = sentences(text)
    drop, part, mix = rng.random(3) < (drop_first, subsample, shuffle)
    if drop and len(parts) > 1:
        parts = parts[1:]
    if part and len(parts) > 1:
        count = int(rng.integers(-(-len(parts) // 2), len(parts)))
        parts = [parts[number] for number in sorted(rng.permutation(len(parts))[:count].tolist())]
    if mix:
        parts = [parts[number] for number in rng.permutation(len(parts)).tolist()]
    return " ".join(parts)


def _hardest_first(negatives: Sequence[Negative]) -> list[Negative]:
    """Fewest edits first; among those the first of each edit type, then the second of each, and so on, as they were exported."""
    turns: Counter[tuple[int, str]] = Counter()
    ranked = []
    for place, negative in enumerate(negatives):
        kind = len(negative.edits), negative.type
        ranked.append((len(negative.edits), turns[kind], place))
        turns[kind] += 1
    return [negatives[place] for _, _, place in sorted(ranked)]


def negative_weight(negative: Negative, type_weights: Mapping[EditType, float], unverified_weight: float) -> float:
    """Weight in the hard loss: what a judge found true, or was unsure of, is no negative."""
    by_verdict = {"false": 1.0, "unverified": unverified_weight}.get(negative.verdict, 0.0)
    return by_verdict * type_weights.get(negative.type, 1.0)


def is_box(bbox: tuple[float, float, float, float]) -> bool:
    """Whether it is xyxy of positive area in shares of the image."""
    x0, y0, x1, y1 = bbox
    return 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1


def _clean(text: str | None) -> str | None:
    return (text or "").strip() or None


def _without(text: str, prefix: str) -> str:
    return text[len(prefix) :] if prefix and text.lower().startswith(prefix.lower()) else text
