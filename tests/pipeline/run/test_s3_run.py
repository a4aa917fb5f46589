"""A run whose corpus, workdir and data set all lie on S3: the same bytes as a local run, and the same upkeep."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from typer.testing import CliRunner

from pipeline.api import open_job
from pipeline.cli import app
from pipeline.ledger.why import plan_of
from pipeline.run.dataset import write_dataset_files
from pipeline.run.export_place import EXPORT_MARK
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import files, job_content, write_job

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(s3_bucket: str) -> str:
    """An empty prefix of the bucket."""
    return f"{s3_bucket}/{uuid.uuid4().hex}"


def _job(folder: Path, root: str) -> Path:
    """The configuration of `write_job` with the corpus, the workdir and the export below `root`; its tars are uploaded."""
    write_job(folder)
    fsspec.filesystem("s3").put(f"{folder}/corpus/", f"{root}/corpus/", recursive=True)
    config = folder / "s3.yaml"
    content = job_content(f"{root}/corpus", workdir=f"{root}/work", export_to=f"{root}/dataset")
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    return config


def _objects(prefix: str) -> dict[str, dict[str, Any]]:
    """Path below the prefix -> what S3 says of the object: its digest, its size and when it was written."""
    bare = prefix.removeprefix("s3://")
    objects = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True).find(bare, detail=True)
    return {name.removeprefix(f"{bare}/"): info for name, info in objects.items()}


def _run(config: Path) -> dict[str, Any]:
    """The command in a process of its own, whose Ray knows where S3 is."""
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--json"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == 0, answer.stderr
    return dict(json.loads(answer.stdout))


@pytest.mark.ray
def test_a_run_on_s3_gives_the_bytes_of_a_local_run_and_a_second_one_writes_nothing(tmp_path: Path, root: str) -> None:
    config = _job(tmp_path, root)
    assert _run(config)["images"] == 14
    before = {name: info for name, info in _objects(root).items() if not name.startswith("work/corpus/")}
    exported = {name: fsspec.filesystem("s3").cat_file(f"{root}/dataset/{name}") for name in _objects(f"{root}/dataset")}
    assert _run(config)["run"] is None
    assert {name: info for name, info in _objects(root).items() if not name.startswith("work/corpus/")} == before

    local = open_job(tmp_path / "job.yaml")
    carry_all(tmp_path / "job.yaml")
    write_dataset_files(local.config, local.state())
    assert exported.keys() - files(tmp_path / "dataset").keys() == {EXPORT_MARK}
    assert {name: content for name, content in exported.items() if name != EXPORT_MARK} == files(tmp_path / "dataset")


def test_a_changed_parameter_its_plan_and_gc_on_s3(tmp_path: Path, root: str) -> None:
    config = _job(tmp_path, root)
    carry_all(config, until="select")
    first = {name for name in _objects(f"{root}/work") if name.startswith("select/")}
    config.write_text(config.read_text().replace("select: {}", "select: {min_score: 0.8}"))
    assert carry_all(config, until="select") == {"caption": 0, "ground": 0, "select": 4}
    removed = CliRunner().invoke(app, ["gc", str(config), "--yes", "--json"])
    assert set(json.loads(removed.stdout)["removed"]) == first
    left = _objects(f"{root}/work")
    assert not first & left.keys()
    assert len([name for name in left if name.startswith("select/")]) == 5
    assert [plan.pending for plan in plan_of(open_job(config, "select").state())] == [0, 0, 0]
