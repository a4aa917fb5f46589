"""Placement that ends: a node is lost, the parts fit no node, a worker fits nowhere. Each run ends, or says why it waits."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from tests.support.clusters import PATIENCE_S, open_cluster, wait_for_first_caption
from tests.support.rehearsal_job import write_job

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[4]
STAGES = {"caption": {"prompt": "demo"}, "ground": {}, "select": {}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with two cores that asks nobody for a token; a test adds nodes and takes them away."""
    with open_cluster() as made:
        yield made


def _job(folder: Path, cluster: Cluster, cpus: Sequence[float], **placement: Any) -> Path:
    wanted = {name: {"cpus": amount} for name, amount in zip(STAGES, cpus, strict=True)}
    placement = {"address": cluster.address, "stages": wanted, **placement}
    captioner = placement.pop("captioner", {})
    return write_job(folder, stages=STAGES, export=None, captioner=captioner, placement=placement)


def _start(config: Path, root: Path = ROOT) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _status(config: Path) -> dict[str, dict[str, int]]:
    command = [sys.executable, "-m", "pipeline.cli", "status", str(config), "--json"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {stage["name"]: stage["images"] for stage in json.loads(output)["stages"]}


def test_a_streaming_run_ends_although_a_node_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    """Three workers of a core each on two nodes; one core is left for them, and then the stages must share it."""
    lost = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    config = _job(tmp_path, cluster, (1.5, 1.0, 1.0), schedule="streaming", captioner={"delay_s": 1.0})
    driver = _start(config)
    wait_for_first_caption(driver, tmp_path)
    cluster.remove_node(lost, allow_graceful=False)
    _, stderr = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, stderr
    assert stderr.count("asks nobody for a token") == 1
    assert set(map(str, _status(config).values())) == {"{'ok': 14}"}
    assert not list((tmp_path / "work").glob("deaths/**/*.*")), "a lost node counts against no image"


def test_parts_that_fit_no_node_run_one_after_another(cluster: Cluster, tmp_path: Path) -> None:
    """Four cores in all; 1.5, 1.5 and 1 add up to them and fit no two nodes of two: from a checkout beside a file of 3 GB."""
    checkout = tmp_path / "checkout"
    for name in ("fgdata", "pipeline", "prompts", "schemas", "stages"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", checkout)
    with (checkout / "images.tar").open("wb") as file:
        file.truncate(3 * 2**30)
    other = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    config = _job(tmp_path, cluster, (1.5, 1.5, 1.0), schedule="auto")
    driver = _start(config, checkout)
    _, stderr = driver.communicate(timeout=PATIENCE_S)
    cluster.remove_node(other)
    assert driver.returncode == 0, stderr
    assert set(map(str, _status(config).values())) == {"{'ok': 14}"}


def test_a_worker_that_no_node_holds_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    driver = _start(_job(tmp_path, cluster, (3.0, 0.1, 0.1)))
    _, stderr = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 2
    assert "placement of caption: room for 0 of 1 workers, each of 3 CPUs, on 1 node of 2 CPUs" in stderr


@pytest.mark.slow
def test_a_worker_that_waits_for_a_node_is_named(cluster: Cluster, tmp_path: Path) -> None:
    driver = _start(_job(tmp_path, cluster, (3.0, 0.1, 0.1), wait_for_nodes=True))
    assert driver.stderr is not None
    until = time.monotonic() + PATIENCE_S
    line = ""
    while "no node holds it" not in line:
        line = driver.stderr.readline()
        assert line, "it has ended"
        assert time.monotonic() < until
    assert "caption: 1 of 1 workers have waited 3" in line
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 130
