"""Servers that answer badly, once or always, and servers that go away: one bad answer is one question's, a server's absence nobody's."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench.faults.hostile import HOSTILITIES, HostileServer, Hostility
from bench.faults.job import Driver, committed, compare, dataset, write_job
from bench.faults.table import Fault, Tally
from schemas.rows import PASSING

_AWAY_S = 12.0
_CAPTION, _REGION = "Describe the image.", "Describe the "


def _keys(times: int) -> int:
    """So many images that every other one can be struck, and some stay well."""
    return 2 * times + 10


def _job(folder: Path, url: str, keys: int) -> Path:
    spec = {"kind": "openai", "model": "m", "base_url": url, "timeout_s": 2, "max_retries": 1}
    engines = {"captioner": spec, "detector": {"kind": "rehearsal-detector"}}
    return write_job(folder, keys=keys, unit_size=4, engines=engines)


def _ran(config: Path, *command: str) -> str:
    code, stderr = Driver(*(command or ("run",)), config).ended()
    assert code == 0, f"exit {code}: {stderr[-300:]}"
    return stderr


def _reference(scratch: Path, keys: int) -> dict[str, bytes]:
    with HostileServer(lambda _: None).running() as server:
        config = _job(scratch / "undisturbed", server.url, keys)
        _ran(config)
    return dataset(config)


class _Victims:
    """Gives each kind of hostility a question of its own, as they come; `times` is how often it strikes it."""

    def __init__(self, kinds: list[Hostility], times: float) -> None:
        self._kinds, self._times, self._lock = kinds, times, threading.Lock()
        self.chosen: dict[str, Hostility] = {}
        self._left: dict[str, float] = {}
        self._num_seen = 0

    def __call__(self, question: str) -> Hostility | None:
        with self._lock:
            self._num_seen += 1
            is_new = question not in self._left and self._kinds and question.startswith(_CAPTION)
            if is_new and self._num_seen > 2 and self._num_seen % 2:  # the first two are the trial's; every other image stays well
                self.chosen[question] = self._kinds.pop()
                self._left[question] = self._times
            if self._left.get(question, 0) <= 0:
                return None
            self._left[question] -= 1
            return self.chosen[question]


def _once(scratch: Path, times: int) -> Tally:
    """Each kind strikes one question once: the data set is that of an undisturbed run."""
    tally, keys = Tally(), _keys(times)
    reference = _reference(scratch, keys)
    kinds = [hostility for hostility in HOSTILITIES if hostility.kind in PASSING][:times]
    victims = _Victims(list(kinds), times=1)
    with HostileServer(victims).running() as server:
        config = _job(scratch / "run", server.url, keys)
        _ran(config)
        tally.injected = len(victims.chosen)
        compare(tally, config, reference, keys)
    if tally.injected != len(kinds):
        tally.wrong = f"{tally.injected} of {len(kinds)} kinds met a question"
    tally.message = "nothing: the question is asked again"
    return tally


def _always(scratch: Path, times: int) -> Tally:
    """Each kind strikes one question for ever: its image alone fails, with that kind; once the server is mended, `retry` makes all good."""
    tally, keys = Tally(), _keys(times)
    reference = _reference(scratch, keys)
    kinds = [hostility for hostility in HOSTILITIES if hostility.kind is not None][:times]
    victims = _Victims(list(kinds), times=float("inf"))
    with HostileServer(victims).running() as server:
        config = _job(scratch / "run", server.url, keys)
        _ran(config)
        tally.injected = len(victims.chosen)
        expected = sorted(str(hostility.kind) for hostility in victims.chosen.values())
        if _reasons(config) != expected:
            tally.wrong = f"images failed as {_reasons(config)}, expected {expected}"
        server.chooses = lambda _: None
        _ran(config, "retry")
        _ran(config)
        tally.message = f"{len(expected)} of {keys} images failed, each as its kind; after `fgdata retry` none"
        compare(tally, config, reference, keys)
    return tally


def _reasons(config: Path) -> list[str]:
    """Of the captions that failed, why."""
    reasons: list[str] = []
    for path in committed(config):
        if path.startswith("caption/"):
            table = pq.read_table(config.parent / "work" / path, columns=["status", "reason"])
            reasons += [row["reason"] for row in table.to_pylist() if row["status"] != "ok"]
    return sorted(reasons)


def _away(is_moment: Callable[[HostileServer, int], bool]) -> Callable[[Path, int], Tally]:
    """The server ends at a moment of the run and is back after a while: the run waits and says so, nothing fails."""

    def inject(scratch: Path, times: int) -> Tally:
        tally, keys = Tally(), 22
        reference = _reference(scratch, keys)
        for number in range(times):
            first = HostileServer(lambda _: None)
            first.pause_s = 0.3
            port = int(first.server_address[1])
            with first.running():
                config = _job(scratch / f"run{number}", first.url, keys)
                driver = Driver("run", config)
                _wait_for(lambda first=first, number=number: is_moment(first, number))
            time.sleep(_AWAY_S)
            with HostileServer(lambda _: None, port=port).running():
                code, stderr = driver.ended()
            tally.injected += 1
            words = [line for line in stderr.splitlines() if "away for" in line]
            tally.message = tally.message or (words or [""])[0]
            if code or _reasons(config) or not words:
                tally.wrong = f"exit {code}: {stderr[-200:]}; failed: {_reasons(config)}"
            compare(tally, config, reference, keys)
        return tally

    return inject


def _wait_for(is_so: Callable[[], Any]) -> None:
    until = time.monotonic() + 300
    while not is_so():
        assert time.monotonic() < until, "the run asked no question"
        time.sleep(0.05)


FAULTS: tuple[Fault, ...] = (
    Fault("an engine server answers badly, each kind once", _once, len(HOSTILITIES), 6),
    Fault("an engine server answers badly, each kind always", _always, len(HOSTILITIES), 0),
    Fault("an engine server is away for 12 s", _away(lambda server, number: server.num_asked > 6 + 5 * number), 4, 0),
    # It was there when the run looked, and is gone before the trial question.
    Fault("an engine server is away for 12 s from the start", _away(lambda server, _: server.num_looked > 0), 1, 0),
)
