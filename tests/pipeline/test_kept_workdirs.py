"""Workdirs that an earlier version wrote: nothing of them is computed again, and their exports are the same bytes.

A stage whose version has risen since they were recorded is computed again, and says so in CHANGELOG.md.
"""

import json
import re
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.api import open_job
from pipeline.config.graph import Node
from pipeline.config.registry import STAGES
from pipeline.ledger.why import plan_of
from pipeline.run.dataset import ask_for_lost_shards, write_dataset_files
from tests.support.in_process import carry_all
from tests.support.kept import CASES, KEPT, unpack
from tests.support.rehearsal_job import files


def _risen() -> frozenset[str]:
    """The stages whose version has risen since tests/kept was recorded; recording it anew (tests.support.kept) leaves none."""
    recorded = [json.loads(path.read_bytes()) for path in KEPT.glob("*/work/*/*/stage.json")]
    return frozenset(stage["stage"] for stage in recorded if STAGES[stage["stage"]].version != stage["version"])


RISEN = _risen()


def _below(names: Collection[str], graph: Sequence[Node]) -> set[str]:
    """These stages and all that read them."""
    below = set(names)
    for node in graph:
        if below & set(node.reads):
            below.add(node.name)
    return below & {node.name for node in graph}


def test_a_stage_whose_version_has_risen_is_named_under_recomputes() -> None:
    unreleased = (KEPT.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1]
    assert set(re.findall(r"[a-z_]+", unreleased.split("### Recomputes")[1])) >= RISEN


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_pending_in_a_workdir_that_an_earlier_version_wrote(case: str, tmp_path: Path) -> None:
    config = unpack(case, tmp_path / "job")
    before = files(tmp_path / "job")
    job = open_job(config)
    anew = _below(RISEN, job.graph)
    why = {plan.name: set(plan.why) for plan in plan_of(job.state()) if plan.pending}
    assert {name: reasons for name, reasons in why.items() if name not in anew} == {}
    assert {reason for name in anew for reason in why.get(name, ())} <= {"version_changed", "upstream_changed"}
    for node in job.graph:
        if node.name not in anew:
            assert [path.name for path in (KEPT / case / "work" / node.name).iterdir()] == [node.fingerprint]
    after = files(tmp_path / "job")
    changed = {name for name in before if after[name] != before[name]}
    assert {name.rpartition("/")[0] for name in changed} <= {"work/corpus"}, "an index notes that its headers were looked at, once"
    for name in changed:
        old, new = pq.read_table(pa.BufferReader(before[name])), pq.read_table(pa.BufferReader(after[name]))
        assert new.select(old.schema.names).to_pylist() == old.to_pylist(), name
    assert all(name.startswith("work/given/") for name in after.keys() - before.keys()), "a source's index may be of an older version"
    plan_of(open_job(config).state())
    assert files(tmp_path / "job") == after, "a plan indexes nothing that is indexed"


@pytest.mark.parametrize("case", CASES)
def test_a_kept_workdir_is_exported_in_the_same_bytes(case: str, tmp_path: Path) -> None:
    config = unpack(case, tmp_path / "job")
    shutil.rmtree(tmp_path / "job" / "dataset")
    job = open_job(config)
    ask_for_lost_shards(job.config, job.state())
    carried = carry_all(config)
    assert {stage for stage, items in carried.items() if items} == {"export"} | _below(RISEN, job.graph)
    job = open_job(config)
    write_dataset_files(job.config, job.state())
    written, kept = files(tmp_path / "job" / "dataset"), files(KEPT / case / "dataset")
    assert kept.keys() <= written.keys()
    assert RISEN or kept.keys() == written.keys()
    if not _below(RISEN - {"export"}, job.graph):  # else what is exported may be something else
        for name, content in kept.items():
            _assert_as_kept(name, written[name], content)


def _assert_as_kept(name: str, written: bytes, kept: bytes) -> None:
    """Tars and FineHARD files to the byte. Where the export has risen a table may have grown columns, and what describes the set changes.

    Another pyarrow writes the same table in other bytes, so that what holds their digests changes too.
    """
    if name.endswith(".parquet"):
        before, now = pq.read_table(pa.BufferReader(kept)), pq.read_table(pa.BufferReader(written))
        same = now.select(before.schema.names) if RISEN else now
        assert (same.schema, same.to_pylist()) == (before.schema, before.to_pylist()), name
    elif "/" in name or name.endswith(".tar") or (not RISEN and is_same_writer()):
        assert written == kept, name


def is_same_writer() -> bool:
    """Whether this pyarrow is the one that the kept tables were written with."""
    table = next(path for path in sorted(KEPT.rglob("dataset/*.parquet")))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"one": [1]}), sink)
    return bool(pq.read_metadata(table).created_by == pq.read_metadata(pa.BufferReader(sink.getvalue())).created_by)
