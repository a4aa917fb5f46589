"""Which of an image's candidates are exported: those that the last stage kept, if their verdicts allow it. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from schemas.rows import CAPTION, BalanceRow, BlindFigures, HardNegativeRow, MineRow, Negative, RegionNegatives, Row, VerifyRow
from stages.negatives.release import positive_refusal, refusal

# The furthest of these is read; without balance and verify the candidates are those of the two stages before.
_SOURCES: tuple[tuple[str, ...], ...] = (("balance",), ("verify",), ("hard_negative", "mine"))


@dataclass
class Exported:
    """An image's negatives by region (-1: of the long caption), its reciprocal groups, and what became of the others."""

    negatives: dict[int, list[Negative]] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    num_proposed: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    audits: list[BlindFigures] = field(default_factory=list)

    @property
    def of_caption(self) -> list[Negative]:
        """Negatives of the long caption."""
        return self.negatives.get(CAPTION, [])


def sources(stages: Collection[str]) -> tuple[str, ...]:
    """Of the stages that a run has those whose candidates are exported."""
    found = (tuple(name for name in names if name in stages) for names in _SOURCES)
    return next((names for names in found if names), ())


def exported(rows: Mapping[str, Row], *, allows_unverified: bool) -> Exported:
    """What is exported of an image's candidates: reciprocal ones first, no text of a region twice."""
    chosen = Exported()
    entries: list[RegionNegatives] = []
    for name in sources(rows):
        row = rows[name]
        assert isinstance(row, BalanceRow | VerifyRow | HardNegativeRow | MineRow)
        entries += row.regions
        if isinstance(row, BalanceRow):
            chosen.audits = row.audits
    for entry in sorted(entries, key=lambda entry: entry.group is None):
        chosen.num_proposed += entry.num_proposed
        chosen.rejects.update(entry.rejects)
        _add(chosen, entry, allows_unverified)
    return chosen


def _add(chosen: Exported, entry: RegionNegatives, allows_unverified: bool) -> None:
    there = chosen.negatives.setdefault(entry.region, [])
    texts = {negative.text for negative in there}
    whole = positive_refusal(entry, allows_unverified=allows_unverified)
    for negative in entry.negatives:
        reason = whole or refusal(negative, allows_unverified=allows_unverified)
        if reason is None and negative.text in texts:
            reason = "duplicate"
        if reason is None:
            there.append(negative)
        else:
            chosen.rejects[reason] += 1
    if entry.group is not None and there:
        chosen.groups[entry.region] = entry.group
