"""The search for images that end an engine, against engines that die in many ways: who is found, and how many deaths it takes."""

import math
from collections import Counter
from collections.abc import Callable

import pytest

from pipeline.run.blame.suspects import Hopeless, Part, Probe, Search, Whole, Witness

Dies = Callable[[list[int]], bool]


def _images(part: Part, quarantined: frozenset[int] = frozenset()) -> list[int]:
    return [position for position in range(*part) if position not in quarantined]


def _run(search: Search, dies: Dies, *, elsewhere: bool | None = True, limit: int = 10_000) -> tuple[Whole | Hopeless, int]:
    """Ask what the search wants asked until the unit has run or nothing can be done; how it ended, and the deaths.

    `elsewhere`: whether another unit's image lives; None: there is no other unit.
    """
    deaths = 0
    for _ in range(limit):
        ask = search.next()
        if isinstance(ask, Hopeless):
            return ask, deaths
        if isinstance(ask, Witness):
            if elsewhere is None:
                search.no_witness()
                continue
            is_dead = not elsewhere
        elif isinstance(ask, Probe):
            is_dead = dies(_images(ask.part))
        else:
            is_dead = any(dies(_images(part, ask.quarantined)) for part in ask.parts)
        if not is_dead:
            search.lived(ask, 1)
            if isinstance(ask, Whole):
                return ask, deaths
        else:
            deaths += 1
            search.died(ask)
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 64, 100])
@pytest.mark.parametrize("poison", [(0,), (-1,), (0, -1), "all", "half"])
def test_poison_is_found_within_the_bound_and_nothing_else_is(size: int, poison: tuple[int, ...] | str) -> None:
    named = {"all": range(size), "half": range(0, size, 2)}
    bad = {position % size for position in (named[poison] if isinstance(poison, str) else poison)}
    end, deaths = _run(Search(size), lambda images: bool(bad & set(images)))
    assert isinstance(end, Whole)
    assert end.quarantined == bad
    assert end.parts == ((0, size),)
    assert deaths + 1 <= len(bad) * (2 * math.log2(size) + 4)


def test_a_death_that_does_not_come_again_leaves_the_unit_whole() -> None:
    left = [1]

    def dies(_: list[int]) -> bool:
        return bool(left and left.pop())

    end, deaths = _run(Search(16), dies)
    assert (end, deaths) == (Whole(frozenset(), ((0, 16),), "whole-0"), 1)


def test_images_that_die_only_together_run_in_the_largest_parts_that_live() -> None:
    end, _ = _run(Search(16), lambda images: len(images) > 5)
    assert end == Whole(frozenset(), ((0, 4), (4, 8), (8, 12), (12, 16)), "parts-0-0")


def test_poison_among_images_that_die_only_together_is_found_and_they_are_not() -> None:
    end, _ = _run(Search(16), lambda images: 3 in images or len(images) > 9)
    assert isinstance(end, Whole)
    assert end.quarantined == {3}
    assert [position for part in end.parts for position in range(*part) if position != 3] == [*range(3), *range(4, 16)]


@pytest.mark.parametrize("elsewhere", [False, None])
@pytest.mark.parametrize("size", [1, 4, 64])
def test_where_everything_dies_no_image_is_to_blame(size: int, elsewhere: bool | None) -> None:
    search = Search(size)
    end, deaths = _run(search, lambda _: True, elsewhere=elsewhere)
    assert end == Hopeless()
    assert not search.quarantined
    assert deaths <= 2 * size + 8


def test_a_killed_driver_takes_the_search_up_where_its_marks_are() -> None:
    bad, spent = {37}, 0
    marks: Counter[str] = Counter()
    for _ in range(100):
        search = Search.resumed(64, marks)
        while True:
            ask = search.next()
            assert isinstance(ask, Whole | Probe)
            images = _images(ask.part) if isinstance(ask, Probe) else _images((0, 64), ask.quarantined)
            if bad & set(images):
                spent += 1
                marks[search.died(ask) or ""] += 1
                break  # the driver is killed at each death
            search.lived(ask, len(images))
            if isinstance(ask, Whole):
                assert ask.quarantined == bad
                assert spent + 1 <= 2 * math.log2(64) + 4
                return
    raise AssertionError("the search does not end")


def test_an_image_that_died_once_is_not_asked_again_before_another_has_lived() -> None:
    search, asked, order = Search(4), 0, []
    while asked < 30:
        ask = search.next()
        if isinstance(ask, Whole) and ask.quarantined:
            break
        asked += 1
        assert isinstance(ask, Whole | Probe)
        images = _images(ask.part) if isinstance(ask, Probe) else list(range(4))
        order.append((tuple(images), 1 in images))
        if 1 in images:
            search.died(ask)
        else:
            search.lived(ask, len(images))
    alone = [place for place, (images, _) in enumerate(order) if images == (1,)]
    assert len(alone) == 2
    assert any(not died for _, died in order[alone[0] : alone[1]])
