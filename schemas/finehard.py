"""The FineHARD record, as FG-CLIP's published v1.0 trainer reads it, and an exported image as one. No I/O."""

import json
from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from schemas.boxes import Box
from schemas.dataset import ExportRecord, ExportRegion
from schemas.rows import Record

NUM_NEGATIVES = 10
_PREFIX = "a photo of "
_DECIMALS = 6


class FineHardBox(Record):
    """One region. The trainer uses the first four of an image."""

    bbox: list[float] = Field(description="x1, y1, x2, y2 in shares of the upright image's sides, 0..1, of positive area.")
    short_expr: str = Field(
        description="Lower case, as are all expressions: the v2 trainer lower-cases negatives alone, which tells them apart."
    )
    long_expr: str
    flag_short_neg: int = Field(description="1 where `short_expr_negs` holds exactly ten texts, else 0.")
    short_expr_negs: dict[str, str] = Field(description='"0" to "9", or empty. A list breaks the trainer.')

    @model_validator(mode="after")
    def _check(self) -> "FineHardBox":
        if not is_usable(self.bbox):
            raise ValueError(f"bbox {self.bbox} is not normalised xyxy of positive area")
        expected = [str(i) for i in range(NUM_NEGATIVES)] if self.flag_short_neg == 1 else []
        if self.flag_short_neg not in (0, 1) or list(self.short_expr_negs) != expected:
            raise ValueError(f"flag_short_neg is {self.flag_short_neg} beside {len(self.short_expr_negs)} negatives")
        return self


class FineHardRecord(Record):
    """One image. `f_path` is relative to the folder that the trainer is given as its image folder."""

    f_path: str
    caption: str
    short_caption: str = Field(description='The trainer puts "a photo of " before it.')
    bbox_info: list[FineHardBox]


def finehard_record(record: ExportRecord, f_path: str) -> FineHardRecord:
    """The record of an exported image whose upright pixels lie at `f_path`.

    Left out are regions without a short expression and boxes that are no area inside the image. Flagged regions come
    first, then by score, given boxes best: the trainer reads four. A missing caption is replaced by the next best text.
    A region is flagged only with ten negatives: the trainer cuts a batch's texts into groups of eleven by count alone, so
    that one region with 9 beside one with 11 would train both against texts of the other, without an error. Of more than
    ten the first ten are taken; negatives that a judge did not find false are none.
    """
    boxes = [box for region in sorted(record.regions, key=_rank) if (box := _box(region)) is not None]
    caption = record.long or record.short or record.alt or ""
    return FineHardRecord(
        f_path=f_path,
        caption=caption,
        short_caption=_without_prefix(record.short or record.alt or caption),
        bbox_info=sorted(boxes, key=lambda box: -box.flag_short_neg),
    )


def finehard_json(record: FineHardRecord) -> str:
    """The record as one element of the JSON array that a FineHARD file is: a record a line without the array fails there."""
    return json.dumps(record.model_dump(), sort_keys=True, ensure_ascii=False)


def is_usable(bbox: Sequence[float]) -> bool:
    """Whether normalised xyxy lies in 0..1 and keeps an area when it is rounded to bfloat16.

    A box without area makes the trainer's loss NaN. Under DeepSpeed the transformers Trainer casts inputs, boxes among
    them, to bfloat16, where the numbers just below 1 are 1/256 apart: a sliver at the right edge loses its width there.
    """
    x0, y0, x1, y1 = _bfloat16(bbox)
    return min(bbox) >= 0 and max(bbox) <= 1 and x0 < x1 and y0 < y1


def _bfloat16(values: Sequence[float]) -> list[float]:
    """Rounded to nearest, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return [float(value) for value in rounded.astype(np.uint32).view(np.float32)]


def _rank(region: ExportRegion) -> float:
    return -2.0 if region.score is None else -region.score


def _box(region: ExportRegion) -> FineHardBox | None:
    if not (region.short and region.short.strip()) or region.bbox is None:
        return None
    bbox = _rounded(region.bbox)
    if not is_usable(bbox):
        return None
    short = _lower(region.short)
    negatives = _negatives(region, short)
    return FineHardBox(
        bbox=bbox,
        short_expr=short,
        long_expr=_lower(region.long or "") or short,
        flag_short_neg=1 if negatives else 0,
        short_expr_negs=negatives,
    )


def _negatives(region: ExportRegion, positive: str) -> dict[str, str]:
    """Ten texts, or none: distinct and unlike the positive in lower case too."""
    texts = dict.fromkeys(_lower(negative.text) for negative in region.negatives if negative.verdict in ("false", "unverified"))
    distinct = [text for text in texts if text and text != positive][:NUM_NEGATIVES]
    return {str(i): text for i, text in enumerate(distinct)} if len(distinct) == NUM_NEGATIVES else {}


def _rounded(bbox: Box) -> list[float]:
    return [round(value, _DECIMALS) for value in bbox]


def _lower(text: str) -> str:
    return text.strip().lower()


def _without_prefix(text: str) -> str:
    stripped = text.strip()
    while stripped.lower().startswith(_PREFIX):
        stripped = stripped[len(_PREFIX) :].lstrip()
    return stripped
