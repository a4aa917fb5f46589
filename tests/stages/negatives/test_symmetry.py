"""Marginals: what is kept puts each value in as often as it replaces it, in pairs and in rings, and no more is left out than must be."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from stages.negatives.symmetry import Change, allowance, rings, symmetric

Ways = list[tuple[str, str]]
ways = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")).filter(lambda way: way[0] != way[1]), max_size=40)


def changes(some: Sequence[tuple[str, str]], kind: str = "colour") -> list[Change[int]]:
    return [Change(n, "mug", ((kind, old, new),), n) for n, (old, new) in enumerate(some)]


def balance(some: Ways, kept: Iterable[int]) -> set[int]:
    """How much more often each value is replaced than put in, without the zeros."""
    sums = Counter[str]()
    for n in kept:
        sums[some[n][0]] += 1
        sums[some[n][1]] -= 1
    return {difference for difference in sums.values() if difference}


def test_what_has_no_way_back_stays_where_it_closes_a_ring() -> None:
    some = [("red", "blue"), ("blue", "red"), ("red", "green"), ("green", "teal"), ("teal", "red"), ("red", "pink")]
    assert symmetric(changes(some)) == {0, 1, 2, 3, 4}
    assert rings(changes(some)) == [[1, 0], [2, 3, 4], [5]]


def test_rings_of_different_nouns_are_none() -> None:
    some = [
        Change(n, noun, (("colour", old, new),), n) for n, (noun, old, new) in enumerate([("mug", "red", "blue"), ("car", "blue", "red")])
    ]
    assert symmetric(some) == set()


@given(ways)
def test_each_value_is_put_in_as_often_as_it_is_replaced(some: Ways) -> None:
    kept = symmetric(changes(some))
    assert not balance(some, kept)
    left = [way for n, way in enumerate(some) if n not in kept]
    assert not symmetric(changes(left))  # nothing of what is left out could still be kept


@given(ways, ways)
def test_what_may_be_uneven_keeps_more_and_no_value_passes_its_allowance(standing: Ways, some: Ways) -> None:
    allowed = allowance(changes(standing), 0.125)
    kept = symmetric(changes(some), allowed)
    assert len(kept) >= len(symmetric(changes(some)))
    for value in "abcdef":
        uneven = sum((some[n][0] == value) - (some[n][1] == value) for n in kept)
        assert abs(uneven) <= allowed.get(("mug", "colour", value), 0)


@given(ways)
def test_rings_hold_every_change_once_and_each_is_balanced(some: Ways) -> None:
    of_all = rings(changes(some))
    assert sorted(n for ring in of_all for n in ring) == list(range(len(some)))
    assert not any(balance(some, ring) for ring in of_all if len(ring) > 1)
    kept = sorted(symmetric(changes(some)))
    assert all(len(ring) > 1 for ring in rings(changes([some[n] for n in kept])))
