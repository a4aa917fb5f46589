"""Units that two workers do: near a stage's end the slowest are handed out a second time, and the driver grants one commit of each.

So nothing downstream ever reads a version that loses: before the second copy is handed out, the first worker has agreed to ask.
"""

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.run.inputs import Task
from pipeline.run.pool import Member, Pool
from pipeline.run.worker import Done

Verdict = Literal["finish", "again", "nothing"]

_LEAST_S, _TIMES = 10.0, 3.0


@dataclass
class _Twice:
    """One unit: the refs of what is to come of it, the workers that keep it for the driver's word, and the commit that was granted."""

    refs: dict[Any, Member]
    holding: Any
    kept: list[Member] = field(default_factory=list)
    granted: Any = None
    is_over: bool = False


class Doubles:
    """The units of one stage that were handed out twice."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._units: dict[str, _Twice] = {}

    def hand_out(self, mean_s: float) -> list[Task]:
        """Near the stage's end: have the slowest unit held, and hand out those that are held; returns what was handed out."""
        now, handed = time.monotonic(), []
        agreed = self._pool.answers([twice.holding for twice in self._units.values() if twice.holding is not None])
        for name, twice in list(self._units.items()):
            if twice.holding in agreed:
                is_held, twice.holding = agreed[twice.holding], None
                idle = self._idle(twice.refs.values())
                if not is_held:
                    del self._units[name]
                elif idle is not None:
                    ((ref, holder),) = twice.refs.items()
                    task = dataclasses.replace(holder.tasks[ref], must_ask=True)
                    twice.refs[idle.take(task)] = idle
                    handed.append(task)
        for member, ref, task in self._slow(now, max(_LEAST_S, _TIMES * mean_s)):
            if self._idle([member]) is not None:
                self._units[task.item.id] = _Twice({ref: member}, member.actor.hold.remote(task.item.id))
        return handed

    def _slow(self, now: float, limit_s: float) -> list[tuple[Member, Any, Task]]:
        slow = [
            (now - member.given[ref], member, ref, task)
            for member in self._pool.members
            if not member.is_alone
            for ref, task in member.tasks.items()
            if now - member.given[ref] > limit_s and task.item.id not in self._units and not task.is_probe
        ]
        return [(member, ref, task) for _, member, ref, task in sorted(slow, key=lambda each: -each[0])][:1]

    def _idle(self, but: Iterable[Member]) -> Member | None:
        taken = {id(member) for member in but}
        free = [each for each in self._pool.members if each.node_id and not each.tasks and not each.is_alone and id(each) not in taken]
        return free[0] if free else None

    def settle(self, ref: Any, member: Member, task: Task, done: Done) -> Verdict | None:
        """What is to be done about what came back; None: the unit was handed out once."""
        twice = self._units.get(task.item.id)
        if twice is None or (ref not in twice.refs and ref != twice.granted):
            return None
        twice.refs.pop(ref, None)
        if ref == twice.granted:
            self._over(task.item.id, twice)
            return "finish"
        if twice.is_over or done.is_held:
            if done.is_held and not twice.is_over:
                twice.kept.append(member)
            return self._next(task, twice)
        if done.is_dropped or done.away is not None:
            return self._next(task, twice)
        self._over(task.item.id, twice)  # it was done before it could be held
        return "finish"

    def lost(self, member: Member, tasks: Sequence[Task]) -> list[Task]:
        """A worker has ended: of its tasks those that nobody else does."""
        alone = []
        for task in tasks:
            twice = self._units.get(task.item.id)
            if twice is None:
                alone.append(task)
                continue
            twice.refs = {ref: holder for ref, holder in twice.refs.items() if holder is not member}
            twice.kept = [each for each in twice.kept if each is not member]
            if twice.granted is not None and twice.granted in member.tasks:
                twice.granted = None
            if self._next(task, twice) == "again":
                alone.append(task)
        return alone

    def _next(self, task: Task, twice: _Twice) -> Verdict:
        """Grant a commit where a worker waits for it; the unit is done again where nobody is left that does it."""
        if twice.is_over:
            if not twice.refs:
                self._units.pop(task.item.id, None)
            return "nothing"
        if twice.granted is None and twice.kept:
            member = twice.kept.pop(0)
            twice.granted = member.expect(member.actor.grant.remote(task.item.id), task)
        if twice.granted is None and not twice.refs:
            del self._units[task.item.id]
            return "again"
        return "nothing"

    def _over(self, name: str, twice: _Twice) -> None:
        """One commit is made: the others give up."""
        twice.is_over, twice.granted = True, None
        for member in [*twice.refs.values(), *twice.kept]:
            member.actor.drop.remote(name)
        if not twice.refs:
            del self._units[name]
