"""SIGTERM and SIGINT at any moment of a run, its start-up and its close included: how it ends, how soon, and what is left."""

import random
import signal
import time
from pathlib import Path

from bench.faults.job import Driver, committed, compare, rerun, undisturbed, write_job
from bench.faults.table import Fault, Tally

_BOUND_S = 10.0
_A_JOB = 4  # signals before the job is let run to its end


def _signalled(scratch: Path, times: int) -> Tally:
    """Signals at random moments, every fourth while the run closes; each job is then run to its end and compared."""
    rng, tally, number = random.Random("signals"), Tally(), 0
    while tally.injected < times and not tally.wrong:
        config = write_job(scratch / f"run{number}")
        for place in range(min(_A_JOB, times - tally.injected)):
            moment_s = None if place == 1 else rng.uniform(0.0, undisturbed().seconds)
            _signal(tally, config, (signal.SIGTERM, signal.SIGINT)[(place + number) % 2], moment_s)
        code, stderr = rerun(config)
        tally.wrong = tally.wrong or (f"the rerun ended with {code}: {stderr[-200:]}" if code else "")
        compare(tally, config, undisturbed().files)
        number += 1
    return tally


def _signal(tally: Tally, config: Path, number: signal.Signals, moment_s: float | None) -> None:
    """Send it so long after the start, or once the last stage has committed all (None); one that came too late is not counted."""
    driver = Driver("run", config)
    began = time.monotonic()
    while driver.process.poll() is None and not _is_moment(driver, config, began, moment_s):
        time.sleep(0.005)
    if driver.process.poll() is not None:
        driver.ended()
        return
    sent = time.monotonic()
    driver.process.send_signal(number)
    code, stderr = driver.ended()
    lasted = time.monotonic() - sent
    if code == 0:
        return
    tally.injected += 1
    tally.noticed(lasted)
    last = (stderr.strip().splitlines() or [""])[-1]
    tally.message = tally.message or last.replace(str(config), "job.yaml")
    if code != 128 + number or "Resume with: fgdata run" not in last or "Traceback" in stderr or "***" in stderr:
        tally.wrong = f"{number.name} after {sent - began:.1f} s: exit {code}: {stderr[-300:]}"
    elif lasted > _BOUND_S:
        tally.wrong = f"{number.name} after {sent - began:.1f} s: ended after {lasted:.1f} s"


def _is_moment(driver: Driver, config: Path, began: float, moment_s: float | None) -> bool:
    if not driver.heeds(signal.SIGTERM):
        return False
    if moment_s is None:
        return sum(name.startswith("export/") for name in committed(config)) == 2
    return time.monotonic() - began >= moment_s


FAULTS = (Fault("SIGTERM or SIGINT at any moment", _signalled, times=24, sample=2),)
