"""Fixtures that several test files share."""

import contextlib
import os
import signal
from collections.abc import Iterator

import fsspec
import pytest
from jaxtyping import install_import_hook

from tests.support.driver import Driver

# Shapes and types in the signatures of these are checked at each call, in tests alone: what is imported after this line.
SHAPED = ("schemas.boxes", "stages.audit", "stages.train")
install_import_hook(SHAPED, "beartype.beartype")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters of several nodes come first: one that is started beside a Ray that this process has started already lets nobody join."""
    items.sort(key=lambda item: "cluster" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """`s3://fgdata-tests` on a moto server on loopback; processes started by a test inherit its address and keys."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    fsspec.filesystem("s3").mkdir("fgdata-tests")
    try:
        yield "s3://fgdata-tests"
    finally:
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """One Ray on this machine for the whole session; runs join it and leave it running."""
    from pipeline.run.cluster.join import connected

    with connected(None):
        yield


@pytest.fixture
def drivers() -> Iterator[list[Driver]]:
    """The drivers that a test starts; what a failed test leaves of them is ended by its process id."""
    # A shell's background job ignores interruptions, and so would everything that it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started: list[Driver] = []
    yield started
    signal.signal(signal.SIGINT, before)
    for driver in started:
        driver.process.poll()
        for process in driver.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with driver.process:  # its pipes are closed and it is waited for
            pass
