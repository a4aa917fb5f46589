"""How far the first sentence of the long captions alone finds their images, by a model, else by a retriever that sees texts alone."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.report.blocks import Block, Interval, Intervals
from pipeline.report.run_tables import column_values
from schemas.audit import FIRST_SENTENCE_MOST, FirstSentence
from schemas.names import rank
from stages.audit.first_sentence import first_sentence_retrieval

_NO_LIMIT = 1.0  # nothing is refused for it


class Openings:
    """Collects the long captions of at most as many images as are asked about, and what else is said of these."""

    wants: Mapping[str, Sequence[str]] = {
        "caption": ("key", "long", "short", "alt"),
        "region_caption": ("key", "regions.short", "regions.long"),
    }

    def __init__(self, by_model: FirstSentence | None) -> None:
        self._by_model = by_model
        self._captions: dict[str, tuple[str, str]] = {}
        self._regions: dict[str, str] = {}

    def add(self, stage: str, table: pa.Table) -> None:
        if stage == "caption":
            names = ("key", "long", "alt", "short")
            for key, long, alt, short in zip(*(_column(table, name) for name in names), strict=True):
                if long:
                    self._captions[key] = long, alt or short or ""
            if len(self._captions) > 2 * FIRST_SENTENCE_MOST:
                kept = heapq.nsmallest(FIRST_SENTENCE_MOST, self._captions, key=rank)
                self._captions = {key: self._captions[key] for key in kept}
        else:
            for key, regions in zip(_column(table, "key"), _column(table, "regions"), strict=True):
                if key in self._captions:
                    self._regions[key] = " ".join(region.get("long") or region.get("short") or "" for region in regions or []).strip()

    def blocks(self) -> list[Block]:
        """One chart, where there are images enough."""
        described = ((key, long, self._regions.get(key) or other) for key, (long, other) in self._captions.items())
        retrieval = self._by_model or first_sentence_retrieval(described)
        if retrieval.whole is None or retrieval.first is None or retrieval.rest is None or retrieval.chance is None:
            return []
        shown = {
            "the whole long caption": retrieval.whole,
            "its first sentence alone": retrieval.first,
            "all but the first": retrieval.rest,
        }
        rows = {name: Interval(recall.r1, recall.r1_low, recall.r1_high, "") for name, recall in shown.items()}
        how = "found by shared words among their regions' expressions, else alt texts or short captions; no model"
        note = (
            f"{retrieval.images} images, {f'seen by {retrieval.model}' if retrieval.model else how}. "
            "Where the first sentence finds as many as the whole, a model of long texts need not read on."
        )
        title = "Right image first, by a model" if retrieval.model else "Right image first, by texts alone"
        return [Intervals(title, rows, retrieval.chance, _NO_LIMIT, note)]


def _column(table: pa.Table, name: str) -> list[Any]:
    values = list(column_values(table, name))
    return values if values else [None] * table.num_rows
