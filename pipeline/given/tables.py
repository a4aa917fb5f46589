"""The stages whose rows may be given, one row each: another one is its builder in rows/ and its row here. Reads no source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.given.boxes import Frame
from pipeline.given.params import GivenParams
from pipeline.given.rows.caption import caption_row
from pipeline.given.rows.ground import ground_row
from pipeline.given.rows.hard_negative import hard_negative_row
from pipeline.given.rows.region_caption import region_caption_row
from schemas.rows import CaptionRow, GivableRow, GroundRow, HardNegativeRow, RegionCaptionRow
from stages.base import Image


@dataclass(frozen=True)
class Givable:
    """What is known of a stage whose rows may be given.

    `fields` are our names of what is read of a record and of its children, which stand in the list `children`; the block's `fields`
    says what the source calls them. `build` makes the row of a record, or raises Refused. `needs` names the stages without which the
    table says nothing, even where all of its rows are given.
    """

    fields: tuple[str, ...]
    row_type: type[GivableRow]
    build: Callable[[Image, Mapping[str, Any], GivenParams, Frame | None], GivableRow]
    children: str | None = None
    needs: tuple[str, ...] = ()


TABLES: Mapping[str, Givable] = {
    "caption": Givable(("key", "long", "short"), CaptionRow, caption_row),
    "ground": Givable(
        ("key", "width", "height", "boxes", "bbox", "phrase", "start", "end", "head", "score", "refused"),
        GroundRow,
        ground_row,
        children="boxes",
    ),
    "region_caption": Givable(
        ("key", "width", "height", "regions", "region", "bbox", "head", "short", "long", "attributes"),
        RegionCaptionRow,
        region_caption_row,
        children="regions",
    ),
    "hard_negative": Givable(
        ("key", "width", "height", "regions", "region", "bbox", "positive", "negatives"),
        HardNegativeRow,
        hard_negative_row,
        children="regions",
        needs=("region_caption",),  # a negative is of an expression
    ),
}
