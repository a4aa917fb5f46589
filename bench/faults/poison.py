"""Images that end the engine or make it raise: one, several, all, or only together. Who is found, and at what cost."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.faults.job import PATIENCE_S, ROOT, write_job
from bench.faults.table import Fault, Tally
from pipeline.api import open_job
from schemas.rows import CaptionRow

_MARK = "poison"


def _names(count: int, poison: Sequence[int]) -> list[str]:
    return [f"k{number:03}{_MARK if number in poison else ''}" for number in range(count)]


def _run(folder: Path, names: Sequence[str], unit_size: int, captioner: Mapping[str, Any]) -> tuple[int, dict[str, Any], str, Path]:
    """Exit code, what `run --json` says, its last line on stderr, and the configuration of a job that captions these images."""
    config = write_job(
        folder,
        {"delay_s": 0.0, **captioner},
        names=names,
        unit_size=unit_size,
        stages={"caption": {"prompt": "demo"}},
        placement={"stages": {"caption": {"cpus": 0.1}}},
    )
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--json"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    said = (answer.stderr.strip().splitlines() or [""])[-1]
    return answer.returncode, json.loads(answer.stdout or "{}"), said, config


def _rows(config: Path) -> dict[str, CaptionRow]:
    state = open_job(config).state()
    tables = [table for _, table in state.current_tables("caption") if table is not None]
    return {row.key: row for table in tables for row in state.ledger.read(table, CaptionRow)}


def _poisoned(count: int, unit_size: int, poison: Sequence[int], captioner: Mapping[str, Any], status: str) -> Any:
    """The images with the mark must get this status, all others the rows of a run without the fault, within the bound on deaths."""

    def inject(scratch: Path, times: int) -> Tally:
        names, tally = _names(count, poison), Tally()
        _, _, _, reference = _run(scratch / "reference", names, unit_size, {})
        expected = _rows(reference)
        for number in range(times):
            code, said, error, config = _run(scratch / f"run{number}", names, unit_size, captioner)
            if code != 0:
                tally.wrong = f"exit {code}: {error}"
                break
            found = _rows(config)
            marked = {key for key, row in found.items() if row.status == status}
            tally.injected += 1
            tally.lost += len(set(expected) - set(found))
            tally.differing += sum(found[key] != row for key, row in expected.items() if _MARK not in key and key in found)
            deaths, bound = said["stages"]["caption"]["deaths"], len(marked) * (2 * math.log2(unit_size) + 4)
            if marked != {key for key in names if _MARK in key and status != "ok"} and status != "ok":
                tally.wrong = f"{status}: {sorted(marked)}"
            elif status == "quarantined" and deaths > bound:
                tally.wrong = f"{deaths} deaths, more than {bound:g}"
            losses = said["failed"].get("caption", {})
            tally.message = "; ".join(f"{reason} {loss['count']}, such as {loss['example']}" for reason, loss in losses.items())
            tally.message = f"{tally.message} ({deaths} deaths)" if deaths else tally.message
        return tally

    return inject


def _everything(scratch: Path, times: int) -> Tally:
    """Where the engine ends on whatever it is asked the run stops with exit 1, and no image is blamed."""
    tally, names = Tally(), _names(16, range(16))
    for number in range(times):
        code, _, error, config = _run(scratch / f"run{number}", names, 4, {"crash_on": _MARK})
        tally.injected += 1
        tally.lost += len(_rows(config))
        tally.message = error
        if code != 1:
            tally.wrong = f"exit {code}: {error}"
    return tally


_CRASH, _RAISE = {"crash_on": _MARK}, {"raise_on": _MARK}
FAULTS = (
    Fault("an image ends the engine", _poisoned(112, 64, (37,), _CRASH, "quarantined"), times=2, sample=1),
    Fault("three images of one unit end it", _poisoned(112, 64, (0, 37, 63), _CRASH, "quarantined"), times=1),
    Fault("one image of every unit ends it", _poisoned(28, 4, range(1, 28, 4), _CRASH, "quarantined"), times=1),
    Fault("images end it only together", _poisoned(28, 16, (), {"crash_above": 5}, "ok"), times=1),
    Fault("every image ends it", _everything, times=1),
    Fault("an image makes the engine raise", _poisoned(28, 16, (3,), _RAISE, "failed"), times=2, sample=1),
)
