"""What is dealt or exchanged reads as somebody would write it: no license glass, no right nose, no vibrant black."""

import pytest

from stages.negatives.groups.exchanging import Offer, Sizes, exchanges, noun_offers, offers_of
from stages.negatives.reading import is_of_compound, reads_well
from stages.negatives.reciprocal import parse


@pytest.mark.parametrize(
    ("text", "old", "kind", "new", "well"),
    [
        ("his right hand", "hand", "object", "nose", False),
        ("his right hand", "hand", "object", "foot", True),
        ("his hand", "hand", "object", "nose", True),
        ("the left wall", "wall", "object", "door", True),
        ("a vibrant red stripe", "red", "colour", "dark brown", False),
        ("a bright red stripe", "red", "colour", "white", True),
        ("a vibrant red stripe", "red", "colour", "green", True),
        ("a red stripe", "red", "colour", "black", True),
    ],
)
def test_what_stands_before_a_value_decides(text: str, old: str, kind: str, new: str, well: bool) -> None:
    assert reads_well(text, text.index(old), kind, new) is well


def test_a_noun_with_nouns_before_it_is_not_exchanged_alone() -> None:
    assert is_of_compound("the car's license plate", "plate")
    assert not is_of_compound("a white ceramic plate", "plate")
    assert not list(noun_offers(0, "a", "plate", "the car's license plate"))
    assert [offer.types for offer in noun_offers(0, "a", "plate", "a white ceramic plate")] == [("object",)]


def test_a_value_goes_with_its_noun_where_both_exclude_each_other() -> None:
    offers: list[Offer[int]] = []
    for n, (noun, text) in enumerate([("mug", "a white mug on a tray"), ("vase", "the tall red vase"), ("mug", "a red mug")]):
        expression = parse(text, noun, text, ())
        assert expression is not None
        offers += noun_offers(n, str(n), noun, text, list(offers_of(n, str(n), noun, expression, joint=False)))
    pairs = [group for group in exchanges(offers, Sizes(5, 9, 8, 48)) if group.offers[0].types == ("colour", "object")]
    (group,) = pairs
    texts = {offer.text: [negative.text for negative in group.negatives(offer)] for offer in group.offers}
    assert texts == {"a white mug on a tray": ["a red vase on a tray"], "the tall red vase": ["the tall white mug"]}
    assert {negative.level for offer in group.offers for negative in group.negatives(offer)} == {2}
