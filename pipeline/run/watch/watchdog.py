"""Notices units that give no sign of life, and says what can be told of the cause. Acts on nothing."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.run.inputs import Task
from pipeline.run.pool import Member, Pool
from stages.engines.pulse import Phase

_ANSWER_S = 10.0
_CAUSES: dict[Phase, str] = {"reading": "storage is slow to read", "writing": "storage is slow to write", "working": "it still computes"}


@dataclass(frozen=True)
class Silence:
    """A unit that its worker has had for long without a sign. `phase` None: the worker itself does not answer."""

    member: Member
    ref: Any
    task: Task
    seconds: float
    phase: Phase | None
    others_go_on: bool = False

    @property
    def cause(self) -> str:
        """What can be told of it."""
        if self.phase is None:
            return "the worker does not answer"
        if self.phase == "asking":
            return "one slow request" if self.others_go_on else "the engine is silent"
        return _CAUSES.get(self.phase, "nothing comes of it")


@dataclass
class Watchdog:
    """Watches the workers of one stage: asks those that have had a unit for long, and looks at when it last gave a sign."""

    limit_s: float
    _asked: dict[Any, tuple[Member, float]] = field(default_factory=dict)
    _next: float = 0.0

    def look(self, pool: Pool) -> Iterator[Silence]:
        """The units that have been silent for longer than the limit. Cheap: workers are asked now and then, answers are not waited for."""
        now = time.monotonic()
        yield from self._heard(pool, now)
        if now < self._next:
            return
        self._next = now + min(self.limit_s / 4, _ANSWER_S)
        waiting = {id(member) for member, _ in self._asked.values()}
        for member in pool.members:
            is_old = any(now - given > self.limit_s / 2 for given in member.given.values())
            if member.node_id and is_old and id(member) not in waiting:
                self._asked[member.actor.pulses.remote()] = member, now

    def _heard(self, pool: Pool, now: float) -> Iterator[Silence]:
        if not self._asked:
            return
        answered = pool.answers(list(self._asked))
        for ref, (member, asked) in list(self._asked.items()):
            if ref in answered:
                del self._asked[ref]
                yield from self._judged(member, answered[ref], now)
            elif now - asked > min(_ANSWER_S, self.limit_s):
                del self._asked[ref]
                for task_ref, task in member.tasks.items():
                    yield Silence(member, task_ref, task, now - member.given[task_ref], None)

    def _judged(self, member: Member, signs: dict[str, tuple[Phase, float]] | None, now: float) -> Iterator[Silence]:
        if signs is None:  # it died meanwhile, which its tasks tell
            return
        for ref, task in member.tasks.items():
            phase, seconds = signs.get(task.item.id, ("held", 0.0))
            seconds = min(seconds, now - member.given[ref])
            if seconds > self.limit_s and phase not in ("queued", "held"):
                others_go_on = any(silent < self.limit_s for name, (_, silent) in signs.items() if name != task.item.id)
                yield Silence(member, ref, task, seconds, phase, others_go_on)
