"""A unit that gives no sign of life is named, with seconds and cause, and asked again; nothing is lost and no image blamed."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline import api
from pipeline.run.watch.progress import Silent
from tests.support.rehearsal_job import write_job

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local"), pytest.mark.timeout(600)]

WATCHDOG_S = 3.0


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


def test_an_engine_that_never_answers_is_named_and_its_unit_asked_again(tmp_path: Path) -> None:
    hang = {"hang_on": "a1", "hang_s": 3600.0, "crash_once_dir": str(tmp_path / "memory")}
    stages = {"caption": {"prompt": "demo"}}
    placement = {"watchdog_s": WATCHDOG_S, "stages": {"caption": {"cpus": 0.1}}}
    config = write_job(tmp_path, captioner=hang, stages=stages, export=None, placement=placement)
    outcome, notes = _run(config)
    hung = (tmp_path / "memory").iterdir().__next__().stat().st_mtime
    assert outcome.statuses[0].images == {"ok": 14}
    (said,) = [(moment, words) for moment, words in notes if "without a sign" in words]
    found = re.fullmatch(r"caption: unit \w+ without a sign for (\d+) s, (.*): asked again", said[1])
    assert found, said
    assert found[2] in ("the engine is silent", "one slow request")
    named_after_s = said[0] - time.monotonic() + time.time() - hung
    assert named_after_s < WATCHDOG_S + 30
    assert outcome.figures["caption"].deaths == 0
