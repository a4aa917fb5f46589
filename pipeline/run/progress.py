"""What a person sees of a run: one line a stage, in place on a terminal, now and then in a log. Knows counts only."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

_SAY_EVERY_S = 1.0


class Watcher(Protocol):
    """Is told of a run as it goes: of each stage first how many units and images are done of how many, then what more is."""

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None: ...

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None: ...

    def note(self, words: str) -> None: ...

    def end(self) -> None: ...


class Silent:
    """Shows nothing: for --json."""

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None:
        pass

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None:
        pass

    def note(self, words: str) -> None:
        pass

    def end(self) -> None:
        pass


@dataclass
class _Flow:
    started: float
    images: int = 0
    tokens: int = 0
    failed: int = 0
    done: int = 0
    of: int = 0
    said: float = 0.0


class JsonLines:
    """One object a line on stderr: of each stage at most one a second and one at its end, and what is to be noted."""

    def __init__(self, _: Sequence[str]) -> None:
        self._flows: dict[str, _Flow] = {}

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None:
        self._flows[stage] = _Flow(time.monotonic(), done=images[0], of=images[1])

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None:
        flow, now = self._flows[stage], time.monotonic()
        flow.images, flow.tokens, flow.failed = flow.images + images, flow.tokens + tokens, flow.failed + failed
        left = flow.of - flow.done - flow.images
        if now - flow.said >= _SAY_EVERY_S or left <= 0:
            flow.said = now
            rate = flow.images / max(now - flow.started, 1e-3)
            eta_s = round(left / rate, 1) if rate else None
            at = {"stage": stage, "images": flow.done + flow.images, "of": flow.of}
            _write({**at, "images_s": round(rate, 2), "eta_s": eta_s, "failed": flow.failed})

    def note(self, words: str) -> None:
        _write({"note": words})

    def end(self) -> None:
        pass


def _write(content: dict[str, Any]) -> None:
    print(json.dumps(content), file=sys.stderr, flush=True)


class _Rates(ProgressColumn):
    def get_table_column(self) -> Column:
        return Column(no_wrap=True)

    def render(self, task: Task) -> Text:
        flow: _Flow = task.fields["flow"]
        seconds = max(time.monotonic() - flow.started, 1e-3)
        if not flow.images:
            return Text("")
        tokens = f"  {flow.tokens / seconds:,.0f} tok/s" if flow.tokens else ""
        return Text(f"{flow.images / seconds:,.1f} images/s{tokens}", style="cyan")


class Display:
    """rich's progress bars, one a stage."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} units"),
            _Rates(),
            TimeRemainingColumn(compact=True),
            console=Console(file=sys.stderr),
            refresh_per_second=4,
        )
        width = max((len(stage) for stage in stages), default=0)
        self._tasks: dict[str, TaskID] = {}
        self._flows: dict[str, _Flow] = {}
        self._width = width
        self._progress.start()

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None:
        flow = _Flow(time.monotonic())
        self._flows[stage] = flow
        self._tasks[stage] = self._progress.add_task(stage.ljust(self._width), total=units[1], completed=units[0], flow=flow)

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None:
        self._flows[stage].images += images
        self._flows[stage].tokens += tokens
        self._progress.advance(self._tasks[stage], units)

    def note(self, words: str) -> None:
        self._progress.console.print(words, style="yellow", soft_wrap=True)

    def end(self) -> None:
        self._progress.stop()
