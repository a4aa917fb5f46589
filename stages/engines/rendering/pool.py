"""The renderers of one engine: started on its first question about an image, asked in turn, replaced when they die. Knows no stage.

Nobody waits for them: what they cannot do, or cannot do yet, is None, and is then done where it was asked for, as without them.
"""

import asyncio
import logging
import multiprocessing
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from PIL import Image

from schemas.rows import Row
from stages.engines.base import Request
from stages.engines.pixels import Load, Opened, Picture
from stages.engines.rendering.channel import pair, receive, send
from stages.engines.rendering.renderer import READY, ForgetJob, Job, Manner, OpenJob, RenderJob, main

logger = logging.getLogger(__name__)

AHEAD_BYTES = 2**30  # of finished inputs for which the engine has no place yet
_FIRST_GUESS_BYTES = 32 * 2**20
_DEATHS = 10  # that are made good; then what is left of them goes on
_STILLBIRTHS = 2
_TRIES = 2  # a job that ends two renderers is done without them
_LEAST_CHUNK = 4
_CLOSE_S = 5.0


@dataclass(eq=False)
class _Asked:
    """A job on its way, and where its answer is awaited."""

    job: Job
    answer: asyncio.Future[tuple[Any, int] | None] | None = None  # nobody awaits it
    tries: int = 1

    def say(self, answer: tuple[Any, int] | None) -> None:
        """Whoever awaits it gets this."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(answer)


@dataclass(eq=False)
class _Member:
    """One process. It takes jobs once it is ready."""

    rank: int
    process: Any
    end: socket.socket
    is_ready: bool = False
    pending: dict[int, _Asked] = field(default_factory=dict)


class Renderers:
    """`num` processes that render for one engine; `config` is the engine's own VllmConfig."""

    def __init__(self, config: Any, manner: Manner, num: int) -> None:
        self._config, self._manner, self._num = config, manner, num
        self._members: dict[int, _Member] = {}
        self._numbers = iter(range(2**62))
        self._num_deaths, self._num_stillborn = 0, 0
        self._starting: set[asyncio.Task[None]] = set()
        self._changed: asyncio.Event | None = None
        self.ahead = Ahead(AHEAD_BYTES, at_least=2 * num)

    @property
    def is_ready(self) -> bool:
        """Whether any of them takes jobs."""
        return any(member.is_ready for member in self._members.values())

    @property
    def processes(self) -> list[int]:
        """The ids of those that are ready."""
        return [member.process.pid for member in self._members.values() if member.is_ready]

    def start(self) -> None:
        """Start them, where they are not; nothing is waited for."""
        if self._changed is None:
            self._changed = asyncio.Event()
            for rank in range(self._num):
                self._bear(rank)

    async def ready(self) -> None:
        """Waits until all that are being started are ready or have died."""
        self.start()
        assert self._changed is not None, "it is made at the start"
        while self._starting or any(not member.is_ready for member in self._members.values()):
            self._changed.clear()
            await self._changed.wait()

    async def open(self, load: Load, rows: Sequence[Any], digests: Sequence[str]) -> list[Opened | Row] | None:
        """The images of these rows, opened, or why one cannot be; None where it is to be done without renderers."""
        self.start()
        free = sorted((member for member in self._members.values() if member.is_ready), key=lambda member: len(member.pending))
        if not free or not rows:
            return None
        size = max(_LEAST_CHUNK, -(-len(rows) // len(free)))
        parts = [slice(first, first + size) for first in range(0, len(rows), size)]
        pairs = zip(parts, free, strict=False)
        answers = await asyncio.gather(*(self._opened(load, rows[part], digests[part], member) for part, member in pairs))
        images: list[Opened | Row] = []
        for answer in answers:
            if answer is None:
                self.forget([image for some in answers for image in some or () if isinstance(image, Opened)])
                return None
            images += answer
        return images

    async def _opened(self, load: Load, rows: Sequence[Any], digests: Sequence[str], member: _Member) -> list[Opened | Row] | None:
        numbers = [next(self._numbers) for _ in rows]
        rank = member.rank
        answer = await self._ask(OpenJob(load, rows, numbers), rank)
        if answer is None:
            return None
        return [
            answered if isinstance(answered, Row) else Opened(rank, number, digest, answered[0], answered[1], partial(_loaded, load, row))
            for answered, number, digest, row in zip(answer[0], numbers, digests, rows, strict=True)
        ]

    def forget(self, opened: Sequence[Opened]) -> None:
        """Let go of images that are shown no more."""
        for rank, member in self._members.items():
            numbers = [image.number for image in opened if image.renderer == rank]
            if numbers and member.is_ready:
                self._give(member, _Asked(ForgetJob(numbers)))

    async def render(self, request: Request) -> tuple[Any, int] | None:
        """The finished input of a request and its bytes; None where it is to be rendered without renderers."""
        ranks = [shown.opened.renderer for shown in request.images if isinstance(shown, Picture)]
        named = hash(request.image_ids) % self._num  # the same picture goes to the same renderer, which has rendered it
        answer = await self._ask(RenderJob(request.user, request.system, request.images), ranks[0] if ranks else named)
        return None if answer is None or answer[0] is None else answer

    async def _ask(self, job: Job, rank: int) -> tuple[Any, int] | None:
        member = self._member(rank)
        if member is None:
            return None
        awaited: asyncio.Future[tuple[Any, int] | None] = asyncio.get_running_loop().create_future()
        self._give(member, _Asked(job, awaited))
        answer = await awaited
        return None if answer is None or answer[0] is None else answer

    def _member(self, rank: int) -> _Member | None:
        """The renderer of this rank where it is ready, else the one that has least to do."""
        if rank in self._members and self._members[rank].is_ready:
            return self._members[rank]
        free = [member for member in self._members.values() if member.is_ready]
        return min(free, key=lambda member: len(member.pending), default=None)

    def _give(self, member: _Member, asked: _Asked) -> None:
        number = next(self._numbers)
        member.pending[number] = asked
        try:
            send(member.end, (number, asked.job))
        except BlockingIOError:  # it has more to do than a socket holds
            del member.pending[number]
            asked.say(None)
        except OSError:
            logger.debug("renderer %d has ended", member.rank)  # the loop finds out in a moment, and gives the job to another

    def _bear(self, rank: int) -> None:
        task = asyncio.get_running_loop().create_task(self._born(rank))
        self._starting.add(task)
        task.add_done_callback(self._is_started)

    def _is_started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a renderer cannot be started, images are rendered without it: %s", task.exception())
        self._say_changed()

    async def _born(self, rank: int) -> None:
        process, end = await asyncio.to_thread(self._spawned, rank)
        self._members[rank] = member = _Member(rank, process, end)
        asyncio.get_running_loop().add_reader(end, self._receive, member)

    def _spawned(self, rank: int) -> tuple[Any, socket.socket]:
        """A process, and our end of its channel."""
        ours, theirs = pair()
        process = multiprocessing.get_context("spawn").Process(
            target=main, args=(theirs, self._config, self._manner, rank), name=f"renderer-{rank}", daemon=True
        )
        process.start()
        theirs.close()
        ours.setblocking(False)
        return process, ours

    def _receive(self, member: _Member) -> None:
        """Take one answer; a renderer that ended is replaced."""
        try:
            (number, answer), size = receive(member.end)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._lost(member)
            return
        if number == READY:
            member.is_ready = True
            self._say_changed()
            return
        asked = member.pending.pop(number, None)
        if asked is not None:
            asked.say((answer, size))

    def _lost(self, member: _Member) -> None:
        asyncio.get_running_loop().remove_reader(member.end)
        member.end.close()
        self._members.pop(member.rank, None)
        self._num_deaths += member.is_ready
        self._num_stillborn += not member.is_ready
        member.process.join(0)
        logger.warning("renderer %d ended with %s; what it had is given to another", member.rank, member.process.exitcode)
        if self._num_deaths <= _DEATHS and self._num_stillborn <= _STILLBIRTHS:
            self._bear(member.rank)
        elif not self._members:
            logger.warning("no renderer is left: images are rendered in the engine's own process")
        for asked in member.pending.values():
            other = self._member(member.rank) if asked.tries < _TRIES else None
            asked.tries += 1
            if other is not None:
                self._give(other, asked)
            else:
                asked.say(None)
        self._say_changed()

    def _say_changed(self) -> None:
        if self._changed is not None:
            self._changed.set()

    async def close(self) -> None:
        """End the processes."""
        if self._starting:
            await asyncio.wait(self._starting)
        members, self._members = list(self._members.values()), {}
        for member in members:
            asyncio.get_running_loop().remove_reader(member.end)
            member.end.close()
            for asked in member.pending.values():
                asked.say(None)
        for member in members:
            await asyncio.to_thread(member.process.join, _CLOSE_S)
            if member.process.is_alive():
                member.process.kill()


class Ahead:
    """How much may be finished before the engine has a place for it: so many bytes, whatever their number, but `at_least` so many."""

    def __init__(self, limit_bytes: int, at_least: int) -> None:
        self._limit_bytes, self._at_least = limit_bytes, at_least
        self._largest, self._inside = 0, 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Waits for a place, in turn."""
        if self._inside < self._places and not self._waiting:
            self._inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._inside -= 1
        while self._waiting and self._inside < self._places:
            turn = self._waiting.popleft()
            if not turn.done():  # nobody waits for one that is
                turn.set_result(None)
                self._inside += 1

    def learn(self, num_bytes: int) -> None:
        """An input takes so many bytes."""
        self._largest = max(self._largest, num_bytes)

    @property
    def _places(self) -> int:
        return max(self._at_least, self._limit_bytes // (self._largest or _FIRST_GUESS_BYTES))


def _loaded(load: Load, row: Any) -> Image.Image:
    """An image's pixels, read once more.

    Raises: ValueError where it could be read before and cannot be now.
    """
    (loaded,) = load([row])
    if loaded.image is None:
        raise ValueError(f"an image can be read no more: {loaded.problem}")
    return loaded.image
