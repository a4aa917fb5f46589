"""The workers of one stage as Ray actors: born, fed up to their limit, replaced when they die. Decides nothing about the run."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.masked import keep_secret, mask_streams
from pipeline.run.cluster.holdings import is_placed, node_answers
from pipeline.run.code_digest import code_digest
from pipeline.run.inputs import StageJob, Task
from pipeline.run.worker import Born, Done, StageWorker

_BIRTHS = 5
_CONTROLS = 8  # calls beside the items in flight: signs of life, commits that are granted, items that are given up
_CLOSE_S = 30.0


class PoolError(RuntimeError):
    """The workers of a stage cannot be born; the message says why."""


class _Actor(StageWorker):
    """A StageWorker that can say where Ray put it, and whose logs hold no credentials."""

    def __init__(self, job: StageJob) -> None:
        mask_streams()
        keep_secret({role: spec.model_dump() for role, spec in job.specs.items()})
        super().__init__(job)

    async def introduce(self, marker: str) -> tuple[str, Born]:
        """The node's id, and what the driver checks."""
        import ray

        return ray.get_runtime_context().get_node_id(), await self.born(marker)


@dataclass(frozen=True)
class Death:
    """A worker that ended: the tasks it had in flight, whether its node is alive (else nobody is to blame), and whether we ended it."""

    member: "Member"
    tasks: list[Task]
    node_is_alive: bool
    was_silent: bool = False


@dataclass
class Member:
    """One worker: asked for at `since`, born where it has a node, with the tasks that it has and when each was given to it."""

    actor: Any
    born: Any
    since: float = field(default_factory=time.monotonic)
    node_id: str = ""
    tasks: dict[Any, Task] = field(default_factory=dict)
    given: dict[Any, float] = field(default_factory=dict)
    is_alone: bool = False
    is_ended: bool = False

    def take(self, task: Task) -> Any:
        """Give it the task; the ref of what comes of it."""
        return self.expect(self.actor.carry.remote(task), task)

    def expect(self, ref: Any, task: Task) -> Any:
        """Something is to come of the task under this ref."""
        self.tasks[ref], self.given[ref] = task, time.monotonic()
        return ref


class Pool:
    """`resources.actors` workers, each with up to `resources.in_flight` items, or one suspect alone."""

    def __init__(self, job: StageJob, marker: str, marker_content: bytes) -> None:
        import ray

        self._ray = ray
        self.job = job
        self._marker, self._marker_content = marker, marker_content
        resources = job.resources
        self._remote = ray.remote(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            resources=dict(resources.custom),
            max_concurrency=resources.in_flight + _CONTROLS,
            max_restarts=0,
        )(_Actor)
        self._stillborn = 0
        self._members: list[Member] = []
        self._leaving: dict[Any, tuple[Any, float]] = {}

    @property
    def members(self) -> Sequence[Member]:
        """The workers; none while the pool rests."""
        return self._members

    @property
    def num_in_flight(self) -> int:
        """How many tasks the workers have."""
        return sum(len(member.tasks) for member in self._members)

    @property
    def num_born(self) -> int:
        """How many workers are ready."""
        return sum(bool(member.node_id) for member in self._members)

    def unborn(self) -> list[tuple[float, bool]]:
        """Of each worker that is not ready the moment it was asked for, and whether it has found a place and loads."""
        return [(member.since, is_placed(member.actor)) for member in self._members if not member.node_id]

    def wake(self) -> None:
        """Ask for the workers, where the pool rests."""
        if not self._members:
            self._members = [self._bear() for _ in range(self.job.resources.actors)]

    def rest(self) -> None:
        """Give back what the workers hold: idle ones end their engines and then themselves."""
        until = time.monotonic() + _CLOSE_S
        for member in self._members:
            if member.node_id:
                self._leaving[member.actor.close.remote()] = member.actor, until
            else:
                self._ray.kill(member.actor)
        self._members = []

    def reap(self) -> None:
        """End the workers whose engines have ended, and those that took too long."""
        if not self._leaving:
            return
        ready, _ = self._ray.wait(list(self._leaving), num_returns=len(self._leaving), timeout=0)
        now = time.monotonic()
        for ref in [ref for ref, (_, until) in self._leaving.items() if ref in ready or now > until]:
            self._ray.kill(self._leaving.pop(ref)[0])

    def _bear(self) -> Member:
        actor = self._remote.remote(self.job)
        return Member(actor, actor.introduce.remote(self._marker))

    def _check_birth(self, member: Member) -> None:
        """Look at a worker that should be born; one that died before is born again, as often as five times on end.

        Raises: PoolError where its constructor raised, where it dies again and again, runs other code or sees another workdir.
        """
        try:
            node_id, born = self._ray.get(member.born)
        except self._ray.exceptions.RayError as error:
            _raise_unless_ended(error)
            if getattr(error, "actor_init_failed", False):
                raise PoolError(f"a worker of the stage {self.job.stage} could not be born: {_cause(error)}") from error
            self._bear_again(member, _cause(error), is_own=not _lost_its_node(error, member.node_id))
            return
        if born.engine_death is not None:
            self._ray.kill(member.actor)
            self._bear_again(member, born.engine_death, is_own=True)
            return
        self._stillborn = 0
        if born.code != code_digest():
            raise PoolError(f"a worker on node {node_id[:8]} runs other code than this driver: install the same version there")
        if born.marker != self._marker_content:
            raise PoolError(
                f"node {node_id[:8]} does not see the workdir {self.job.workdir} that this driver writes: use a shared path or s3://"
            )
        for check in born.failed:
            raise PoolError(f"{check.name}: {check.detail}; {check.act}")
        member.node_id = node_id

    def _bear_again(self, member: Member, cause: str, *, is_own: bool) -> None:
        """In place of one that died while it was being born. `is_own`: its node lives."""
        self._stillborn += is_own
        if self._stillborn >= _BIRTHS:
            raise PoolError(
                f"a worker of the stage {self.job.stage} died {_BIRTHS} times while it was being born: {cause}; "
                "its log and `dmesg` say why (memory?)"
            )
        self._members[self._members.index(member)] = self._bear()

    def room(self) -> int:
        """How many ordinary items could be submitted now."""
        return sum(self._room(member) for member in self._members)

    def _room(self, member: Member) -> int:
        return 0 if member.is_alone or not member.node_id else max(0, self.job.resources.in_flight - len(member.tasks))

    def submit(self, task: Task, avoid: Collection[Any] = ()) -> Any:
        """Give the item to the worker with most room, if there is another than those to avoid to one of the others."""
        member = max(self._members, key=lambda each: (self._room(each) > 0, each.actor not in avoid, self._room(each)))
        return member.take(task)

    def set_aside(self) -> None:
        """Keep one worker free of ordinary items, for suspects."""
        if self._members and not any(member.is_alone for member in self._members):
            min(self._members, key=lambda member: len(member.tasks)).is_alone = True

    def release(self) -> None:
        """Give the worker that was set aside back to ordinary items, unless a suspect is still on it."""
        for member in self._members:
            member.is_alone = member.is_alone and bool(member.tasks)

    def is_alone_free(self) -> bool:
        """Whether the worker that was set aside is born and idle."""
        return any(member.is_alone and member.node_id and not member.tasks for member in self._members)

    def submit_alone(self, task: Task) -> None:
        """Give a suspect to the worker that was set aside, which is free."""
        member = next(member for member in self._members if member.is_alone and member.node_id and not member.tasks)
        member.take(task)

    def holder(self, ref: Any) -> Member:
        """The worker that has the task of this ref."""
        return next(member for member in self._members if ref in member.tasks)

    def end(self, member: Member) -> None:
        """End a worker that cannot be told anything any more; its tasks come back as those of a death."""
        member.is_ended = True
        self._ray.kill(member.actor)

    def answers(self, refs: Sequence[Any]) -> dict[Any, Any]:
        """What has come back of questions to workers; None of those to a worker that has ended."""
        ready = self._ray.wait(list(refs), num_returns=len(refs), timeout=0)[0] if refs else []
        return {ref: self._answer(ref) for ref in ready}

    def _answer(self, ref: Any) -> Any:
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            _raise_unless_ended(error)
            return None

    def refs(self) -> Iterator[Any]:
        """Of every worker that is being born, and of every item in flight."""
        for member in self._members:
            if not member.node_id:
                yield member.born
            yield from member.tasks

    def settle(self, ref: Any) -> tuple[Task, Done] | Death | None:
        """The outcome of a finished ref, None for a birth; a dead worker is replaced.

        Raises: PoolError where a worker cannot be born; whatever else the worker raised.
        """
        position, member = next((i, member) for i, member in enumerate(self._members) if ref == member.born or ref in member.tasks)
        if ref == member.born:
            self._check_birth(member)
            return None
        try:
            done: Done = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            _raise_unless_ended(error)
            is_unreachable = isinstance(error, self._ray.exceptions.ActorUnavailableError)
            if is_unreachable:
                self._ray.kill(member.actor)  # it may live behind a broken connection
            tasks = list(member.tasks.values())
            successor = self._bear()
            successor.is_alone = member.is_alone
            self._members[position] = successor
            if member.is_ended:
                return Death(member, tasks, node_is_alive=True, was_silent=True)
            return Death(member, tasks, not is_unreachable and not _lost_its_node(error, member.node_id))
        member.given.pop(ref)
        return member.tasks.pop(ref), done

    def begin_close(self) -> list[Any]:
        """Ask the workers to end their engines: an engine's own processes would outlive a killed worker and keep its memory."""
        return [*self._leaving, *(member.actor.close.remote() for member in self._members if member.node_id)]

    def kill(self) -> None:
        """End the workers."""
        for actor in [*(member.actor for member in self._members), *(actor for actor, _ in self._leaving.values())]:
            self._ray.kill(actor)
        self._leaving = {}


def close_all(pools: Sequence[Pool], patience_s: float) -> None:
    """End the workers of all pools, and before them their engines where they can be ended in this time."""
    import ray

    closing = [ref for pool in pools for ref in pool.begin_close()]
    if closing:
        ray.wait(closing, num_returns=len(closing), timeout=patience_s)
    for pool in pools:
        pool.kill()


def _raise_unless_ended(error: Any) -> None:
    """Raise again what a worker itself raised. Ray has many names for a worker that ended: of itself, for memory, with its node."""
    import ray

    ended = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError, ray.exceptions.ObjectLostError, ray.exceptions.NodeDiedError)
    if not isinstance(error, ended):
        raise error


def _lost_its_node(error: BaseException, node_id: str) -> bool:
    """Whether the worker went with its node: the error says so, or the node does not answer."""
    return "node has died" in str(error) or bool(node_id and not node_answers(node_id))


def _cause(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    says_why_first = "low on memory" in lines[0] if lines else False  # then come pages of advice
    return lines[0 if says_why_first else -1][:400] if lines else type(error).__name__
