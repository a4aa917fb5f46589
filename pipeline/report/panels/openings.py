"""How far the first sentence of the long captions alone finds their images, by a retriever that sees texts alone."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.report.blocks import Block, Interval, Intervals
from pipeline.report.run_tables import column_values
from stages.audit.first_sentence import MAX_IMAGES, first_sentence_retrieval, rank

_NO_LIMIT = 1.0  # nothing is refused for it


class Openings:
    """Collects the long captions of at most as many images as are asked about, and what else is said of these."""

    wants: Mapping[str, Sequence[str]] = {
        "caption": ("key", "long", "short", "alt"),
        "region_caption": ("key", "regions.short", "regions.long"),
    }

    def __init__(self) -> None:
        self._captions: dict[str, tuple[str, str]] = {}
        self._regions: dict[str, str] = {}

    def add(self, stage: str, table: pa.Table) -> None:
        if stage == "caption":
            names = ("key", "long", "alt", "short")
            for key, long, alt, short in zip(*(_column(table, name) for name in names), strict=True):
                if long:
                    self._captions[key] = long, alt or short or ""
            if len(self._captions) > 2 * MAX_IMAGES:
                kept = heapq.nsmallest(MAX_IMAGES, self._captions, key=rank)
                self._captions = {key: self._captions[key] for key in kept}
        else:
            for key, regions in zip(_column(table, "key"), _column(table, "regions"), strict=True):
                if key in self._captions:
                    self._regions[key] = " ".join(region.get("long") or region.get("short") or "" for region in regions or []).strip()

    def blocks(self) -> list[Block]:
        """One chart, where there are images enough."""
        found = first_sentence_retrieval((key, long, self._regions.get(key) or other) for key, (long, other) in self._captions.items())
        if found.whole is None or found.first is None or found.rest is None or found.chance is None:
            return []
        shown = {"the whole long caption": found.whole, "its first sentence alone": found.first, "all but the first": found.rest}
        rows = {name: Interval(one.r1, one.r1_low, one.r1_high, "") for name, one in shown.items()}
        note = (
            f"{found.images} images, found by shared words among their regions' expressions, else alt texts or short captions; no model. "
            "Where the first sentence finds as many as the whole, a model of long texts need not read on."
        )
        return [Intervals("Right image first, by texts alone", rows, found.chance, _NO_LIMIT, note)]


def _column(table: pa.Table, name: str) -> list[Any]:
    values = list(column_values(table, name))
    return values if values else [None] * table.num_rows
