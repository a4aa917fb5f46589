"""The rows of one unit across all stages, and what became of each of its images."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.corpus.index import Unit
from pipeline.report.funnel import Stratum
from pipeline.report.run_tables import RunTables, column_values, read_columns
from schemas.rows import Row


@dataclass(frozen=True)
class Step:
    """What a stage said of an image; `pending` where it has committed nothing yet."""

    stage: str
    status: str
    reason: str = ""
    detail: str = ""


def trails(run: RunTables, unit: Unit) -> list[list[Step]]:
    """For each image of the unit its steps, in run order."""
    trails: list[list[Step]] = [[] for _ in range(unit.num_rows)]
    for stage in run.stages:
        table, first = run.placed(stage, unit)
        if table is None:
            for steps in trails:
                steps.append(Step(stage, "pending"))
            continue
        rows = read_columns(run.workdir, table, ("status", "reason", "detail")).slice(first, unit.num_rows)
        for steps, step in zip(trails, _steps(stage, rows), strict=True):
            steps.append(step)
    return trails


def _steps(stage: str, rows: pa.Table) -> list[Step]:
    columns = [list(column_values(rows, name)) for name in ("status", "reason", "detail")]
    return [Step(stage, status, reason or "", detail or "") for status, reason, detail in zip(*columns, strict=True)]


def outcome(steps: Sequence[Step]) -> Stratum:
    """Where the image stopped: the first stage that lost it, else the first that has not run; ok where the last stage is."""
    if steps[-1].status == "ok":
        return Stratum(steps[-1].stage, "ok")
    for step in steps:
        if step.status in ("filtered", "failed", "quarantined"):
            return Stratum(step.stage, step.status, step.reason or "unnamed")
    step = next(step for step in steps if step.status in ("pending", "skipped"))
    return Stratum(step.stage, step.status, step.reason)


def rows_of(run: RunTables, stage: str, unit: Unit) -> list[Row] | None:
    """The unit's rows of a stage; None where the run lacks the stage or has not committed it."""
    if stage not in run.state.nodes:
        return None
    table, first = run.placed(stage, unit)
    if table is None:
        return None
    return run.state.ledger.read(table, run.state.nodes[stage].row_type)[first : first + unit.num_rows]
