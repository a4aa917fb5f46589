"""The demo as a user runs it: the real command, small real models, transformers engines."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.parity import pairs_of
from pipeline.api import open_job
from tests.support.rehearsal_job import files, times

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[3]
NUM_IMAGES = 12
PATIENCE_S = 600


def _command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", "demo", "--out", str(out), "--images", str(NUM_IMAGES), *more]


def _demo(out: Path, *more: str) -> str:
    return subprocess.run(_command(out, *more), cwd=ROOT, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    _demo(out)
    return out


def _score(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "score.json").read_text()))


def test_the_demo_writes_what_its_documentation_names(undisturbed: Path) -> None:
    assert {"corpus", "config.yaml", "work", "dataset", "score.json"} <= {path.name for path in undisturbed.iterdir()}
    assert {"00000.tar", "00000.parquet", "00000_stats.json", "manifest.json", "README.md"} <= {
        path.name for path in (undisturbed / "dataset").iterdir()
    }


def test_every_image_is_accounted_for_and_every_figure_is_there(undisturbed: Path) -> None:
    score = _score(undisturbed)
    assert score["images_in"] == NUM_IMAGES == sum(score["statuses"].values())
    for name, value in score.items():
        assert value is not None or score[f"{name}_why"]


def test_the_checkpoints_see_what_is_there(undisturbed: Path) -> None:
    score = _score(undisturbed)
    for name in ("caption_attribute_precision", "caption_attribute_recall", "box_recall_iou50", "box_precision_iou50"):
        assert score[name] >= 0.85, name
    assert score["negatives_per_region"] >= 8
    assert score["negatives_false_rate"] >= 0.97


def test_run_again_it_has_nothing_to_do_and_touches_no_table(undisturbed: Path) -> None:
    before = times(undisturbed / "work")
    assert "nothing to be done" in _demo(undisturbed)
    assert times(undisturbed / "work") == before


def _killed(out: Path, corpus: Path, *more: str) -> dict[str, int]:
    """Start the demo on this corpus and kill its driver once regions are being captioned; when each committed table was written."""
    out.mkdir()
    shutil.copytree(corpus, out / "corpus")
    process = subprocess.Popen(_command(out, *more), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE_S
    while not list(out.glob("work/select/*/*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {name: when for name, when in times(out / "work").items() if name.endswith(".parquet")}
    assert any(name.startswith("caption/") for name in kept)
    assert not (out / "dataset" / "manifest.json").exists()
    return kept


def test_killed_in_the_middle_and_started_again_it_exports_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = _killed(out, undisturbed / "corpus")
    _demo(out)
    after = times(out / "work")
    assert all(after[name] == when for name, when in kept.items())
    assert files(out / "dataset") == files(undisturbed / "dataset")


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_killed_and_started_again_keeps_its_tables_and_answers_as_transformers_does(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = _killed(out, undisturbed / "corpus", "--engine", "vllm")
    _demo(out, "--engine", "vllm")
    after = times(out / "work")
    assert all(after[name] == when for name, when in kept.items())
    assert _score(out)["statuses"] == _score(undisturbed)["statuses"]
    pairs = list(pairs_of(open_job(undisturbed / "config.yaml").state(), open_job(out / "config.yaml").state()))
    assert sum(pair.stage == "caption" for pair in pairs) == NUM_IMAGES
    assert sum(pair.first != pair.second for pair in pairs) <= 0.02 * len(pairs)
