"""What a panel may show, as plain values: facts, bars, histograms, grids. Knows no tables, no HTML."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Number = int | float


@dataclass(frozen=True)
class Fact:
    """One figure with its label. `value` None: could not be measured, `note` says why."""

    label: str
    value: Number | str | None
    note: str = ""
    form: str = "count"  # count, share, mean, text


@dataclass(frozen=True)
class Facts:
    """Figures side by side."""

    title: str
    facts: Sequence[Fact]


@dataclass(frozen=True)
class Bars:
    """Named counts, each as a share of `total`. `link` is the sample browser's filter that a row's key belongs to.

    `names` are what rows are called on the page, where that is not their key.
    """

    title: str
    rows: Mapping[str, int]
    total: int
    note: str = ""
    link: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    """A histogram of whole numbers; bins are made when it is drawn, so that two runs share them."""

    title: str
    counts: Counter[int]
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Binned:
    """A histogram over fixed edges. `labels` name the bins; `mark` is a value to draw a line at, within the edges."""

    title: str
    edges: Sequence[float]
    counts: Sequence[int]
    labels: Sequence[str]
    note: str = ""
    mark: float | None = None
    mark_label: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of counts: row label -> column label -> count."""

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Mapping[str, Number | str | None]]
    note: str = ""
    corner: str = ""
    link: str | None = None


@dataclass(frozen=True)
class Interval:
    """A measured share with its bounds; `why` where there is none."""

    value: float | None
    low: float | None
    high: float | None
    why: str = ""


@dataclass(frozen=True)
class Intervals:
    """Shares with their bounds on one scale, with a line at chance and one at what is still let through."""

    title: str
    rows: Mapping[str, Interval]
    chance: float
    limit: float
    note: str = ""

    @property
    def scale(self) -> float:
        """The share at the right end."""
        tops = [row.high or row.value or 0.0 for row in self.rows.values()]
        return min(1.0, 1.1 * max([*tops, self.limit]))


Block = Facts | Bars | Whole | Binned | Grid | Intervals


@dataclass(frozen=True)
class Panel:
    """One section of the page."""

    id: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default_factory=list)


def quantile(counts: Mapping[int, int], share: float) -> int | None:
    """The value below which this share of the counted values lies; None where there are none."""
    total, seen = sum(counts.values()), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= share * total:
            return value
    return None


def mean(counts: Mapping[int, int]) -> float | None:
    total = sum(counts.values())
    return sum(value * count for value, count in counts.items()) / total if total else None


def share(part: int, whole: int) -> float | None:
    """None where there is nothing to take a share of."""
    return part / whole if whole else None
