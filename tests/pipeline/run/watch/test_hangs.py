"""A unit that gives no sign of life is named and asked again, a slow one is done twice; nothing is lost and no image blamed."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline import api
from pipeline.run.watch.progress import Silent
from tests.support.rehearsal_job import write_job

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local"), pytest.mark.timeout(600)]

WATCHDOG_S, HANG_S = 3.0, 120.0


class Listener(Silent):
    """Keeps what is said, and when."""

    def __init__(self, _: Sequence[str]) -> None:
        self.notes: list[tuple[float, str]] = []

    def note(self, words: str) -> None:
        self.notes.append((time.monotonic(), words))


def _run(config: Path) -> tuple[api.Outcome, list[tuple[float, str]]]:
    listeners: list[Listener] = []

    def listen(stages: Sequence[str]) -> Listener:
        listeners.append(Listener(stages))
        return listeners[0]

    return api.run(api.open_job(config), listen), listeners[0].notes


def _hanging(tmp_path: Path) -> dict[str, object]:
    """A captioner that hangs once, the first time that it is asked of this image."""
    return {"hang_on": "a1", "hang_s": HANG_S, "crash_once_dir": str(tmp_path / "memory")}


def _hung(tmp_path: Path) -> float:
    """When it began to hang."""
    (mark,) = (tmp_path / "memory").iterdir()
    return mark.stat().st_mtime


def test_a_hang_of_two_minutes_is_named_and_mended_within_half_a_minute(tmp_path: Path) -> None:
    stages = {"caption": {"prompt": "demo"}}
    placement = {"watchdog_s": WATCHDOG_S, "stages": {"caption": {"cpus": 0.1}}}
    config = write_job(tmp_path, captioner=_hanging(tmp_path), stages=stages, export=None, placement=placement)
    outcome, notes = _run(config)
    assert time.time() - _hung(tmp_path) < WATCHDOG_S + 30
    assert outcome.statuses[0].images == {"ok": 14}
    (note,) = [words for _, words in notes if "without a sign" in words]
    match = re.fullmatch(r"caption: unit \w+ without a sign for (\d+) s, (.*): asked again", note)
    assert match, note
    assert match[2] in ("the engine is silent", "one slow request")
    assert outcome.figures["caption"].deaths == 0


def test_the_slowest_unit_near_a_stage_s_end_is_done_by_two_workers_and_committed_once(tmp_path: Path) -> None:
    stages = {"caption": {"prompt": "demo"}}
    placement = {"watchdog_s": 600, "stages": {"caption": {"cpus": 0.1, "actors": 2}}}
    config = write_job(tmp_path, captioner=_hanging(tmp_path), stages=stages, export=None, placement=placement)
    outcome, notes = _run(config)
    assert time.time() - _hung(tmp_path) < HANG_S
    assert [words for _, words in notes if words.endswith("takes long and is asked a second time")]
    assert outcome.statuses[0].images == {"ok": 14}
    assert outcome.figures["caption"].deaths == 0
    state = api.open_job(config).state()
    tables = [table for _, table in state.current_tables("caption") if table is not None]
    assert len(list((tmp_path / "work" / "caption").glob("*/*.parquet"))) == len(tables)
