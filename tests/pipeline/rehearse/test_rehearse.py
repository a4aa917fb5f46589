"""A configuration is tried in a scratch folder: the verdict, and that nothing else is touched."""

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.config.read import load_config
from pipeline.rehearse.faults import FAULTS, Tally
from pipeline.rehearse.scratch import rehearsed, sampled
from tests.support.driver import ROOT, command
from tests.support.rehearsal_job import files, write_job

STAGES = {"caption": {"prompt": "demo"}, "ground": {}}


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_hang_is_withstood_and_nothing_but_the_scratch_folder_is_touched(tmp_path: Path) -> None:
    config = write_job(tmp_path, stages=STAGES, export=None)
    before = files(tmp_path)
    answer = subprocess.run(
        command("rehearse", config, "--only", "hang", "--images", 8, "--json"), cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    content = json.loads(answer.stdout)
    assert content["verdict"] == "pass"
    (fault,) = content["faults"]
    assert fault["seconds_to_notice"] < 35
    assert {name: fault[name] for name in ("injected", "lost", "duplicated", "torn", "differing")} == {
        "injected": 1,
        "lost": 0,
        "duplicated": 0,
        "torn": 0,
        "differing": 0,
    }
    assert files(tmp_path) == before


def test_a_run_that_cannot_go_well_undisturbed_fails(tmp_path: Path) -> None:
    config = write_job(tmp_path, captioner={"error_rate": 1.0}, stages=STAGES, export=None)
    scratch = sampled(load_config(config), tmp_path / "scratch", 6)
    assert len(scratch.keys) == 6
    assert sum(scratch.odd_key in key for key in scratch.keys) == 1
    path = rehearsed(load_config(config), scratch, "one", {})
    assert path.parent == tmp_path / "scratch" / "one"


@pytest.mark.parametrize("words", [("--only", "fire"), ("--keep", ".")])
def test_what_is_asked_wrongly_is_one_line(tmp_path: Path, words: tuple[str, str]) -> None:
    answer = subprocess.run(
        command("rehearse", write_job(tmp_path), *words), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1


def test_a_verdict_needs_every_fault_injected() -> None:
    assert not Tally("a worker is killed").is_well
    assert Tally("a worker is killed", injected=1).is_well
    assert not Tally("a worker is killed", injected=1, lost=1).is_well
    assert {"driver", "worker", "hang", "poison", "answers", "storage"} == FAULTS.keys()
