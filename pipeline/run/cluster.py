"""Ray: joining or starting it, and what it holds."""

import contextlib
import importlib.metadata
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stages.engines.specs import Resources

_EXCLUDES = [".git", ".venv*", "demo-out", "docs", "tests", "bench", "**/__pycache__"]

_NODE_PATIENCE_S = 60


class ClusterError(ValueError):
    """The cluster cannot be reached or cannot hold what is asked of it."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[str]:
    """Ray on this machine, or the cluster at `address`, for the time of a run; yields the folder of Ray's own logs.

    A Ray that this process has already joined is used and left as it is.

    Raises: ClusterError where the cluster does not answer.
    """
    import ray

    was_connected = ray.is_initialized()
    if not was_connected:
        _connect(address)
    try:
        yield str(Path(ray._private.worker.global_worker.node.get_logs_dir_path()))  # noqa: SLF001  # no public way to it
    finally:
        if not was_connected:
            ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    # Ray 2.60 may switch token authentication on by itself; a cluster that wants it sets this before us.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if address is None:
        options |= {"address": "local", "include_dashboard": False}  # else RAY_ADDRESS would have it join another
    else:
        options |= {"address": address, "runtime_env": _runtime_env()}
    # In spite of log_to_driver the driver prints what raylets say to stdout, pages of it when a worker or node dies. Their logs hold it.
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001  # no public way
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray at {address or 'this machine'}: {' '.join(str(error).split())[:300]}") from error


def _runtime_env() -> dict[str, Any]:
    """From a checkout the code travels, unless a submitted job has brought it; from an installed wheel the nodes have it."""
    has_brought = "working_dir" in os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "")
    if has_brought and "RAY_OVERRIDE_JOB_RUNTIME_ENV" not in os.environ:
        return {}
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        return {"working_dir": str(root), "excludes": _EXCLUDES}
    return {}


def holdings() -> tuple[float, float]:
    """CPU cores and GPUs of the whole cluster."""
    import ray

    resources = ray.cluster_resources()
    return float(resources.get("CPU", 0)), float(resources.get("GPU", 0))


def holds_all(wanted: Sequence[Resources]) -> bool:
    """Whether all these workers fit at once."""
    cpus, gpus = holdings()
    return sum(r.cpus * r.actors for r in wanted) <= cpus and sum(r.gpus * r.actors for r in wanted) <= gpus


def node_answers(node_id: str) -> bool:
    """Whether a node still runs what it is given. Ray lists a node as alive for a while after it has gone, so it is asked."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(node_id, soft=False)
    question = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(_answer).remote()
    try:
        return bool(ray.get(question, timeout=_NODE_PATIENCE_S))
    except (ray.exceptions.RayError, TimeoutError):
        return False


def _answer() -> bool:
    return True


def collisions() -> list[str]:
    """Distributions other than ours that own one of our four top-level names, and packages that lie apart. Empty: all is well.

    Another distribution named like ours overwrites our files silently; an editable install lists no packages at all, so
    both the folders and the names are compared.
    """
    import pipeline
    import prompts
    import schemas
    import stages

    found = []
    owners = importlib.metadata.packages_distributions()
    for module in (pipeline, prompts, schemas, stages):
        name = module.__name__
        found += [f"'{name}' also belongs to the package {owner}" for owner in owners.get(name, []) if owner != "fgdata"]
        folder = Path(str(module.__file__)).parent.parent
        if folder != Path(str(pipeline.__file__)).parent.parent:
            found.append(f"'{name}' is imported from {folder}, not from beside pipeline")
    return sorted(set(found))
