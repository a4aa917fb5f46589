"""Ray clusters of several nodes on this machine, as an operator starts them: what this process has of a Ray of its own is not handed on."""

import contextlib
import os
from collections.abc import Iterator

from ray.cluster_utils import Cluster


@contextlib.contextmanager
def open_cluster() -> Iterator[Cluster]:
    """A head with two cores that asks nobody for a token; a test adds nodes and takes them away."""
    own = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith(("RAY_AUTH_", "VLLM_HOST_IP", "GLOO_", "NCCL_"))}
    try:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        try:
            yield made
        finally:
            made.shutdown()
    finally:
        os.environ.update(own)
