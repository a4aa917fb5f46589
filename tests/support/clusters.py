"""Ray clusters of several nodes on this machine, as an operator starts them, and the runs that join them."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ray.cluster_utils import Cluster

PATIENCE_S = 300


@contextlib.contextmanager
def open_cluster() -> Iterator[Cluster]:
    """A head with two cores that asks nobody for a token; a test adds nodes and takes them away."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        yield made
    finally:
        made.shutdown()


def wait_for_first_caption(driver: subprocess.Popen[str], folder: Path) -> None:
    """Returns once the run of the job in this folder has committed a unit's captions, while it goes on."""
    until = time.monotonic() + PATIENCE_S
    while not list(folder.glob("work/caption/*/*.parquet")):
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
