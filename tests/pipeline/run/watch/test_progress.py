"""What is seen of a run: images, the rate of the last minute, the time that is left; in a log at least a line a stage in half a minute."""

import io
import json
import re

import pytest
from rich.console import Console

from pipeline.run.watch import progress
from pipeline.run.watch.flow import Flow, duration


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_that_of_the_last_minute_and_stands_still_at_the_end() -> None:
    clock = Clock()
    flow = Flow("caption", 0, 10_000, clock)
    for _ in range(600):
        clock.now += 1
        flow.advance(10, 100, 0)
    assert flow.rates() == (10.0, 100.0)
    for _ in range(60):
        clock.now += 1
        flow.advance(2, 0, 0)
    assert flow.rates()[0] == pytest.approx(2.0, rel=0.1)
    assert flow.eta_s() == pytest.approx((10_000 - 6120) / flow.rates()[0])
    flow.end()
    at_its_end = flow.rates()
    clock.now += 3600
    assert flow.rates() == at_its_end
    assert at_its_end[0] == pytest.approx(6120 / 660)


def test_the_time_that_a_model_loads_does_not_count_against_the_rate() -> None:
    clock = Clock()
    flow = Flow("caption", 0, 100, clock)
    flow.state = "loading smolvlm, 120 s"
    clock.now += 120
    flow.works()
    clock.now += 10
    flow.advance(50, 0, 0)
    assert flow.rates()[0] == 5.0
    assert flow.eta_s() == 10.0


def test_images_of_earlier_runs_are_done_and_make_no_rate() -> None:
    clock = Clock()
    flow = Flow("caption", 90, 100, clock)
    clock.now += 10
    flow.advance(5, 0, 1)
    assert flow.as_json() == {"stage": "caption", "images": 95, "of": 100, "images_s": 0.5, "eta_s": 10.0, "failed": 1}


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (245, "4:05"), (3845, "1:04:05"), (273_600, "3 d 4 h")])
def test_durations_are_short(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_time_that_is_left_is_seen_at_any_width(width: int) -> None:
    clock = Clock()
    flow = Flow("region_caption", 0, 1_600_000, clock)
    clock.now += 30
    flow.advance(3000, 90_000, 0)
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(progress._bar(flow, 14, width))
    (line,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(line) <= width
    assert "4:26:10 left" in line


def test_a_log_has_a_line_a_stage_in_half_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.3)
    monkeypatch.setattr(progress, "_LOOK_S", 0.05)
    lines = progress.Lines(["caption", "ground"])
    lines.begin("caption", (0, 4), (0, 16))
    lines.begin("ground", (0, 4), (0, 16))
    lines.state("caption", "loading smolvlm, 0 s")
    lines._over.wait(2.0)
    lines.state("caption", "")
    lines.advance("caption", 4, 16, 100, 1)
    lines.finish("caption")
    lines._over.wait(1.0)
    lines.end()
    stderr_lines = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d (caption|ground): [\d,]+ of 16 images.*", line) for line in stderr_lines), stderr_lines
    assert 3 <= sum("loading smolvlm" in line for line in stderr_lines) <= 8
    assert 3 <= sum(" ground: " in line for line in stderr_lines) <= 11
    (at_its_end,) = (line for line in stderr_lines if "16 of 16 images" in line)
    assert "1 failed" in at_its_end


def test_machines_get_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress.JsonLines(["caption"])
    lines.phase("starting Ray on this machine")
    lines.begin("caption", (1, 4), (4, 16))
    lines.advance("caption", 3, 12, 100, 1)
    lines.note("the engine's server is away")
    lines.end()
    first, done, note = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first, note) == ({"note": "starting Ray on this machine"}, {"note": "the engine's server is away"})
    assert done.items() >= {"stage": "caption", "images": 16, "of": 16, "eta_s": 0.0, "failed": 1}.items()


def test_a_watcher_of_a_caller_may_know_only_what_every_watcher_knows() -> None:
    watcher = progress.AnyWatcher(progress.Silent())
    watcher.phase("starting Ray")
    watcher.state("caption", "loading")
    watcher.finish("caption")
    watcher.end()
