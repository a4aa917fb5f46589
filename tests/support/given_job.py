"""A small job on the rehearsal engines some of whose tables are given; the corpus is that of tests/support/rehearsal_job.py."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.api import open_job
from schemas.rows import Row
from tests.support.rehearsal_job import write_job

SIZE = (64, 48)  # of every image


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    """JSON lines; bytes are written as they are."""
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def given_job(folder: Path, stages: list[str], given: dict[str, Any], **blocks: Any) -> Path:
    """A job of these stages, of which some are given; engines that nobody asks are left out where `engines` is given."""
    params: dict[str, Any] = {name: {} for name in stages}
    for name in ("caption", "region_caption", "hard_negative"):
        if name in params:
            params[name] = {"prompt": "demo"}
    if "export" in params:
        params["export"] = {"finehard": True, "allow_unverified": True}
    return write_job(folder, given=given, stages=params, **blocks)


def rows_of(config: Path, stage: str) -> dict[str, Row]:
    """Key -> current row of a stage, of all units."""
    job = open_job(config)
    state = job.state()
    node = state.nodes[stage]
    tables = [table for _, table in state.current_tables(stage)]
    assert all(table is not None for table in tables), "not all of it is committed"
    return {row.key: row for table in tables if table is not None for row in job.ledger.read(table, node.row_type)}
