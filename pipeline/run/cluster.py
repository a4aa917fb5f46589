"""Ray: joining or starting it, and what it holds."""

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.run.code_digest import PACKAGES
from stages.engines.specs import Resources

_EXCLUDES = [".git", ".venv*", "demo-out", "docs", "tests", "bench", "**/__pycache__"]

_NODE_PATIENCE_S = 60
_LISTENING_S = 5


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
    _check_listening(address)
    # In spite of log_to_driver the driver prints what raylets say to stdout, pages of it when a worker or node dies. Their logs hold it.
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001  # no public way
    try:
        with _own_signals():
            ray.init(**options)
    except Exception as error:  # Ray raises bare ones too, where a process of its own ends while it starts
        raise ClusterError(f"no Ray at {address or 'this machine'}: {' '.join(str(error).split())[:300]}") from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself and aborts on it; after this the handlers are ours again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _check_listening(address: str | None) -> None:
    """Ray itself would try for minutes and then abort the process.

    Raises: ClusterError where nothing listens.
    """
    from ray._private.utils import read_ray_address  # no public way: where `auto` leads to

    place = (os.environ.get("RAY_ADDRESS") or read_ray_address() or "") if address == "auto" else address or ""
    host, _, port = place.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_LISTENING_S).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray at {place}: nothing listens there ({error}); `ray status` on the head node shows its address"
        ) from error


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
    """Distributions other than ours that own one of our top-level names, and packages that lie apart. Empty: all is well.

    Another distribution named like ours overwrites our files silently; an editable install lists no packages at all, so
    both the folders and the names are compared.
    """
    found = []
    owners = importlib.metadata.packages_distributions()
    for name in PACKAGES:
        found += [f"'{name}' also belongs to the package {owner}" for owner in owners.get(name, []) if owner != "fgdata"]
        spec = importlib.util.find_spec(name)
        folder = Path(str(spec.origin)).parents[1] if spec is not None else None
        if folder != Path(__file__).parents[2]:
            found.append(f"'{name}' is imported from {folder}, not from beside pipeline")
    return sorted(set(found))
