"""How much is rendered before the engine has a place for it."""

import asyncio

from stages.engines.rendering.pool import Ahead


def test_no_more_is_finished_ahead_than_so_many_bytes_and_all_get_their_turn() -> None:
    async def run() -> tuple[int, int]:
        ahead, inside, most, done = Ahead(100, at_least=2), 0, 0, 0

        async def render() -> None:
            nonlocal inside, most, done
            await ahead.enter()
            inside += 1
            ahead.learn(20)
            await asyncio.sleep(0.001)
            most, inside, done = max(most, inside), inside - 1, done + 1
            ahead.leave()

        await asyncio.gather(*(render() for _ in range(40)))
        return most, done

    most, done = asyncio.run(run())
    assert done == 40
    assert 2 <= most <= 5


def test_whoever_gives_up_waiting_leaves_its_place_to_others() -> None:
    async def run() -> None:
        ahead = Ahead(1, at_least=1)
        await ahead.enter()
        waiting = [asyncio.ensure_future(ahead.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        ahead.leave()
        await waiting[1]
        waiting[2].cancel()
        ahead.leave()
        await asyncio.wait_for(ahead.enter(), 1)

    asyncio.run(run())
