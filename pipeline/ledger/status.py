"""Images by status and reason, stage by stage, read off the footers of the current tables."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.graph import Node
from pipeline.ledger.state import State
from pipeline.ledger.tables import Table


@dataclass(frozen=True)
class Loss:
    """Images that are not ok for one reason: how many, the status of the one that was looked at, and what its row says."""

    count: int
    status: str
    example: str

    def as_json(self) -> dict[str, Any]:
        return {"count": self.count, "example": self.example}


@dataclass(frozen=True)
class StageStatus:
    """One stage: images by status, `pending` among them, and reasons of those that are not ok; `losses` where they were asked for.

    `lost`: children of images that are ok (regions, values) without an answer, by reason; tables of older versions do not count them.
    """

    name: str
    fingerprint: str
    images: Mapping[str, int]
    reasons: Mapping[str, int]
    losses: Mapping[str, Loss] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        reasons = {reason: self.losses[reason].as_json() if reason in self.losses else count for reason, count in self.reasons.items()}
        content = {"name": self.name, "fingerprint": self.fingerprint, "images": dict(self.images), "reasons": reasons}
        return content | ({"lost": dict(self.lost)} if self.lost else {})


def count_statuses(state: State, *, with_examples: bool = False) -> list[StageStatus]:
    """The stages in run order; of each, the counts sum to the images of the corpus. An example costs the reading of one table."""
    stages = []
    for node in state.graph:
        images: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        lost: Counter[str] = Counter()
        seen: dict[str, Table] = {}
        for item, table in state.current_tables(node.name):
            if table is None:
                images["pending"] += item.num_images
                continue
            summary = state.ledger.summary(table)
            images.update(summary.statuses)
            reasons.update(summary.reasons)
            lost.update(summary.lost or {})
            for reason in summary.reasons:
                seen.setdefault(reason, table)
        losses = {reason: _loss(state, node, seen[reason], reason, count) for reason, count in sorted(reasons.items()) if with_examples}
        counts = [dict(sorted(counter.items())) for counter in (images, reasons, lost)]
        stages.append(StageStatus(node.name, node.fingerprint, counts[0], counts[1], losses, counts[2]))
    return stages


def _loss(state: State, node: Node, table: Table, reason: str, count: int) -> Loss:
    rows = state.ledger.read(table, node.row_type)
    row = next(row for row in rows if row.status != "ok" and (row.reason or "unnamed") == reason)
    return Loss(count, row.status, f"{row.key}: {row.detail}" if row.detail else row.key)
