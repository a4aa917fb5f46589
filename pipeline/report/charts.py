"""Geometry of histograms for one run or two, in SVG units; drawing them is the template's. Knows no tables."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.blocks import Binned, Whole, mean, quantile

WIDTH, BASE, TOP = 400, 112, 8
MAX_BINS = 28
_STEPS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000)


@dataclass(frozen=True)
class Bar:
    """One bar of series 0 or 1."""

    series: int
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Chart:
    """A drawn histogram. `ticks` are (x, label); `mark` is a labelled vertical line."""

    title: str
    note: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    summaries: Sequence[str]
    mark: tuple[float, str] | None = None

    @property
    def is_empty(self) -> bool:
        return not any(bar.height for bar in self.bars)


def draw_whole(blocks: Sequence[Whole | None]) -> Chart:
    """Whole numbers in bins of equal width that all runs share; each run by its own share of values."""
    there = [block for block in blocks if block is not None]
    counts = [block.counts if block else Counter() for block in blocks]
    last = max((quantile(each, 0.995) or 0 for each in counts if each), default=0)
    step = next((step for step in _STEPS if (last + 1) / step <= MAX_BINS), last // MAX_BINS + 1)
    num = last // step + 1
    binned = [[0] * num for _ in counts]
    for bins, each in zip(binned, counts, strict=True):
        for value, count in each.items():
            bins[min(value // step, num - 1)] += count
    names = [_range(place * step, step) for place in range(num)]
    names[-1] += " or more" if any(max(each, default=0) >= num * step for each in counts) else ""
    ticks = [(_x(place + (0.5 if step == 1 else 0), num), str(place * step)) for place in _tick_places(num)]
    summaries = [_summary(block) for block in blocks]
    return Chart(there[0].title, there[0].note, _bars(binned, [f"{name} {there[0].unit}" for name in names]), ticks, summaries)


def draw_binned(blocks: Sequence[Binned | None]) -> Chart:
    """Bins as they are; each run by its own share of values."""
    first = next(block for block in blocks if block is not None)
    num = len(first.edges) - 1
    names = [f"{first.edges[i]:g} to {first.edges[i + 1]:g}" for i in range(num)]
    bars = _bars([list(block.counts) if block else [0] * num for block in blocks], names)
    places = range(num) if num <= 12 else range(4, num, 5)
    ticks = [(_x(place + 0.5 if num <= 12 else place + 1, num), first.labels[place]) for place in places]
    mark = None
    if first.mark is not None:
        place = bisect_right(first.edges, first.mark) - 1
        low, high = first.edges[place], first.edges[min(place + 1, num)]
        mark = (_x(place + (first.mark - low) / ((high - low) or 1), num), first.mark_label)
    summaries = [f"{sum(block.counts):,} values" if block else "" for block in blocks]
    return Chart(first.title, first.note, bars, ticks, summaries, mark)


def _bars(series: Sequence[Sequence[int]], names: Sequence[str]) -> list[Bar]:
    shares = [[count / (sum(counts) or 1) for count in counts] for counts in series]
    tallest = max((max(each, default=0) for each in shares), default=0) or 1
    width = WIDTH / len(names)
    bars = []
    for number, (counts, each) in enumerate(zip(series, shares, strict=True)):
        part = (width - 1) / len(series)
        for place, (count, share) in enumerate(zip(counts, each, strict=True)):
            height = (BASE - TOP) * share / tallest
            x = place * width + number * part
            bars.append(
                Bar(
                    number,
                    round(x, 2),
                    round(BASE - height, 2),
                    round(max(part, 0.5), 2),
                    round(height, 2),
                    _bar_text(names[place], count, share),
                )
            )
    return bars


def _bar_text(name: str, count: int, share: float) -> str:
    return f"{name}: {count:,} ({share:.1%})"


def _x(place: float, num: int) -> float:
    return round(place * WIDTH / num, 2)


def _tick_places(num: int) -> range:
    return range(0, num, max(1, -(-num // 7)))


def _range(first: int, step: int) -> str:
    return str(first) if step == 1 else f"{first} to {first + step - 1}"


def _summary(block: Whole | None) -> str:
    if block is None or not block.counts:
        return "none"
    middle = mean(block.counts)
    return f"mean {middle:.1f}, median {quantile(block.counts, 0.5)}, 95 % at most {quantile(block.counts, 0.95)}"
