"""How many bytes of decoded pixels a worker may hold: units wait for one another, and a unit of large images is asked in pieces."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

from stages.base import Image
from stages.engines.pulse import enter

PIECE_BYTES = 512 * 2**20  # the same everywhere: engines that form batches form them within a piece
WORKER_BYTES = 2 * PIECE_BYTES
_BYTES_A_PIXEL = 3


class Budget:
    """Bytes that are shared by all units of a worker."""

    def __init__(self, limit_bytes: int = WORKER_BYTES) -> None:
        self._limit, self._used = limit_bytes, 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def held(self, num_bytes: int) -> AsyncIterator[None]:
        """Waits until so many bytes are free; more than all there are, until none is used."""
        enter("queued")
        async with self._changed:
            await self._changed.wait_for(lambda: not self._used or self._used + num_bytes <= self._limit)
            self._used += num_bytes
        try:
            yield
        finally:
            async with self._changed:
                self._used -= num_bytes
                self._changed.notify_all()


def pixel_bytes(images: Sequence[Image]) -> int:
    """What the images take once they are decoded."""
    return sum((image.corpus.width or 0) * (image.corpus.height or 0) * _BYTES_A_PIXEL for image in images)


def pieces(images: Sequence[Image], limit_bytes: int = PIECE_BYTES) -> Iterator[Sequence[Image]]:
    """The images in order, in as few pieces as hold so many bytes each; one that is larger stands alone."""
    first, held = 0, 0
    for place, image in enumerate(images):
        size = pixel_bytes([image])
        if place > first and held + size > limit_bytes:
            yield images[first:place]
            first, held = place, 0
        held += size
    if first < len(images):
        yield images[first:]
