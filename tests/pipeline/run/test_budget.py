"""Decoded pixels are bounded in bytes: large images are asked in pieces, and units wait for one another."""

import asyncio

import pytest

from pipeline.run.budget import Budget, pieces
from tests.support.images import image_of


def _sizes(*sides: int) -> list:
    return [image_of(f"k{place}", width=side, height=side) for place, side in enumerate(sides)]


@pytest.mark.parametrize(
    ("sides", "limit", "lengths"),
    [
        ((10, 10, 10), 900, [3]),
        ((10, 10, 10), 600, [2, 1]),
        ((10, 100, 10), 600, [1, 1, 1]),  # one that is larger than the limit stands alone
        ((), 600, []),
    ],
)
def test_pieces_keep_the_order_and_the_limit(sides: tuple[int, ...], limit: int, lengths: list[int]) -> None:
    images = _sizes(*sides)
    divided = list(pieces(images, limit))
    assert [len(piece) for piece in divided] == lengths
    assert [image for piece in divided for image in piece] == images


def test_units_wait_until_bytes_are_free_and_the_largest_runs_alone() -> None:
    most, now = 0, 0

    async def unit(budget: Budget, num_bytes: int) -> None:
        nonlocal most, now
        async with budget.held(num_bytes):
            now += num_bytes
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= num_bytes

    async def all_units() -> None:
        budget = Budget(100)
        await asyncio.gather(*(unit(budget, size) for size in (60, 30, 60, 10, 250, 60)))

    asyncio.run(all_units())
    assert most == 250
