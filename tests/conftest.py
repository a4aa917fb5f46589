"""Fixtures that several test files share."""

import os
from collections.abc import Iterator

import fsspec
import pytest


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
    from pipeline.cluster import connected

    with connected(None):
        yield
