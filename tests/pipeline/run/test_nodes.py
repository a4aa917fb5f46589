"""A cluster of two nodes, one of which goes away in the middle of a run: nobody is blamed, nothing is lost."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.support.clusters import PATIENCE_S, open_cluster, wait_for_first_caption
from tests.support.rehearsal_job import write_job, write_tar

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[3]
STAGES = ["caption", "ground", "select", "region_caption", "hard_negative", "export"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head with two cores; the test adds nodes."""
    with open_cluster() as made:
        yield made


def test_a_lost_node_is_nobodys_fault_and_its_units_run_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    spot = cluster.add_node(num_cpus=1, resources={"spot": 1})
    cluster.wait_for_nodes()
    write_tar(tmp_path / "corpus" / "a.tar", [f"a{i}" for i in range(16)])
    placement = {name: {"cpus": 0.1} for name in STAGES}
    placement["caption"] |= {"custom": {"spot": 0.5}}
    config = write_job(
        tmp_path,
        captioner={"delay_s": 1.0},
        corpus={"path": "corpus", "unit_size": 2},
        placement={"schedule": "stages", "address": cluster.address, "wait_for_nodes": True, "stages": placement},
    )
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--json"]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_first_caption(driver, tmp_path)
    cluster.remove_node(spot, allow_graceful=False)
    cluster.add_node(num_cpus=1, resources={"spot": 1})
    output, error = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, error
    assert json.loads(output)["stages"]["caption"]["deaths"] >= 1
    assert not list((tmp_path / "work").glob("deaths/**/*.*"))
    status = [sys.executable, "-m", "pipeline.cli", "status", str(config), "--json"]
    counted = json.loads(subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert {stage["name"]: stage["images"] for stage in counted["stages"]} == {name: {"ok": 16} for name in STAGES}
