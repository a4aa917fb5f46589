"""Images by status and reason, stage by stage, read off the footers of the current tables."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.ledger.state import State


@dataclass(frozen=True)
class StageStatus:
    """One stage: images by status, `pending` among them, and reasons of those that are not ok."""

    name: str
    fingerprint: str
    images: Mapping[str, int]
    reasons: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "fingerprint": self.fingerprint, "images": dict(self.images), "reasons": dict(self.reasons)}


def count_statuses(state: State) -> list[StageStatus]:
    """The stages in run order; of each, the counts sum to the images of the corpus."""
    stages = []
    for node in state.graph:
        images: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for item, table in state.current_tables(node.name):
            if table is None:
                images["pending"] += item.num_images
                continue
            summary = state.ledger.summary(table)
            images.update(summary.statuses)
            reasons.update(summary.reasons)
        stages.append(StageStatus(node.name, node.fingerprint, dict(sorted(images.items())), dict(sorted(reasons.items()))))
    return stages
