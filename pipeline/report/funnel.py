"""The yield funnel: images by stage and status, and where they were lost. Footers; two columns where a footer is ambiguous."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.ledger.items import Item
from pipeline.ledger.tables import Summary, Table
from pipeline.report.run_tables import RunTables, column_values, read_columns, side_by_side
from schemas.rows import STATUSES

SHOWN = (*STATUSES, "pending")
MAX_ITEMS_A_STRATUM = 64


@dataclass(frozen=True)
class Stratum:
    """Images that share where, how and why they stopped; `ok` and `pending` images have no reason."""

    stage: str
    status: str
    reason: str = ""


@dataclass
class StageYield:
    """One stage: images by status; of those lost here, by status and reason."""

    name: str
    statuses: Counter[str] = field(default_factory=Counter)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(self.statuses.values())


@dataclass
class Funnel:
    """All stages in run order. `items` holds, of each stratum, the first items by digest that have such images."""

    images_in: int
    stages: list[StageYield]
    items: dict[Stratum, list[str]] = field(default_factory=dict)

    @property
    def is_conserved(self) -> bool:
        return all(stage.total == self.images_in for stage in self.stages)

    @property
    def losses(self) -> list[tuple[Stratum, int]]:
        """Where images were lost, most first."""
        losses = [(Stratum(stage.name, *key), count) for stage in self.stages for key, count in stage.lost.items()]
        order = {stage.name: place for place, stage in enumerate(self.stages)}
        return sorted(losses, key=lambda pair: (-pair[1], order[pair[0].stage], pair[0].reason))

    @property
    def num_ok(self) -> int:
        return self.stages[-1].statuses["ok"] if self.stages else 0

    @property
    def num_lost(self) -> int:
        return sum(count for _, count in self.losses)

    @property
    def num_pending(self) -> int:
        """Images that are neither through nor lost, while some stage has images to run."""
        waits = any(stage.statuses["pending"] for stage in self.stages)
        return max(0, self.images_in - self.num_ok - self.num_lost) if waits else 0


def count_funnel(run: RunTables) -> Funnel:
    """Read the footer of every current table of the run."""
    funnel = Funnel(run.num_images, [])
    for stage in run.stages:
        counted = _count_stage(run, stage, funnel.items)
        reads = run.state.nodes[stage].reads
        _count_skips(counted, [earlier for earlier in funnel.stages if earlier.name in reads])
        funnel.stages.append(counted)
    return funnel


def _count_skips(counted: StageYield, upstream: Sequence[StageYield]) -> None:
    """A stage that skips for a reason of its own (`no_image`) loses those that no stage above has skipped for it."""
    for reason, count in counted.skipped.items():
        own = count - max((earlier.skipped[reason] for earlier in upstream), default=0)
        if own > 0 and not reason.startswith("upstream_"):
            counted.lost["skipped", reason] = own


def _count_stage(run: RunTables, stage: str, items: dict[Stratum, list[str]]) -> StageYield:
    counted = StageYield(stage)
    tables = sorted(run.state.current_tables(stage), key=lambda pair: pair[0].id)
    for (item, _), footer in zip(tables, side_by_side(lambda pair: _footer(run, pair[1]), tables), strict=True):
        if footer is None:
            counted.statuses["pending"] += item.num_images
            if _is_waiting(run, stage, item):
                _remember(items, Stratum(stage, "pending"), item.id)
            continue
        summary, not_ok = footer
        counted.statuses.update(summary.statuses)
        for (status, reason), count in not_ok.items():
            if not reason.startswith("upstream_"):
                _remember(items, Stratum(stage, status, reason), item.id)
            if status == "skipped":
                counted.skipped[reason] += count
            else:
                counted.lost[status, reason] += count
        if stage == run.stages[-1] and summary.statuses.get("ok"):
            _remember(items, Stratum(stage, "ok"), item.id)
    return counted


def _is_waiting(run: RunTables, stage: str, item: Item) -> bool:
    """Whether all that the item reads is there for one of its units at least: pending here, not further up."""
    reads = run.state.nodes[stage].reads
    return any(all(run.placed(upstream, unit)[0] is not None for upstream in reads) for unit in item.units)


def _remember(items: dict[Stratum, list[str]], stratum: Stratum, item: str) -> None:
    kept = items.setdefault(stratum, [])
    if len(kept) < MAX_ITEMS_A_STRATUM:
        kept.append(item)


def _footer(run: RunTables, table: Table | None) -> tuple[Summary, Mapping[tuple[str, str], int]] | None:
    if table is None:
        return None
    summary = run.state.ledger.summary(table)
    return summary, _not_ok(run, table, summary)


def _not_ok(run: RunTables, table: Table, summary: Summary) -> Mapping[tuple[str, str], int]:
    """Images that are not ok by status and reason. A footer counts the two apart: rows are read where that leaves a doubt."""
    kinds = [status for status, count in summary.statuses.items() if status != "ok" and count]
    if not kinds:
        return {}
    if len(kinds) == 1:
        return {(kinds[0], reason): count for reason, count in summary.reasons.items()}
    rows = read_columns(run.workdir, table, ("status", "reason"))
    pairs = Counter(zip(column_values(rows, "status"), column_values(rows, "reason"), strict=True))
    return {(status, reason or "unnamed"): count for (status, reason), count in pairs.items() if status != "ok"}
