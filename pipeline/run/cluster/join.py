"""Joining a Ray cluster or starting a Ray of our own, for the time of a run."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.run.cluster import guard
from pipeline.run.cluster.holdings import local_cpus
from pipeline.run.cluster.travel import runtime_env

_LISTENING_S = 5
_LEAST_MIB = 64


class ClusterError(ValueError):
    """The cluster cannot be reached or cannot hold what is asked of it."""


@contextlib.contextmanager
def connected(address: str | None, say: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    """Ray on this machine, or the cluster at `address`, for the time of a run; yields the folder of Ray's own logs.

    A Ray of our own is alone: nobody else can ask it for anything. A Ray that this process has already joined is used and left as
    it is. `say` is told what the user must know of a joined cluster.

    Raises: ClusterError where the cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        yield _logs()
        return
    with contextlib.ExitStack() as around:
        address = _address_of_auto() if address == "auto" else address
        if address is None:
            _check_room()
            around.enter_context(guard.alone())
        else:
            if _asks_for_token(address):
                around.enter_context(guard.with_token())
            _check_node_here(address)
        _connect(address, say)
        around.callback(ray.shutdown)
        gcs = ray.get_runtime_context().gcs_address
        if address is not None and guard.stance(gcs) == "open":
            say(guard.UNGUARDED.format(address=gcs))
        yield _logs()


def _logs() -> str:
    import ray

    return str(Path(ray._private.worker.global_worker.node.get_logs_dir_path()))  # noqa: SLF001  # no public way to it


def _connect(address: str | None, say: Callable[[str], None]) -> None:
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if address is None:
        # `local`: else RAY_ADDRESS would have it join another
        options |= {"address": "local", "include_dashboard": False, "num_cpus": local_cpus()}
    else:
        options |= {"address": address, "runtime_env": runtime_env()}
    # In spite of log_to_driver the driver prints what raylets say to stdout, pages of it when a worker or node dies. Their logs hold it.
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001  # no public way
    before = _children()
    for is_last in (address is not None, True):
        try:
            with _own_signals(), guard.on_loopback() if address is None else contextlib.nullcontext():
                ray.init(**options)
            return
        except Exception as error:  # Ray raises bare ones too, where a process of its own ends while it starts
            message = " ".join(str(error).split())[:300]
            if is_last:
                raise ClusterError(f"no Ray at {address or 'this machine'}: {message}") from error
            # Ray gives a start 30 s, whatever else a machine has to do, and does not see that a process of its own has been killed.
            say(f"Ray has not started: {message.split('. ')[0]}; it is started once more")
            ray.shutdown()
            _end(_children() - before)


def _children() -> set[int]:
    """The processes that this one has started."""
    children = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if status.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                children.add(int(status.parent.name))
    return children


def _end(processes: set[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


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


def _check_room() -> None:
    """Raises: ClusterError where the folder that Ray would write to is full: it would try for a minute and not say why."""
    from ray._common.utils import get_default_system_temp_dir  # no public way: where it writes by default

    folder = Path(get_default_system_temp_dir())
    try:
        free_mib = shutil.disk_usage(folder).free / 2**20
    except OSError as error:
        raise ClusterError(f"no Ray at this machine: its folder {folder} cannot be used: {error.strerror}; set RAY_TMPDIR") from error
    if free_mib < _LEAST_MIB:
        raise ClusterError(
            f"no Ray at this machine: {folder}, where it writes, is full ({free_mib:.0f} MiB are free, {_LEAST_MIB} are needed); free "
            "space there, or set RAY_TMPDIR to another folder"
        )


def _address_of_auto() -> str:
    """Where `auto` leads to. Ray itself would join any Ray that it sees on this machine, or wait for one that it may not join.

    Raises: ClusterError where it leads nowhere.
    """
    from ray._private.utils import read_ray_address  # no public way

    place = os.environ.get("RAY_ADDRESS") or read_ray_address()
    if not place:
        raise ClusterError(
            "no Ray at auto: RAY_ADDRESS is not set, and no cluster was started on this machine with `ray start`; name its address, or "
            "leave out the address for a Ray of this run's own"
        )
    return str(place)


def _check_node_here(place: str) -> None:
    """A driver needs a node of the cluster on its own machine. Ray would look for one for two minutes, or end the process where it hangs.

    Raises: ClusterError where none is, or the one that is there does not answer.
    """
    if "://" in place:
        return
    import ray._private.services as services  # no public way: which nodes are on this machine

    until = time.monotonic() + _LISTENING_S
    while not (nodes := _nodes(place, services.find_node_ids())):
        if time.monotonic() > until:
            raise ClusterError(
                f"the Ray at {place} has no node on this machine, and a run needs one: run on a node of the cluster, or make this "
                f"machine one: ray start --address={place} --num-cpus=0"
            )
        time.sleep(0.5)
    node = next((each for each in nodes if each.is_head_node), nodes[0])
    raylet = f"{node.node_manager_address}:{node.node_manager_port}"
    if guard.is_silent(raylet):
        raise ClusterError(f"the Ray at {place} hangs: its node on this machine, {raylet}, does not answer; start it again")


def _nodes(place: str, ids: Sequence[str]) -> list[Any]:
    """The living nodes of these ids that the cluster there has."""
    from ray import NodeID, _raylet
    from ray.core.generated.gcs_pb2 import GcsNodeInfo
    from ray.core.generated.gcs_service_pb2 import GetAllNodeInfoRequest

    if not ids:
        return []
    compiled: Any = _raylet  # ships no types
    wanted = [GetAllNodeInfoRequest.NodeSelector(node_id=NodeID.from_hex(each).binary()) for each in ids]
    alive = GcsNodeInfo.GcsNodeState.ALIVE
    answer = compiled.GcsClient(address=place).get_all_node_info(timeout=_LISTENING_S, node_selectors=wanted, state_filter=alive)
    return list(answer.values())


def _asks_for_token(place: str) -> bool:
    """Whether the cluster there wants a token, which is then at hand. Ray itself would try for minutes and then abort the process.

    Raises: ClusterError where nothing or no Ray answers, or the token is missing or wrong.
    """
    host, _, port = place.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_LISTENING_S).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray at {place}: nothing listens there ({error}); `ray status` on the head node shows its address"
        ) from error
    answer = guard.stance(f"{host}:{port}") if "://" not in place else "open"
    if answer == "no Ray":
        raise ClusterError(f"what listens at {place} is no Ray, or does not answer; `ray status` on the head node shows its address")
    if answer == "guarded":
        token = guard.token_at_hand()
        if token is None or os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
            raise ClusterError(f"the Ray at {place} asks for a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or ~/.ray/auth_token")
        if guard.stance(f"{host}:{port}", token) == "guarded":
            raise ClusterError(f"the Ray at {place} refuses the token: set RAY_AUTH_TOKEN to the one that its head was started with")
    return answer == "guarded"
