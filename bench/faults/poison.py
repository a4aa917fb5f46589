"""Images that end the engine or make it raise: one, several, all, or only together. Who is found, and at what cost."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.faults.job import PATIENCE_S, ROOT, Driver, write_job
from bench.faults.table import Fault, Tally
from pipeline.api import open_job
from schemas.rows import CaptionRow

_MARK = "poison"


def _names(count: int, poison: Sequence[int]) -> list[str]:
    return [f"k{number:03}{_MARK if number in poison else ''}" for number in range(count)]


def _job(folder: Path, names: Sequence[str], unit_size: int, captioner: Mapping[str, Any]) -> Path:
    """A job that captions these images."""
    return write_job(
        folder,
        {"delay_s": 0.0, **captioner},
        names=names,
        unit_size=unit_size,
        stages={"caption": {"prompt": "demo"}},
        placement={"stages": {"caption": {"cpus": 0.1}}},
    )


def _run(config: Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, what `run --json` says, and its last line on stderr."""
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--json"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    last_line = (answer.stderr.strip().splitlines() or [""])[-1]
    return answer.returncode, json.loads(answer.stdout or "{}"), last_line


def _undisturbed(scratch: Path, names: Sequence[str], unit_size: int) -> dict[str, CaptionRow]:
    config = _job(scratch / "undisturbed", names, unit_size, {})
    code, _, error = _run(config)
    assert code == 0, error
    return _rows(config)


def _rows(config: Path) -> dict[str, CaptionRow]:
    state = open_job(config).state()
    tables = [table for _, table in state.current_tables("caption") if table is not None]
    return {row.key: row for table in tables for row in state.ledger.read(table, CaptionRow)}


def _poisoned(count: int, unit_size: int, poison: Sequence[int], captioner: Mapping[str, Any], status: str) -> Any:
    """The images with the mark must get this status, all others the rows of a run without the fault, within the bound on deaths."""

    def inject(scratch: Path, times: int) -> Tally:
        names, tally = _names(count, poison), Tally()
        expected = _undisturbed(scratch, names, unit_size)
        for number in range(times):
            config = _job(scratch / f"run{number}", names, unit_size, captioner)
            code, outcome, error = _run(config)
            if code != 0:
                tally.wrong = f"exit {code}: {error}"
                break
            rows = _rows(config)
            marked = {key for key, row in rows.items() if row.status == status}
            tally.injected += 1
            tally.lost += len(set(expected) - set(rows))
            tally.differing += sum(rows[key] != row for key, row in expected.items() if _MARK not in key and key in rows)
            deaths, bound = outcome["stages"]["caption"]["deaths"], len(marked) * (2 * math.log2(unit_size) + 4)
            if marked != {key for key in names if _MARK in key and status != "ok"} and status != "ok":
                tally.wrong = f"{status}: {sorted(marked)}"
            elif status == "quarantined" and deaths > bound:
                tally.wrong = f"{deaths} deaths, more than {bound:g}"
            losses = outcome["failed"].get("caption", {})
            tally.message = "; ".join(f"{reason} {loss['count']}, such as {loss['example']}" for reason, loss in losses.items())
            tally.message = f"{tally.message} ({deaths} deaths)" if deaths else tally.message
        return tally

    return inject


def _everything(scratch: Path, times: int) -> Tally:
    """Where the engine ends on whatever it is asked the run stops with exit 1, and no image is blamed."""
    tally, names = Tally(), _names(16, range(16))
    for number in range(times):
        config = _job(scratch / f"run{number}", names, 4, {"crash_on": _MARK})
        code, _, error = _run(config)
        tally.injected += 1
        tally.lost += len(_rows(config))
        tally.message = error
        if code != 1:
            tally.wrong = f"exit {code}: {error}"
    return tally


def _killed_driver(scratch: Path, times: int) -> Tally:
    """The driver is killed each time that its search has cost two more deaths: the next one goes on where the marks are."""
    names, tally, size = _names(112, (37,)), Tally(message="nothing: the next run goes on with the search"), 64
    expected = _undisturbed(scratch, names, size)
    for number in range(times):
        config = _job(scratch / f"run{number}", names, size, _CRASH)
        driver = Driver("run", config)
        for deaths in (2, 4, 6):
            while driver.process.poll() is None and len(_marks(config)) < deaths:
                time.sleep(0.05)
            if driver.process.poll() is None:
                driver.process.kill()
                tally.injected += 1
                driver.ended()
                driver = Driver("run", config)
        code, stderr = driver.ended()
        rows = _rows(config)
        tally.lost += len(set(expected) - set(rows))
        tally.differing += sum(rows[key] != row for key, row in expected.items() if _MARK not in key and key in rows)
        if code or {key for key, row in rows.items() if row.status == "quarantined"} != {key for key in names if _MARK in key}:
            tally.wrong = f"exit {code}: {stderr[-200:]}"
        elif len(_marks(config)) > 2 * math.log2(size) + 4:
            tally.wrong = f"{len(_marks(config))} deaths"
    return tally


def _marks(config: Path) -> list[Path]:
    return [path for path in (config.parent / "work" / "deaths").rglob("*.*") if not path.name.startswith(".")]


def _asked_again(scratch: Path, times: int) -> Tally:
    """One image of every unit is quarantined; `retry --only quarantined` while the engine is as it was, and once it is mended."""
    names, tally = _names(28, range(1, 28, 4)), Tally(message="after `fgdata retry --only quarantined` none is quarantined")
    expected = _undisturbed(scratch, names, 4)
    for number in range(times):
        config = _job(scratch / f"run{number}", names, 4, _CRASH)
        for captioner in (_CRASH, _CRASH, {}):
            content = yaml.safe_load(config.read_text())
            content["engines"]["captioner"] = {"kind": "rehearsal", **captioner}
            config.write_text(yaml.safe_dump(content, sort_keys=False))
            code, _, error = _run(config)
            tally.wrong = tally.wrong or (f"exit {code}: {error}" if code else "")
            tally.injected += sum(row.status == "quarantined" for row in _rows(config).values())
            before = {key: row for key, row in _rows(config).items() if row.status == "ok"}
            tally.differing += sum(before[key] != expected[key] for key in before)
            Driver("retry", config, "--only", "quarantined").ended()
        tally.lost += len(set(expected) - set(before))
    return tally


_CRASH, _RAISE = {"crash_on": _MARK}, {"raise_on": _MARK}
FAULTS = (
    Fault("an image ends the engine", _poisoned(112, 64, (37,), _CRASH, "quarantined"), times=2),
    Fault("three images of one unit end it", _poisoned(112, 64, (0, 37, 63), _CRASH, "quarantined"), times=1),
    Fault("one image of every unit ends it", _poisoned(28, 4, range(1, 28, 4), _CRASH, "quarantined"), times=1),
    Fault("the driver is killed while it looks for one", _killed_driver, times=1),
    Fault("quarantined images are asked for again", _asked_again, times=1),
    Fault("images end it only together", _poisoned(28, 16, (), {"crash_above": 5}, "ok"), times=1),
    Fault("every image ends it", _everything, times=1),
    Fault("an image makes the engine raise", _poisoned(28, 16, (3,), _RAISE, "failed"), times=2),
)
