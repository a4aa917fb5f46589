"""Joining a cluster: by `ray job submit` with a token and without, and what is said where there is none to join."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from pipeline.run.cluster.join import ClusterError, connected
from pipeline.run.processes import marked
from tests.support.rehearsal_job import write_job

ROOT = Path(__file__).parents[4]
RAY = str(Path(sys.executable).parent / "ray")

Head = tuple[dict[str, str], int, int]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["token", "disabled"])
def head(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head node as an operator starts one: its environment, its port and its dashboard's."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FGDATA_"))}
    settings |= {"RAY_AUTH_MODE": request.param, "RAY_TMPDIR": str(tmp_path_factory.mktemp("r"))}
    settings |= {"RAY_AUTH_TOKEN": secrets.token_hex(16)} if request.param == "token" else {}
    port, dashboard = _free_port(), _free_port()
    command = [RAY, "start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=true"]
    command += [f"--dashboard-port={dashboard}", "--dashboard-agent-listen-port=0", "--disable-usage-stats"]
    process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield settings, port, dashboard
    process.terminate()
    process.wait(timeout=60)


def _write_job(folder: Path) -> Path:
    folder.mkdir()
    return write_job(folder, stages={"caption": {"prompt": "demo"}}, export=None, placement={"stages": {"caption": {"cpus": 0.1}}})


@contextlib.contextmanager
def _stopped(head: Head) -> Iterator[None]:
    """While the raylet of this head does nothing."""
    port = str(head[1])
    (raylet,) = [process for process, line in marked(head[0]["RAY_TMPDIR"]).items() if "raylet/raylet" in line and port in line]
    os.kill(raylet, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(raylet, signal.SIGCONT)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_submitted_job_runs_with_a_token_and_without_and_a_node_that_hangs_is_named(head: Head, tmp_path: Path) -> None:
    settings, port, dashboard = head
    config = _write_job(tmp_path / "submitted")
    entry = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--address", "auto"]
    environment = json.dumps({"env_vars": {"PYTHONPATH": str(ROOT)}})
    submit = [RAY, "job", "submit", "--address", f"http://127.0.0.1:{dashboard}", "--runtime-env-json", environment, "--", *entry]
    for _ in range(60):
        answer = subprocess.run(submit, env=settings, capture_output=True, text=True, timeout=300)
        if "Failed to connect" not in answer.stdout + answer.stderr and "ConnectionError" not in answer.stderr:
            break
        time.sleep(1)
    output = answer.stdout + answer.stderr
    assert answer.returncode == 0, output
    assert len(list(config.parent.glob("work/caption/*/*.parquet"))) == 4
    assert output.count("asks nobody for a token") == (settings["RAY_AUTH_MODE"] == "disabled")
    with _stopped(head):
        joined = _write_job(tmp_path / "joined")
        run = [sys.executable, "-m", "pipeline.cli", "run", str(joined), "--address", f"127.0.0.1:{port}"]
        answer = subprocess.run(run, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2
    assert "does not answer; start it again" in answer.stderr.strip().splitlines()[-1]


@pytest.fixture
def no_ray_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Ray other tests of this process share: a run that has one already joins no other."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)


def _said_where_there_is_none(address: str) -> str:
    started = time.monotonic()
    with pytest.raises(ClusterError) as error, connected(address):
        pass
    assert time.monotonic() - started < 15
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.usefixtures("no_ray_here")
def test_nothing_listens() -> None:
    assert "nothing listens there" in _said_where_there_is_none(f"127.0.0.1:{_free_port()}")


@pytest.mark.usefixtures("no_ray_here")
def test_no_cluster_was_started_that_auto_could_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray that another run started for itself is none: to join it would take minutes, and fail."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.utils.read_ray_address", lambda: None)
    assert "no cluster was started on this machine with `ray start`" in _said_where_there_is_none("auto")


@pytest.mark.usefixtures("no_ray_here")
def test_auto_is_where_ray_start_has_started_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    address = f"127.0.0.1:{_free_port()}"
    monkeypatch.setattr("ray._private.utils.read_ray_address", lambda: address)
    assert f"no Ray at {address}: nothing listens there" in _said_where_there_is_none("auto")


@pytest.mark.usefixtures("no_ray_here")
def test_the_token_is_missing_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that refuses whoever asks without its token."""
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_Guarded(),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        assert "asks for a token: set RAY_AUTH_MODE=token" in _said_where_there_is_none(address)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
        assert "refuses the token" in _said_where_there_is_none(address)
    finally:
        server.stop(None)


@pytest.mark.usefixtures("no_ray_here")
def test_no_node_of_the_cluster_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_Open(),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        monkeypatch.setattr("ray._private.services.find_node_ids", list)
        assert "has no node on this machine" in _said_where_there_is_none(address)
    finally:
        server.stop(None)


class _Open(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda *_: b"")


class _Guarded(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no"))


@pytest.mark.usefixtures("no_ray_here")
def test_the_folder_of_a_ray_of_our_own_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(ClusterError, match=r"where it writes, is full \(0 MiB are free, 64 are needed\)"), connected(None):
        pass


@pytest.mark.usefixtures("no_ray_here")
def test_something_listens_that_is_no_ray() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_nonsense, args=(server,), daemon=True).start()
        assert "is no Ray" in _said_where_there_is_none(f"127.0.0.1:{server.getsockname()[1]}")


def _answer_nonsense(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
