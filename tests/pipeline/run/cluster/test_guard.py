"""Nobody else may use the Ray under a run: it listens on loopback alone, and refuses there whoever lacks the run's token."""

import socket
import time
from pathlib import Path

import grpc
import pytest

from pipeline.run.processes import marked
from tests.support.driver import PATIENCE_S, Driver
from tests.support.listeners import listeners, outer_address
from tests.support.rehearsal_job import write_job

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

# What a stranger on this machine would ask, of whichever of Ray's processes takes it: to run code, to start workers, to read and write.
QUESTIONS = (
    "/ray.rpc.CoreWorkerService/PushTask",
    "/ray.rpc.CoreWorkerService/KillActor",
    "/ray.rpc.NodeManagerService/RequestWorkerLease",
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVPut",
    "/ray.rpc.ObjectManagerService/Pull",
)


def _answers(port: int, token: str | None) -> dict[str, str]:
    answers = {}
    metadata = None if token is None else (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        for question in QUESTIONS:
            try:
                channel.unary_unary(question)(b"", timeout=10, metadata=metadata)
                answers[question] = "answered"
            except grpc.RpcError as error:
                answers[question] = error.code().name
    return answers


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


@pytest.fixture
def running(tmp_path: Path, drivers: list[Driver]) -> Driver:
    """A run that is in the middle of its captions."""
    driver = Driver(write_job(tmp_path, captioner={"delay_s": 60.0}, stages={"caption": {"prompt": "demo"}}, export=None))
    drivers.append(driver)
    until = time.monotonic() + PATIENCE_S
    while not any("ray::_Actor" in line and "__init__" not in line for line in driver.processes().values()):
        assert driver.process.poll() is None, driver.process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.2)
    return driver


def test_every_listener_of_a_run_is_on_loopback_and_strangers_are_refused(running: Driver) -> None:
    open_ports = listeners(marked(f"FGDATA_TEST_MARK={running.mark}"))
    assert any("gcs_server" in line for _, _, line in open_ports)
    assert [each for each in open_ports if not _is_loopback(each[0])] == []
    outer = outer_address()
    if outer is not None:
        for _, port, _ in open_ports:
            with pytest.raises(OSError), socket.create_connection((outer, port), timeout=2):  # refused or filtered
                pass
    asked = [answers for _, port, _ in open_ports for answers in (_answers(port, None), _answers(port, "0" * 64))]
    assert all("answered" not in answers.values() for answers in asked)
    for question in QUESTIONS:
        assert any(answers[question] == "UNAUTHENTICATED" for answers in asked), question
    running.end(15)
