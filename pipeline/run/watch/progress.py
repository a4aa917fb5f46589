"""What a person or a program sees of a run as it goes: bars on a terminal, lines in a log, objects for machines. Knows counts only."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from pipeline.run.watch.flow import Flow

_EVERY_S = 30.0
_MACHINES_EVERY_S, _LOOK_S = 1.0, 1.0


class Watcher(Protocol):
    """Is told of a run as it goes: of each stage first how many units and images are done of how many, then what more is.

    It may also have `phase(words)` for what is done before and between stages, `state(stage, words)` for what a stage waits for (empty:
    it works), and `finish(stage)`.
    """

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None: ...

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None: ...

    def note(self, words: str) -> None: ...

    def end(self) -> None: ...


class Silent:
    """Shows nothing."""

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None:
        pass

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None:
        pass

    def note(self, words: str) -> None:
        pass

    def end(self) -> None:
        pass


class Board:
    """The flows of the stages, and a thread that shows them also while the run itself waits for something."""

    def __init__(self, stages: Sequence[str]) -> None:
        self.flows: dict[str, Flow] = {}
        self.width = max((len(stage) for stage in stages), default=0)
        self.now = ""
        self.since = time.monotonic()
        self._lock, self._over = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="progress")
        self._thread.start()

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None:
        with self._lock:
            self.now = ""
            self.flows[stage] = Flow(stage, *images)

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None:
        with self._lock:
            self.flows[stage].advance(images, tokens, failed)
            self.moved(self.flows[stage])

    def state(self, stage: str, words: str) -> None:
        with self._lock:
            flow = self.flows[stage]
            is_new = words.rpartition(",")[0] != flow.state.rpartition(",")[0]  # the seconds after the comma alone are no news
            flow.state = words
            if not words:
                flow.works()
            elif is_new:
                self.moved(flow)

    def finish(self, stage: str) -> None:
        with self._lock:
            flow = self.flows[stage]
            if flow.ended is None:
                flow.end()
                self.moved(flow)

    def phase(self, words: str) -> None:
        with self._lock:
            self.now, self.since = words, time.monotonic()
            self.say(words)

    def note(self, words: str) -> None:
        with self._lock:
            self.say(words)

    def end(self) -> None:
        self._over.set()
        self._thread.join(timeout=5)

    def moved(self, flow: Flow) -> None:
        """Something is new of a stage."""

    def say(self, words: str) -> None:
        """Something is to be told once."""

    def look(self) -> None:
        """Another second has gone by."""

    def _look(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            while not self._over.wait(_LOOK_S):
                with self._lock:
                    self.look()


class JsonLines(Board):
    """One object a line on stderr: of each stage at most one a second, at least one in half a minute and one at its end; and notes."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._shown_at: dict[str, float] = {}
        super().__init__(stages)

    def moved(self, flow: Flow) -> None:
        if flow.is_complete or flow.ended is not None or time.monotonic() - self._shown_at.get(flow.stage, 0.0) >= _MACHINES_EVERY_S:
            self._show(flow)

    def say(self, words: str) -> None:
        _print(json.dumps({"note": words}))

    def look(self) -> None:
        for flow in _overdue(self.flows, self._shown_at):
            self._show(flow)

    def _show(self, flow: Flow) -> None:
        self._shown_at[flow.stage] = time.monotonic()
        _print(json.dumps(flow.as_json()))


class Lines(Board):
    """For a log: of each stage that is not at its end a line in half a minute, one where its state changes, and one at its end."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._shown_at: dict[str, float] = {}
        self._ended: set[str] = set()
        self._states: dict[str, str] = {}
        super().__init__(stages)

    def moved(self, flow: Flow) -> None:
        state = flow.state.partition(",")[0]
        if (flow.is_complete or flow.ended is not None) and flow.stage not in self._ended:
            self._ended.add(flow.stage)
            self._show(flow)
        elif state and state != self._states.get(flow.stage):
            self._show(flow)
        self._states[flow.stage] = state

    def say(self, words: str) -> None:
        _print(f"{time.strftime('%H:%M:%S')} {words}")

    def look(self) -> None:
        if self.now and time.monotonic() - self.since >= _EVERY_S and time.monotonic() - self._shown_at.get("", 0.0) >= _EVERY_S:
            self._shown_at[""] = time.monotonic()
            self.say(f"{self.now}, for {time.monotonic() - self.since:.0f} s")
        for flow in _overdue(self.flows, self._shown_at):
            if flow.stage not in self._ended:
                self._show(flow)

    def _show(self, flow: Flow) -> None:
        self._shown_at[flow.stage] = time.monotonic()
        self.say(f"{flow.stage}: {flow.line()}")


class Bars(Board):
    """A line a stage in place on a terminal of whatever width."""

    def __init__(self, stages: Sequence[str], console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4)
        super().__init__(stages)
        self._live.start()

    def say(self, words: str) -> None:
        if words != self.now:
            self._console.print(words, style="yellow", soft_wrap=True)

    def end(self) -> None:
        super().end()
        self._live.stop()

    def _render(self) -> RenderableType:
        with self._lock:
            lines = [_bar(flow, self.width, self._console.width) for flow in self.flows.values()]
            if self.now:
                lines.append(Text(f"{self.now}, {time.monotonic() - self.since:.0f} s", no_wrap=True))
            return Group(*lines)


def _bar(flow: Flow, name_width: int, width: int) -> Text:
    """The widest form that fits: what is left out first is the bar, then the pace; the time that is left stays."""
    name, counts = flow.stage.ljust(name_width), f"{flow.position:,}/{flow.of:,} images"
    share = min(1.0, flow.position / flow.of) if flow.of else 1.0
    bar = f"{'━' * round(24 * share)}{'╺' * (24 - round(24 * share))}"
    last = "  ".join(part for part in (flow.left(), flow.state) if part)
    forms = ((name, bar, counts, flow.pace(), last), (name, counts, flow.pace(), last), (name, counts, last), (name[:8], last or counts))
    for parts in forms:
        line = "  ".join(part for part in parts if part)
        if len(line) <= width:
            break
    return Text(line, no_wrap=True, overflow="ellipsis", style="green" if flow.ended is not None or flow.is_complete else "")


def shown(stages: Sequence[str]) -> Board:
    """What a person sees: bars on a terminal, else lines."""
    return Bars(stages) if sys.stderr.isatty() else Lines(stages)


class AnyWatcher:
    """A watcher of whoever called, which may know nothing but what every watcher knows."""

    def __init__(self, watcher: Watcher) -> None:
        self.begin, self.advance, self.note = watcher.begin, watcher.advance, watcher.note
        self._watcher, self._is_over = watcher, False

    def end(self) -> None:
        """Nothing more is told."""
        if not self._is_over:
            self._is_over = True
            self._watcher.end()

    def phase(self, words: str) -> None:
        """What is done before and between stages."""
        self._call("phase", words)

    def state(self, stage: str, words: str) -> None:
        """What the stage waits for; empty: it works."""
        self._call("state", stage, words)

    def finish(self, stage: str) -> None:
        """The stage is at its end."""
        self._call("finish", stage)

    def _call(self, name: str, *words: str) -> None:
        tell: Callable[..., Any] | None = getattr(self._watcher, name, None)
        if tell is not None:
            tell(*words)


def _overdue(flows: dict[str, Flow], shown_at: dict[str, float]) -> Iterator[Flow]:
    now = time.monotonic()
    for flow in flows.values():
        if flow.ended is None and now - shown_at.setdefault(flow.stage, now) >= _EVERY_S:
            yield flow


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more: the run goes on
        print(line, file=sys.stderr, flush=True)
