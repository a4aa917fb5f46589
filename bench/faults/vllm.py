"""Kills of a run whose engine is vLLM (its CPU build where there is no GPU): what is committed stays as it is, every image is there.

Its answers depend on what is asked together, so that what was not committed may come out in other words: tables are compared, not bytes.
"""

import importlib.util
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from bench.faults.job import PATIENCE_S, Driver, committed, pending_stages, rerun, write_job
from bench.faults.table import Fault, Tally

_KEYS = 24
_VICTIMS = ("driver", "ray::_Actor", "VLLM::EngineCore")


def _killed(scratch: Path, times: int) -> Tally:
    """The driver, the worker or the engine's process is killed once a table is there; the run, or one more, ends it."""
    tally = Tally(message="nothing; a killed driver is run again")
    if importlib.util.find_spec("vllm") is None:
        return Tally(wrong="vLLM is not installed: pip install 'fgdata[dev]', or make test")
    for number in range(times):
        config = _job(scratch / f"run{number}")
        driver = Driver("run", config)
        _wait_for_a_table(driver, config)
        before = committed(config)
        if not _kill(driver, _VICTIMS[number % len(_VICTIMS)]):
            tally.wrong = "the run had ended before it was killed"
        before |= committed(config) if driver.process.poll() is None else {}
        code, stderr = driver.ended()
        if code:
            code, stderr = rerun(config)
        tally.injected += 1
        tally.wrong = tally.wrong or (f"the rerun ended with {code}: {stderr[-200:]}" if code else "")
        _compare(tally, config, before)
    return tally


def _job(folder: Path) -> Path:
    engine = {"kind": "vllm", "model": "builtin:captioner", "enforce_eager": True, "max_num_seqs": 4}
    return write_job(
        folder,
        keys=_KEYS,
        unit_size=1,
        engines={"captioner": engine},
        stages={"caption": {"prompt": "demo"}},
        placement={"stages": {"caption": {"cpus": 1, "in_flight": 1}}},
    )


def _wait_for_a_table(driver: Driver, config: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not committed(config):
        assert driver.process.poll() is None, driver.process.communicate()[1][-300:]
        assert time.monotonic() < until, "nothing was committed"
        time.sleep(0.02)


def _kill(driver: Driver, victim: str) -> bool:
    processes = [process for process, line in driver.processes().items() if victim in line] if victim != "driver" else [driver.process.pid]
    for process in processes[:1]:
        os.kill(process, signal.SIGKILL)
    return bool(processes)


def _compare(tally: Tally, config: Path, before: dict[str, bytes]) -> None:
    after, keys = committed(config), Counter[str]()
    tally.differing += sum(after.get(name) != content for name, content in before.items())
    for name in after:
        try:
            keys.update(pq.read_table(config.parent / "work" / name, columns=["key"]).column("key").to_pylist())
        except OSError:
            tally.torn += 1
    tally.lost += max(0, _KEYS - len(keys))
    tally.duplicated += sum(count - 1 for count in keys.values())
    left = pending_stages(config)
    tally.wrong = tally.wrong or (f"pending after the rerun: {left}" if left else "")


FAULTS = (Fault("a run with vLLM: driver, worker, engine's process", _killed, times=3),)
