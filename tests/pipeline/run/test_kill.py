"""The whole line, killed in the middle as a preemption would and started again: nothing lost, nothing doubled, same bytes.

More kills, of every kind of process, and signals: `python -m bench.faults`, a sample of which CI runs.
"""

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.driver import ROOT, Driver, command, tables_of
from tests.support.rehearsal_job import files, times, write_job, write_tar

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]

STAGES = ["caption", "ground", "select", "region_caption", "hard_negative", "mine", "verify", "balance", "export"]
PROMPTED = ("caption", "region_caption", "hard_negative", "verify")


def _job(folder: Path) -> Path:
    """The whole line, units of two images, two workers that caption, answers slow enough that a run is caught in the middle of a stage."""
    placement = {name: {"cpus": 0.1, "in_flight": 2} for name in STAGES}
    placement["caption"] |= {"actors": 2}
    write_tar(folder / "corpus" / "a.tar", [f"a{i}" for i in range(8)], tint=10)
    write_tar(folder / "corpus" / "b.tar", [f"b{i}" for i in range(6)], tint=200)
    slow = {"kind": "rehearsal", "delay_s": 0.25}
    return write_job(
        folder,
        engines={"captioner": slow, "detector": {"kind": "rehearsal-detector"}, "writer": slow, "judge": slow},
        stages={name: {"prompt": "demo"} if name in PROMPTED else {} for name in STAGES},
        corpus={"path": "corpus", "unit_size": 2},
        placement={"schedule": "streaming", "stages": placement},
    )


def _committed(folder: Path) -> dict[str, int]:
    """When each committed table and each index was written."""
    return {name: when for name, when in times(folder / "work").items() if name.endswith(".parquet") and ".writing-" not in name}


def _dataset(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder / "dataset").items() if ".writing-" not in name}


def _plan(config: Path) -> list[dict[str, Any]]:
    answer = subprocess.run(command("plan", config, "--json"), cwd=ROOT, capture_output=True, text=True, check=True)
    return list(json.loads(answer.stdout)["stages"])


def _check_whole(config: Path) -> None:
    """Nothing is pending; every unit has one table a stage; every image is in the data set once."""
    assert {stage["name"]: stage["pending"] for stage in _plan(config)} == dict.fromkeys(STAGES, 0)
    assert {stage: len(tables_of(config.parent, stage)) for stage in STAGES} == {**dict.fromkeys(STAGES, 7), "export": 2}
    keys: Counter[str] = Counter()
    for path in sorted((config.parent / "dataset").glob("*.parquet")):
        keys.update(pq.read_table(path, columns=["source_key"]).column("source_key").to_pylist())
    assert keys == Counter([f"a{i}" for i in range(8)] + [f"b{i}" for i in range(6)])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The data set of the same job, run in one go in another folder."""
    config = _job(tmp_path_factory.mktemp("undisturbed"))
    assert Driver(config).end()[0] == 0
    _check_whole(config)
    return _dataset(config.parent)


def test_a_driver_killed_again_and_again_gives_the_bytes_of_an_undisturbed_run(
    tmp_path: Path, undisturbed: dict[str, bytes], drivers: list[Driver]
) -> None:
    config = _job(tmp_path)
    before: dict[str, int] = {}
    for stage, tables in (("mine", 1), ("verify", 3)):
        drivers.append(Driver(config))
        drivers[-1].wait_until_committed(stage, tables)
        assert drivers[-1].end(signal.SIGKILL)[0] == -signal.SIGKILL
        after = _committed(tmp_path)
        assert before.items() <= after.items()
        assert stage != "mine" or [path.name for path in (tmp_path / "work" / "blocks").iterdir()] == ["00000.json"]
        assert len(tables_of(tmp_path, "export")) < 2, "killed too late to be in the middle"
        before = after
    drivers.append(Driver(config))
    assert drivers[-1].end()[0] == 0
    assert before.items() <= _committed(tmp_path).items()
    assert not list((tmp_path / "work" / "deaths").rglob("*.*")), "a killed driver counts against no unit"
    _check_whole(config)
    assert _dataset(tmp_path) == undisturbed
