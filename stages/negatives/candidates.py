"""The one home of candidates: whose tables hold them, what of them is released, and why the others are not. Asks nobody.

A candidate is known by its place: the table, the entry in it (one text of an image), the negative in that entry. A stage writes its
entries in the order of those it took over, and in each what it keeps in the order in which that stood.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from schemas.rows import (
    CAPTION,
    BalanceRow,
    BlindFigures,
    ExchangeRow,
    HardNegativeRow,
    MineRow,
    Negative,
    RegionNegatives,
    Row,
    Verdict,
    VerifyRow,
)

CandidateRow = HardNegativeRow | MineRow | ExchangeRow | VerifyRow | BalanceRow
# From those that propose candidates to the one that chooses among them. Each table holds all that those before it hand on.
_HOLDERS: tuple[Mapping[str, type[CandidateRow]], ...] = (
    {"hard_negative": HardNegativeRow, "mine": MineRow, "exchange": ExchangeRow},
    {"verify": VerifyRow},
    {"balance": BalanceRow},
)
PROPOSING = tuple(_HOLDERS[0])
HOLDING: Mapping[str, type[CandidateRow]] = {name: kind for holders in _HOLDERS for name, kind in holders.items()}


def holders(stages: Collection[str], before: str | None = None) -> tuple[str, ...]:
    """Of the stages that a run has those that hold its candidates in the end; or those from which the stage `before` takes them."""
    levels = list(_HOLDERS)
    if before is not None:
        levels = levels[: next(i for i, level in enumerate(levels) if before in level)]
    levels_present = (tuple(name for name in level if name in stages) for level in reversed(levels))
    return next((names for names in levels_present if names), ())


def entries_of(rows: Iterable[Row], before: str | None = None) -> list[RegionNegatives]:
    """An image's texts with their candidates, as those stages hold them; see `holders`."""
    by_type: Mapping[type[Row], Row] = {type(row): row for row in rows}
    names = holders([name for name, kind in HOLDING.items() if kind in by_type], before)
    entries: list[RegionNegatives] = []
    for name in names:
        row = by_type[HOLDING[name]]
        assert isinstance(row, CandidateRow)
        entries += row.regions
    return entries


def is_reciprocal(entry: RegionNegatives) -> bool:
    """Whether a text's candidates are whole texts of a group, each of which is the positive equally often."""
    return entry.group is not None and all(negative.source == "reciprocal" for negative in entry.negatives)


def is_exchanged(entry: RegionNegatives) -> bool:
    """Whether a text's candidates hold the values of a group, each of which is true of one of its regions."""
    return entry.group is not None and bool(entry.negatives) and all(negative.source == "exchanged" for negative in entry.negatives)


def places_left(entry: RegionNegatives, left: RegionNegatives) -> set[int]:
    """The places in an entry of the negatives that a later stage's entry for the same text still holds."""
    places: set[int] = set()
    rest = iter(enumerate(entry.negatives))
    for negative in left.negatives:
        places.add(next(place for place, candidate in rest if (candidate.source, candidate.text) == (negative.source, negative.text)))
    return places


def refusal_of_text(entry: RegionNegatives, *, allows_unverified: bool) -> str | None:
    """Why no candidate of this text may be released: its positive is not known to be true. None: they may be."""
    if entry.positive_verdict == "true" or (entry.positive_verdict == "unverified" and allows_unverified):
        return None
    return "positive_unverified" if entry.positive_verdict == "unverified" else f"positive_{entry.positive_verdict}"


def refusal(entry: RegionNegatives, negative: Negative, *, allows_unverified: bool) -> str | None:
    """Why this candidate of a text may not be released: the text is not known to be true, or it is not known to be false."""
    of_text = refusal_of_text(entry, allows_unverified=allows_unverified)
    return of_text or _refusal_of(negative.verdict, allows_unverified=allows_unverified)


def _refusal_of(verdict: Verdict, *, allows_unverified: bool) -> str | None:
    if verdict == "false" or (verdict == "unverified" and allows_unverified):
        return None
    return "unverified" if verdict == "unverified" else f"verdict_{verdict}"


@dataclass
class Released:
    """An image's released negatives by region (-1: of the long caption), its reciprocal groups, and what became of the others."""

    negatives: dict[int, list[Negative]] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    num_proposed: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    audits: list[BlindFigures] = field(default_factory=list)

    @property
    def of_caption(self) -> list[Negative]:
        """Negatives of the long caption."""
        return self.negatives.get(CAPTION, [])


def released(rows: Collection[Row], *, allows_unverified: bool) -> Released:
    """What is released of an image's candidates: reciprocal ones first, no text of a region twice.

    Where balance has chosen, with an `allow_unverified` of its own, its choice holds; else the verdicts decide here.
    """
    chosen = Released()
    balanced = next((row for row in rows if isinstance(row, BalanceRow)), None)
    if balanced is not None:
        chosen.audits = balanced.audits
    for entry in sorted(entries_of(rows), key=lambda entry: not is_reciprocal(entry)):
        chosen.num_proposed += entry.num_proposed
        chosen.rejects.update(entry.rejects)
        there = chosen.negatives.setdefault(entry.region, [])
        texts = {negative.text for negative in there}
        of_text = None if balanced else refusal_of_text(entry, allows_unverified=allows_unverified)
        for negative in entry.negatives:
            reason = of_text
            if not balanced and not of_text and negative.verdict != "false":
                reason = _refusal_of(negative.verdict, allows_unverified=allows_unverified)
            if reason is None and negative.text in texts:
                reason = "duplicate"
            if reason is None:
                there.append(negative)
            else:
                chosen.rejects[reason] += 1
        if entry.group is not None and is_reciprocal(entry) and there:
            chosen.groups[entry.region] = entry.group
    return chosen
