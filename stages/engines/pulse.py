"""Signs of life of one unit's work, for whoever watches from outside: what is being done, and when something last came of it.

Whoever starts a piece of work calls `follow`; whatever is called below it, in tasks and in threads that inherit the context, enters
phases and beats. Where nobody follows, nothing is kept.
"""

import contextvars
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Phase = Literal["reading", "asking", "queued", "writing", "working", "held"]
T = TypeVar("T")


@dataclass
class Pulse:
    """What is being done, and the moment of the last sign that it goes on (seconds of time.monotonic)."""

    phase: Phase = "reading"
    beaten: float = field(default_factory=time.monotonic)

    def silent_s(self) -> float:
        """Seconds since the last sign."""
        return time.monotonic() - self.beaten


_CURRENT: contextvars.ContextVar[Pulse | None] = contextvars.ContextVar("pulse", default=None)


def follow() -> Pulse:
    """A new pulse for what the caller does from now on."""
    pulse = Pulse()
    _CURRENT.set(pulse)
    return pulse


def enter(phase: Phase) -> None:
    """Another phase of the work begins."""
    pulse = _CURRENT.get()
    if pulse is not None:
        pulse.phase, pulse.beaten = phase, time.monotonic()


def beat() -> None:
    """Something came of the work."""
    pulse = _CURRENT.get()
    if pulse is not None:
        pulse.beaten = time.monotonic()


def inherited(work: Callable[..., T]) -> Callable[..., T]:
    """The function as an executor's thread is to call it: with the pulse of whoever asks."""
    context = contextvars.copy_context()
    return lambda *arguments: context.run(work, *arguments)
