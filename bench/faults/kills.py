"""Random kills: of the driver, its group, a worker (while it is born too), Ray's own processes. Nothing of it is an image's fault."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.faults.job import STAGES, Driver, committed, compare, undisturbed, write_job
from bench.faults.table import Fault, Tally

# The process that a fault is about -> what its command line holds.
_WORKER, _BIRTH, _RAYLET, _GCS = "ray::_Actor", "ray::_Actor.__init__", "raylet/raylet", "gcs_server"
_ENGINE = "rehearsed-engine"
_ENDS_THE_RUN = {"driver", "group", "raylet", "GCS"}


def _processes(driver: Driver, part: str) -> list[int]:
    return [process for process, line in driver.processes().items() if part in line]


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _kill_driver(driver: Driver, _: random.Random) -> bool:
    _kill(driver.process.pid)
    return True


def _kill_group(driver: Driver, _: random.Random) -> bool:
    os.killpg(driver.process.pid, signal.SIGKILL)
    return True


def _kill_one(part: str) -> Callable[[Driver, random.Random], bool]:
    def kill(driver: Driver, rng: random.Random) -> bool:
        found = _processes(driver, part)
        if found:
            _kill(rng.choice(found))
        return bool(found)

    return kill


def _kills(name: str, kill: Callable[[Driver, random.Random], bool], latest_s: float, pause_s: float = 4.0) -> Callable[[Path, int], Tally]:
    """Runs of the job in which `kill` strikes at random moments within `latest_s`, up to three times a run where the run goes on."""

    def inject(scratch: Path, times: int) -> Tally:
        rng, tally = random.Random(f"kills/{name}"), Tally()
        reference = undisturbed(scratch / "undisturbed")
        number = 0
        while tally.injected < times and not tally.wrong:
            config = write_job(scratch / f"run{number}", {"has_process": name == "engine"})
            number += 1
            _strike(config, kill, rng, tally, times, latest_s if name in _ENDS_THE_RUN else pause_s, name in _ENDS_THE_RUN)
            compare(tally, config, reference)
        return tally

    return inject


def _strike(
    config: Path,
    kill: Callable[[Driver, random.Random], bool],
    rng: random.Random,
    tally: Tally,
    times: int,
    within_s: float,
    ends: bool,
) -> None:
    driver, struck = Driver("run", config), 0.0
    for _ in range(1 if ends else 3):
        until = time.monotonic() + rng.uniform(0.5, within_s)
        while driver.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        while driver.process.poll() is None and tally.injected < times and not kill(driver, rng):
            time.sleep(0.05)
        if driver.process.poll() is None or ends:
            struck, tally.injected = time.monotonic(), tally.injected + 1
    before = committed(config)
    code, said = driver.ended()
    if ends and struck:
        tally.noticed(time.monotonic() - struck)
        tally.message = tally.message or (said.strip().splitlines() or [""])[-1]
    if code != 0:
        code, said = Driver("run", config).ended()
    if code != 0:
        tally.wrong = f"the rerun ended with {code}: {said[-200:]}"
    after = committed(config)
    tally.differing += sum(after.get(name) != content for name, content in before.items())


def _lost_nodes(scratch: Path, times: int) -> Tally:
    """A cluster of two nodes whose second, on which captions are made, goes in the middle of a run and is replaced."""
    from ray.cluster_utils import Cluster

    tally, reference = Tally(), undisturbed(scratch / "undisturbed")
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
            while not committed(config) and driver.process.poll() is None:
                time.sleep(0.05)
            cluster.remove_node(spot, allow_graceful=False)
            replacement = cluster.add_node(num_cpus=1, resources={"spot": 1})
            code, said = driver.ended()
            cluster.remove_node(replacement)
            tally.injected += 1
            marks = list((config.parent / "work" / "deaths").rglob("*.*"))
            tally.wrong = tally.wrong or (f"exit {code}: {said[-200:]}" if code else "") or (f"blamed: {marks[0].name}" if marks else "")
            compare(tally, config, reference)
    finally:
        cluster.shutdown()
    return tally


def _two_drivers(scratch: Path, times: int) -> Tally:
    """Two runs of one configuration at the same time: both end well, and what they wrote is what one alone writes."""
    tally, reference = Tally(), undisturbed(scratch / "undisturbed")
    for number in range(times):
        config = write_job(scratch / f"run{number}")
        pair = [Driver("run", config), Driver("run", config)]
        ends = [driver.ended() for driver in pair]
        tally.injected += 1
        tally.wrong = next((f"exit {code}: {said[-200:]}" for code, said in ends if code), "")
        compare(tally, config, reference)
    return tally


FAULTS = (
    Fault("driver", _kills("driver", _kill_driver, 25), times=20, sample=1),
    Fault("group", _kills("group", _kill_group, 25), times=10),
    Fault("worker", _kills("worker", _kill_one(_WORKER), 25), times=30, sample=3),
    Fault("worker while it is born", _kills("birth", _kill_one(_BIRTH), 25), times=15, sample=1),
    Fault("raylet", _kills("raylet", _kill_one(_RAYLET), 25), times=10),
    Fault("GCS", _kills("GCS", _kill_one(_GCS), 25), times=10),
    Fault("the engine's process", _kills("engine", _kill_one(_ENGINE), 25), times=10, sample=1),
    Fault("node", _lost_nodes, times=5),
    Fault("two drivers on one workdir", _two_drivers, times=3),
)
