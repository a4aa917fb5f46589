"""Streams a run's tables through panels: each says which columns it wants of which stage and counts what it is given."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from pipeline.report.blocks import Panel
from pipeline.report.run_tables import Coverage, RunTables, read_columns


class Counting(Protocol):
    """A panel in the making."""

    wants: Mapping[str, Sequence[str]]

    def add(self, stage: str, table: pa.Table) -> None:
        """Count one unit's table of a stage, pruned to what was wanted."""

    def panel(self) -> Panel:
        """The finished panel."""


def gather(run: RunTables, panels: Sequence[Counting], max_images: int) -> dict[str, Coverage]:
    """Give every panel its columns, one table in memory at a time; returns what was read of each stage."""
    coverage = {}
    for stage in run.stages:
        wanted = sorted({path for panel in panels for path in panel.wants.get(stage, ())})
        if not wanted:
            continue
        tables, coverage[stage] = run.sampled(stage, max_images)
        for table in tables:
            columns = read_columns(run.workdir, table, ["status", *wanted])
            for panel in panels:
                if stage in panel.wants:
                    panel.add(stage, columns)
    return coverage
