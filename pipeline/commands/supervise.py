"""Runs a command that starts Ray in a process of its own, so that however that ends, the user is told and nothing is left running.

Ray's C++ code aborts the process it lives in where its own processes are gone, and writes what it likes to stderr. So the parent, which
holds no Ray, takes the signals, passes them on, and after some seconds ends what is left; the child's stderr goes to the terminal for
Python alone.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

_ON_RAY = ("run", "export", "demo", "rehearse")
_READING = ("plan", "status", "doctor", "report", "audit", "retry", "gc")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MARK = "FGDATA_RUN"
_GRACE_S, _AFTERLIFE_S = 6.5, 2.0


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: told to end."""


def is_child() -> bool:
    """Whether this process does the work of a parent, which says how it ended."""
    return _MARK in os.environ


def from_the_start() -> None:
    """Before anything heavy is imported: a signal meanwhile ends the program with the words that it would end with later."""
    for number in _SIGNALS:
        _take(number, lambda signal_number, _: os._exit(_say_end(signal_number, sys.argv[1:])))


def resume(words: Sequence[str]) -> str:
    """How to go on: the command as it was typed."""
    import shlex

    return f"what is committed is kept. Resume with: fgdata {shlex.join(words)}"


def _say_end(number: int, words: list[str]) -> int:
    """Say which signal ended it and how to go on; the exit code."""
    print(f"{'interrupted' if number == signal.SIGINT else 'told to end'}; {resume(words)}", file=sys.stderr, flush=True)
    return 128 + number


def main(app: Callable[[], object]) -> int:
    """Run the command line; the exit code."""
    words = sys.argv[1:]
    if not words or words[0] not in _ON_RAY or "--help" in words or not hasattr(os, "fork"):
        _take(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            _take(number, _raise_terminated)
        code = _called(app)
        if words and words[0] in _READING:
            _leave(code)
        return code
    return _Parent(words).carry(app)


def _called(app: Callable[[], object]) -> int:
    from pipeline.masked import mask_streams

    mask_streams()
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _leave(code: int) -> None:
    """End without the destructors of C++ libraries: on a loaded machine Arrow's threads now and then abort a command that is done."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


def _raise_terminated(number: int, _: object) -> None:
    raise Terminated(number)


def _take(number: int, handler: Callable[[int, FrameType | None], object]) -> None:
    """Handle a signal, unless whoever started us had it ignored."""
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, handler)


class _Parent:
    """Waits for the child that does the work."""

    def __init__(self, words: list[str]) -> None:
        self._words, self._mark = words, f"{os.getpid()}-{time.time_ns()}"
        self._signals: list[int] = []
        self._word = -1
        self._child = self._group = 0

    def carry(self, app: Callable[[], object]) -> int:
        """The exit code of the child, or of the signal that ended it."""
        import tempfile

        handle, noise = tempfile.mkstemp(prefix="fgdata-", suffix=".log")
        ours, childs = os.pipe()
        self._word, word = os.pipe()
        os.set_blocking(self._word, False)
        for number in _SIGNALS:
            _take(number, self._pass_on)
        self._child = self._group = os.fork()
        if not self._child:
            os.close(childs)
            try:
                return self._work(app, handle, ours)
            finally:  # with a traceback of our own code too: only who is ended by others says nothing
                os.write(word, b"ended")
        for end in (ours, handle, word):
            os.close(end)
        if self._signals:  # before there was a child to tell
            os.kill(self._child, self._signals[0])
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        return self._end(status, noise)

    def _work(self, app: Callable[[], object], noise: int, parent: int) -> int:
        """In the child: what a terminal sends goes to the parent alone; the child ends where the parent does."""
        import threading

        os.setpgid(0, 0)
        os.environ[_MARK] = self._mark
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _take(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            _take(number, _raise_terminated)
        threading.Thread(target=_end_with, args=(parent, self._mark), daemon=True).start()
        terminal = os.dup(2)
        os.dup2(noise, 2)
        sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
        try:
            return _called(app)
        except Terminated as terminated:
            return 128 + int(terminated.args[0])
        except KeyboardInterrupt:
            return 130

    def _pass_on(self, number: int, _: object) -> None:
        """The first signal goes to the child, which has some seconds; a second one ends everything at once."""
        self._signals.append(number)
        if len(self._signals) > 1:
            self._end_all()
        elif self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, number)
            signal.signal(signal.SIGALRM, lambda *_: self._end_all())
            signal.setitimer(signal.ITIMER_REAL, _GRACE_S)

    def _end(self, status: int, noise: str) -> int:
        code = os.waitstatus_to_exitcode(status)
        until = time.monotonic() + (_AFTERLIFE_S if len(self._signals) < 2 else 0)
        while left_running(self._mark, self._group) and time.monotonic() < until:
            time.sleep(0.1)
        self._end_all()  # where Ray itself did not start or was killed, its agents would live on for a minute
        if self._has_ended_itself() and code in (0, 1, 2, 3, 4) and not (self._signals and code == 1):
            Path(noise).unlink()
            return code
        if self._signals:
            Path(noise).unlink()
            return _say_end(self._signals[0], self._words)
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        print(
            f"fgdata: the run was ended by {cause}: Ray on this machine ended or memory ran out, see {noise}; {resume(self._words)}",
            file=sys.stderr,
        )
        return 2

    def _has_ended_itself(self) -> bool:
        """Whether the child came to its end: Ray's C++ code exits with codes that are ours too."""
        try:
            return bool(os.read(self._word, 1))
        except BlockingIOError:
            return False

    def _end_all(self) -> None:
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        _kill_all(self._mark, self._group)


def left_running(mark: str, group: int) -> list[int]:
    """The processes on this machine that carry a run's mark or are of its child's group, but for this one.

    Ray's agents overwrite their environment when they name themselves, and its workers may leave the group.
    """
    processes, marked = [], f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if state in "ZX" or int(folder.name) == os.getpid():
                continue
            if its_group == str(group) or marked in (folder / "environ").read_bytes():
                processes.append(int(folder.name))
    return processes


def _kill_all(mark: str, group: int) -> None:
    """End all that carries the mark or is of the group."""
    for _ in range(3):  # what is being started meanwhile is found the next time
        left = left_running(mark, group)
        for process in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        if not left:
            return
        time.sleep(0.05)


def _end_with(parent: int, mark: str) -> None:
    """Where the process at the other end of the pipe has ended, end at once what this one has started, and itself.

    Ray's agents would look for their dead raylet for a minute and more.
    """
    with contextlib.suppress(OSError):
        os.read(parent, 1)
    _kill_all(mark, os.getpgid(0))
    os.kill(os.getpid(), signal.SIGKILL)
