"""Workdirs that an earlier version wrote: nothing of them is computed again, and their exports are the same bytes."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.api import open_job
from pipeline.ledger.why import plan_of
from pipeline.run.dataset import ask_for_lost_shards, write_dataset_files
from tests.support.in_process import carry_all
from tests.support.kept import CASES, KEPT, unpack
from tests.support.rehearsal_job import files


def _without_writer(content: bytes) -> object:
    """A Parquet file's rows and schema: another pyarrow writes the same table in other bytes."""
    table = pq.read_table(pa.BufferReader(content))
    return table.schema, table.to_pylist()


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_pending_in_a_workdir_that_an_earlier_version_wrote(case: str, tmp_path: Path) -> None:
    config = unpack(case, tmp_path / "job")
    before = files(tmp_path / "job")
    job = open_job(config)
    plans = plan_of(job.state())
    assert {plan.name: dict(plan.why) for plan in plans if plan.pending} == {}
    for node in job.graph:
        assert [path.name for path in (KEPT / case / "work" / node.name).iterdir()] == [node.fingerprint]
    assert files(tmp_path / "job") == before, "a plan indexes nothing that is indexed"


@pytest.mark.parametrize("case", CASES)
def test_a_kept_workdir_is_exported_in_the_same_bytes(case: str, tmp_path: Path) -> None:
    config = unpack(case, tmp_path / "job")
    shutil.rmtree(tmp_path / "job" / "dataset")
    job = open_job(config)
    ask_for_lost_shards(job.config, job.state())
    carried = carry_all(config)
    assert {stage for stage, items in carried.items() if items} == {"export"}
    write_dataset_files(job.config, job.state())
    written, kept = files(tmp_path / "job" / "dataset"), files(KEPT / case / "dataset")
    assert written.keys() == kept.keys()
    created_by = {pq.read_metadata(pa.BufferReader(content)).created_by for name, content in kept.items() if name.endswith(".parquet")}
    is_same_writer = all(
        pq.read_metadata(pa.BufferReader(content)).created_by in created_by
        for name, content in written.items()
        if name.endswith(".parquet")
    )
    for name, content in written.items():
        if name.endswith(".parquet") and not is_same_writer:
            assert _without_writer(content) == _without_writer(kept[name]), name
        elif is_same_writer or not name.endswith(("_stats.json", "manifest.json")):  # these hold the Parquet file's digest
            assert content == kept[name], name
