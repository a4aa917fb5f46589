"""Panels of one run, or of two beside one another. What is known of a kind of block stands in its row of KINDS; writes no HTML."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.blocks import Bars, Binned, Block, Facts, Grid, Intervals, Panel, Whole
from pipeline.report.charts import Chart, draw_binned, draw_whole

WIDE_COLUMNS = 5


@dataclass(frozen=True)
class Shared:
    """What the blocks of both runs have in common: one chart, or the keys of all rows; `scale` is the share at the right end.

    `is_wide`: takes a whole line of the page.
    """

    chart: Chart | None = None
    rows: Sequence[str] = ()
    scale: float = 1.0
    is_wide: bool = False


@dataclass(frozen=True)
class Kind:
    """How blocks of a kind are shown.

    `macro` of blocks.html.j2 writes them. `share` joins what the runs have of a block, None where one has none; it returns None where
    there is nothing to show. `leads`: stands above the panel's other blocks.
    """

    macro: str
    share: Callable[[Sequence[Any]], Shared | None]
    leads: bool = False


@dataclass(frozen=True)
class PairedBlock:
    """The blocks of one kind and title, one a run; None: the run has none."""

    kind: Kind
    title: str
    runs: Sequence[Block | None]
    first: Block
    shared: Shared


@dataclass(frozen=True)
class PairedPanel:
    """A section of the page."""

    id: str
    title: str
    lead: str
    blocks: Sequence[PairedBlock]


def paired(panels: Sequence[Sequence[Panel]]) -> list[PairedPanel]:
    """The panels of one run or two as one list; blocks of the same kind and title stand together. Empty panels are left out."""
    pairs = []
    for group in zip(*panels, strict=True):
        by_name = [{(type(block), block.title): block for block in panel.blocks} for panel in group]
        names = dict.fromkeys(name for blocks in by_name for name in blocks)
        blocks = [_paired(kind, title, [each.get((kind, title)) for each in by_name]) for kind, title in names]
        pairs.append(PairedPanel(group[0].id, group[0].title, group[0].lead, [block for block in blocks if block is not None]))
    return [panel for panel in pairs if panel.blocks]


def _paired(block_type: type[Block], title: str, blocks: Sequence[Block | None]) -> PairedBlock | None:
    kind = KINDS[block_type]
    shared = kind.share(blocks)
    first = next(block for block in blocks if block is not None)
    return None if shared is None else PairedBlock(kind, title, blocks, first, shared)


def _bars(blocks: Sequence[Bars | None]) -> Shared | None:
    rows = _keys(blocks)
    return Shared(rows=rows) if rows else None


def _grid(blocks: Sequence[Grid | None]) -> Shared | None:
    rows = _keys(blocks)
    first = next(block for block in blocks if block is not None)
    return Shared(rows=rows, is_wide=len(first.columns) >= WIDE_COLUMNS) if rows else None


def _intervals(blocks: Sequence[Intervals | None]) -> Shared | None:
    rows = _keys(blocks)
    return Shared(rows=rows, scale=max(block.scale for block in blocks if block is not None), is_wide=True) if rows else None


def _keys(blocks: Sequence[Bars | Grid | Intervals | None]) -> list[str]:
    """The rows' keys of all blocks, in order of first appearance."""
    return list(dict.fromkeys(key for block in blocks if block is not None for key in block.rows))


def _whole(blocks: Sequence[Whole | None]) -> Shared | None:
    return _drawn(draw_whole(blocks))


def _binned(blocks: Sequence[Binned | None]) -> Shared | None:
    return _drawn(draw_binned(blocks))


def _drawn(chart: Chart) -> Shared | None:
    return None if chart.is_empty else Shared(chart=chart)


KINDS: Mapping[type[Block], Kind] = {
    Facts: Kind("facts", lambda _: Shared(), leads=True),
    Bars: Kind("bars", _bars),
    Whole: Kind("histogram", _whole),
    Binned: Kind("histogram", _binned),
    Grid: Kind("grid", _grid),
    Intervals: Kind("intervals", _intervals),
}
