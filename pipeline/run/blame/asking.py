"""Asks a stage of a unit's images, and where it raises looks for the images that make it raise. Commits nothing, knows no Ray.

An exception is looked for at the image that causes it: by halving, then the unit is asked whole without what was found, so that its
rows depend on the unit and the found images alone. Where images raise only together, they are asked one at a time.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.run.budget import Budget, pieces, pixel_bytes
from pipeline.run.inputs import Inputs
from pipeline.storage import StorageError, remote_errors
from schemas.rows import Row
from stages.base import ConservationError, Image, Stage
from stages.engines.base import EngineDead, ServerAway
from stages.engines.pulse import enter

logger = logging.getLogger(__name__)

_MOST_TRIES = 200  # of a whole block or shard: what one image of 50,000 takes is 32


@dataclass
class Findings:
    """Of the images that a stage itself looked at: how many, how many did not fail, and why the others did, with one detail each."""

    num_asked: int = 0
    num_good: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count what the stage said of an image."""
        self.num_asked += 1
        if row.status == "failed":
            reason = row.reason or "unnamed"
            self.failures[reason] += 1
            self.examples.setdefault(reason, f"{row.key}: {row.detail or reason}")
        else:
            self.num_good += 1


class UnitAsker:
    """One unit of a stage that looks at units."""

    def __init__(self, stage: Stage[Any, Any], inputs: Inputs, budget: Budget | None = None) -> None:
        self._stage, self._inputs, self._budget = stage, inputs, budget or Budget()
        self.findings = Findings()

    async def rows(self) -> list[Row]:
        """A row for each image of the unit; for each of the part where the task is a probe."""
        task = self._inputs.task
        settled = await asyncio.to_thread(self._inputs.settled)
        images = await asyncio.to_thread(self._inputs.texts)
        rows: list[Row] = []
        for first, end in task.parts or ((0, len(images)),):
            part = images[first:end]
            asked = [image for image in part if image.key not in settled]
            fresh = iter([row for piece in self._pieces(asked) for row in await self._answered(piece)])
            rows += [settled[image.key] if image.key in settled else next(fresh) for image in part]
        return rows

    def _pieces(self, images: Sequence[Image]) -> Iterator[Sequence[Image]]:
        return pieces(images) if self._stage.needs_pixels else iter([images] if images else [])

    async def _answered(self, images: Sequence[Image]) -> list[Row]:
        rows = await self._tried(images)
        if isinstance(rows, Exception):
            logger.error("stage %s raised on %s", self._stage.name, self._inputs.task.item.id, exc_info=rows)
            rows = await self._tried(images, await self._raising(images, rows))
        if isinstance(rows, Exception):
            return [row for image in images for row in await self._alone(image)]
        return rows

    async def _raising(self, images: Sequence[Image], error: Exception) -> dict[str, Row]:
        """The images below these, which raised together, that raise alone."""
        if len(images) == 1:
            return {images[0].key: problem_of(images[0].key, error)}
        rows_by_key: dict[str, Row] = {}
        for half in (images[: len(images) // 2], images[len(images) // 2 :]):
            rows = await self._tried(half, counts=False)
            if isinstance(rows, Exception):
                rows_by_key |= await self._raising(half, rows)
        return rows_by_key

    async def _alone(self, image: Image) -> list[Row]:
        rows = await self._tried([image])
        return await self._process([image], {image.key: problem_of(image.key, rows)}) if isinstance(rows, Exception) else rows

    async def _tried(
        self, images: Sequence[Image], rows_by_key: dict[str, Row] | None = None, *, counts: bool = True
    ) -> list[Row] | Exception:
        """The rows, or what an image made the stage raise; what is no image's fault is raised."""
        try:
            return await self._process(images, rows_by_key, counts=counts)
        except Exception as error:  # noqa: BLE001  # told apart in the next line
            raise_unless_an_images(error)
            return error

    async def _process(self, images: Sequence[Image], rows_by_key: dict[str, Row] | None = None, *, counts: bool = True) -> list[Row]:
        rows_by_key = rows_by_key or {}
        marked = [dataclasses.replace(image, problem=rows_by_key[image.key]) if image.key in rows_by_key else image for image in images]
        async with self._budget.held(pixel_bytes(marked) if self._stage.needs_pixels else 0):
            enter("reading")
            async with self._seen(marked) as seen:
                enter("asking")
                rows = await self._stage.process(seen, self._inputs.task.retry)
        for image, row in zip(seen, rows, strict=True):
            # What could not be read, and what was stopped before this stage, says nothing of its engine.
            if counts and (image.key in rows_by_key or self._stage.settled(image) is None):
                self.findings.add(row)
        return rows

    @contextlib.asynccontextmanager
    async def _seen(self, images: Sequence[Image]) -> AsyncIterator[Sequence[Image]]:
        """The images with pixels where the stage needs them: read by this process, or by those that its engine has for it."""
        opener = self._stage.opener
        opened = None if opener is None else await self._inputs.opened(images, opener)
        if opener is None or opened is None:
            yield await asyncio.to_thread(self._inputs.with_pixels, images) if self._stage.needs_pixels else images
            return
        try:
            yield opened
        finally:
            opener.forget([image.opened for image in opened if image.opened is not None])


def blamed(num_images: int, carry: Callable[[tuple[int, int]], None], error: Exception) -> dict[int, Row]:
    """Of a block or shard that raised: the images, by place, that make `carry` raise on a part; all where they cannot be told.

    `carry` runs the stage on the images [first, end) and keeps nothing.
    """
    tries = 0

    def search(part: tuple[int, int], error: Exception) -> dict[int, Row]:
        nonlocal tries
        first, end = part
        if end - first == 1:
            return {first: problem_of("", error)}
        rows: dict[int, Row] = {}
        for half in ((first, (first + end) // 2), ((first + end) // 2, end)):
            tries += 1
            if tries > _MOST_TRIES:
                return {place: problem_of("", error) for place in range(num_images)}
            try:
                carry(half)
            except Exception as problem:  # noqa: BLE001
                raise_unless_an_images(problem)
                rows |= search(half, problem)
        return rows

    logger.error("looked for at %d images: %r", num_images, error)
    return search((0, num_images), error) or dict.fromkeys(range(num_images), problem_of("", error))


def problem_of(key: str, error: Exception) -> Row:
    """What an image's row says where a stage raised on it: the exception's name first."""
    words = " ".join(str(error).split())
    return Row(key=key, status="failed", reason="stage_error", detail=f"{type(error).__name__}: {words}"[:300])


def raise_unless_an_images(error: Exception) -> None:
    """Raise again what is the engine's, the server's or the surroundings' fault. Pillow raises OSErrors that name no system call."""
    if isinstance(error, EngineDead | ServerAway | ConservationError | StorageError):
        raise error
    if isinstance(error, remote_errors()) and not (isinstance(error, OSError) and error.errno is None):
        raise error
