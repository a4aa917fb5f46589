"""Which drivers are at work on a workdir: each leaves a marker that names the fingerprints it reads. It locks nothing."""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pipeline.storage import Storage, remote_errors

RENEWED_S = 60.0
EXPIRES_S = 600.0
_SUFFIX = ".driver"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Driver:
    """A driver as its marker names it; `fingerprints`: those of its stages."""

    marker: str
    host: str
    process: int
    fingerprints: frozenset[str]


@contextmanager
def present(workdir: Storage, fingerprints: Mapping[str, str]) -> Iterator[None]:
    """Keep a marker for the time of a run. `fingerprints`: stage -> fingerprint.

    It is there before the run lists what is committed, and renewed each minute, so that nothing that the run reads is removed.
    """
    marker = f"runs/{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}{_SUFFIX}"
    named = {"host": socket.gethostname(), "process": os.getpid(), "fingerprints": dict(fingerprints)}

    def renew() -> None:
        workdir.write(marker, json.dumps({**named, "renewed": time.time()}).encode())

    def keep() -> None:
        while not ended.wait(RENEWED_S):
            try:
                renew()
            except remote_errors() as error:  # the run itself will meet the same; an old marker lasts ten minutes
                logger.warning("the marker %s could not be renewed: %s", marker, error)

    renew()
    ended = threading.Event()
    thread = threading.Thread(target=keep, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(*remote_errors()):
            workdir.delete(marker)


def drivers(workdir: Storage) -> list[Driver]:
    """The drivers whose markers are not older than ten minutes."""
    return [driver for driver, age_s in _read(workdir) if age_s < EXPIRES_S]


def forgotten(workdir: Storage) -> list[str]:
    """Markers of drivers that ended without removing them."""
    return [driver.marker for driver, age_s in _read(workdir) if age_s >= EXPIRES_S]


def _read(workdir: Storage) -> Iterator[tuple[Driver, float]]:
    markers = [entry.path for entry in workdir.files("runs") if entry.path.endswith(_SUFFIX)]
    for marker, content in zip(markers, workdir.read_many(markers), strict=True):
        if content is not None:
            marked = json.loads(content)
            driver = Driver(marker, marked["host"], marked["process"], frozenset(marked["fingerprints"].values()))
            yield driver, abs(time.time() - marked["renewed"])
