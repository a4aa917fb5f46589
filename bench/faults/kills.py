"""Random kills: of the driver, its group, a worker (while it is born too), Ray's own processes. Nothing of it is an image's fault."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.faults.job import STAGES, Driver, committed, compare, rerun, undisturbed, write_job
from bench.faults.table import Fault, Tally

# What the command line of a process holds.
_WORKER, _BIRTH, _RAYLET, _GCS = "ray::_Actor", "ray::_Actor.__init__", "raylet/raylet", "gcs_server"
_ENGINE = "rehearsed-engine"
_RESUMES = "nothing; `fgdata run` again goes on"


@dataclass(frozen=True)
class _Kill:
    """How a kind of process is killed: `strike` says whether there was one. `a_run`: so often in one run, each after at most `pause_s`;
    None: once, at any moment of a run, which ends with it."""

    name: str
    strike: Callable[[Driver, random.Random], bool]
    a_run: int | None
    message: str
    pause_s: float = 4.0
    has_process: bool = False


def _end(process: int) -> bool:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _driver(driver: Driver, _: random.Random) -> bool:
    return driver.process.poll() is None and _end(driver.process.pid)


def _group(driver: Driver, _: random.Random) -> bool:
    """What a scheduler's kill hits: the groups of the command and of its child, which Ray's processes are in."""
    if driver.process.poll() is not None:
        return False
    children = [process for process, line in driver.processes().items() if "pipeline.cli" in line]
    for group in {os.getpgid(process) for process in (driver.process.pid, *children)}:
        os.killpg(group, signal.SIGKILL)
    return True


def _process_with(part: str) -> Callable[[Driver, random.Random], bool]:
    def strike(driver: Driver, rng: random.Random) -> bool:
        processes = [process for process, line in driver.processes().items() if part in line]
        return bool(processes) and _end(rng.choice(processes))

    return strike


def _kills(kind: _Kill) -> Callable[[Path, int], Tally]:
    """Runs of the job in which it strikes at random moments, each with at most one rerun; compared with an undisturbed run."""

    def inject(scratch: Path, times: int) -> Tally:
        tally, reference = Tally(), undisturbed().files
        number = 0
        while tally.injected < times and not tally.wrong:
            config = write_job(scratch / f"run{number}", {"has_process": kind.has_process, "delay_s": 0.5 if kind.a_run is None else 1.0})
            _strike(config, kind, random.Random(f"kills/{kind.name}/{number}"), tally, times)
            compare(tally, config, reference)
            number += 1
        return tally

    return inject


def _strike(config: Path, kind: _Kill, rng: random.Random, tally: Tally, times: int) -> None:
    driver, struck = Driver("run", config), 0.0
    for _ in range(kind.a_run or 1):
        until = time.monotonic() + rng.uniform(0.1, kind.pause_s if kind.a_run else undisturbed().seconds)
        while driver.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        while driver.process.poll() is None and tally.injected < times:
            if kind.strike(driver, rng):
                struck, tally.injected = time.monotonic(), tally.injected + 1
                break
            time.sleep(0.02)
    before = committed(config)
    code, stderr = driver.ended()
    if struck and kind.a_run is None:
        tally.noticed(time.monotonic() - struck)
    tally.message = tally.message or kind.message or ((stderr.strip().splitlines() or [""])[-1].removeprefix("fgdata: ") if code else "")
    if code != 0 and kind.a_run is not None:
        tally.wrong = f"the run ended with {code}: {stderr[-200:]}"
    elif code != 0:
        code, stderr = rerun(config)
        tally.wrong = f"the rerun ended with {code}: {stderr[-200:]}" if code else ""
    after = committed(config)
    tally.differing += sum(after.get(name) != content for name, content in before.items())


def _no_memory(scratch: Path, times: int) -> Tally:
    """Ray's memory watch ends every worker, as it does where a node is full; the run stops, names it, and goes on once there is room."""
    tally, reference = Tally(), undisturbed().files
    for number in range(times):
        config = write_job(scratch / f"run{number}")
        driver = Driver("run", config, environment={"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "100"})
        started = time.monotonic()
        code, stderr = driver.ended()
        tally.injected += 1
        tally.noticed(time.monotonic() - started)
        tally.message = (stderr.strip().splitlines() or [""])[-1].removeprefix("fgdata: ")
        tally.wrong = "" if code == 2 and "memory" in tally.message else f"exit {code}: {stderr[-200:]}"
        code, stderr = rerun(config)
        tally.wrong = tally.wrong or (f"the rerun ended with {code}: {stderr[-200:]}" if code else "")
        compare(tally, config, reference)
    return tally


def _lost_nodes(scratch: Path, times: int) -> Tally:
    """A cluster of two nodes whose second, on which captions are made, goes in the middle of a run and is replaced."""
    from ray.cluster_utils import Cluster

    tally, reference = Tally(message="nothing: its units run elsewhere"), undisturbed().files
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        for number in range(times):
            spot = cluster.add_node(num_cpus=1, resources={"spot": 1})
            cluster.wait_for_nodes()
            stages: dict[str, Any] = {name: {"cpus": 0.1} for name in STAGES}
            stages["caption"]["custom"] = {"spot": 0.5}
            placement = {"schedule": "stages", "address": cluster.address, "wait_for_nodes": True, "stages": stages}
            config = write_job(scratch / f"run{number}", placement=placement)
            driver = Driver("run", config)
            while len(committed(config)) < 1 + number % 4 and driver.process.poll() is None:
                time.sleep(0.05)
            cluster.remove_node(spot, allow_graceful=False)
            replacement = cluster.add_node(num_cpus=1, resources={"spot": 1})
            code, stderr = driver.ended()
            cluster.remove_node(replacement)
            tally.injected += 1
            marks = list((config.parent / "work" / "deaths").rglob("*.*"))
            tally.wrong = tally.wrong or (f"exit {code}: {stderr[-200:]}" if code else "") or (f"blamed: {marks[0].name}" if marks else "")
            compare(tally, config, reference)
    finally:
        cluster.shutdown()
    return tally


def _two_drivers(scratch: Path, times: int) -> Tally:
    """Two runs of one configuration at the same time: both end well, and what they wrote is what one alone writes."""
    tally, reference = Tally(message="nothing"), undisturbed().files
    for number in range(times):
        config = write_job(scratch / f"run{number}")
        pair = [Driver("run", config), Driver("run", config)]
        ends = [driver.ended() for driver in pair]
        tally.injected += 1
        tally.wrong = next((f"exit {code}: {stderr[-200:]}" for code, stderr in ends if code), "")
        compare(tally, config, reference)
    return tally


# 110 kills; in a sample one of a kind that CI can afford.
FAULTS = (
    Fault("driver", _kills(_Kill("driver", _driver, None, _RESUMES)), times=20),
    Fault("process group", _kills(_Kill("group", _group, None, _RESUMES)), times=10),
    Fault("worker", _kills(_Kill("worker", _process_with(_WORKER), 5, "nothing: the run goes on")), times=30, sample=3),
    Fault(
        "worker while it is born", _kills(_Kill("birth", _process_with(_BIRTH), 3, "nothing: it is born again", 1.0)), times=15, sample=2
    ),
    Fault("raylet", _kills(_Kill("raylet", _process_with(_RAYLET), None, "")), times=10, sample=1),
    Fault("GCS", _kills(_Kill("GCS", _process_with(_GCS), None, "")), times=10),
    Fault(
        "the engine's process",
        _kills(_Kill("engine", _process_with(_ENGINE), 3, "nothing: the run goes on", has_process=True)),
        times=10,
    ),
    Fault("node", _lost_nodes, times=5),
    Fault("Ray ends workers for memory", _no_memory, times=1),
    Fault("two drivers on one workdir", _two_drivers, times=3),
)
