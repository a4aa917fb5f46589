"""What a region's expression may say."""

import pytest

from stages.words.expressions import look, names_noun, refusal
from stages.words.nouns import singular


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a red leather sofa", None),
        ("two red sofas", None),
        ("a red leather couch", "noun_lost"),
        ("a sofabed", "noun_lost"),
        ("a red sofa beside a lamp", "other_noun"),
        ("a red sofa with two lamps", "other_noun"),
        ("a red sofa that appears to be leather", "hedge"),
        ("a sofa, possibly red", "hedge"),
        ("a sofa made of some kind of leather", "hedge"),
        ("a red sofa on the left", "position"),
        ("the red sofa on the right side of the room", "position"),
        ("a red sofa in the background", "position"),
        ("the bottom left sofa", "position"),
        ("the leftmost red sofa", "position"),
        ("a red sofa in this image", "meta"),
        ("a close-up of a red sofa", "meta"),
        ("a blurry red sofa", "meta"),
    ],
)
def test_an_expression_keeps_its_noun_and_says_nothing_but_what_is_seen(text: str, why: str | None) -> None:
    assert refusal(text, "sofa", ["lamp", "sofa"]) == why


@pytest.mark.parametrize(
    "text",
    [
        "a left shoe with a black top",
        "a shoe with a logo on the left sleeve of its tongue",
        "a shoe with a rounded bottom edging",
        "a shoe likened to a boat",
        "a shoe with a photographic print",
    ],
)
def test_words_that_are_places_of_parts_or_only_look_like_hedges_pass(text: str) -> None:
    assert refusal(text, "shoe") is None


def test_what_can_be_read_on_a_thing_may_say_anything() -> None:
    assert refusal('a sign that reads "MAYBE TURN TOP LEFT AT THE CAR"', "sign", ["car"]) is None
    assert refusal("a sign that reads maybe car", "sign", ["car"], ["Maybe car"]) is None
    assert refusal("a sign that reads maybe car", "sign", ["car"]) == "other_noun"


def test_a_photograph_may_be_called_one_and_a_value_is_no_other_noun() -> None:
    assert refusal("a framed photo of a child", "photo") is None
    assert refusal("an orange glass vase", "vase", ["glass", "orange"]) is None


def test_plurals_by_rule_and_by_exception_name_their_noun() -> None:
    pairs = {
        "shelves": "shelf",
        "houses": "house",
        "buses": "bus",
        "boxes": "box",
        "berries": "berry",
        "people": "person",
        "jeans": "jeans",
    }
    assert {plural: singular(plural) for plural in pairs} == pairs
    assert all(names_noun(f"three {plural} there", noun) for plural, noun in pairs.items())


def test_the_look_is_what_is_said_beside_the_noun() -> None:
    assert look("A red striped car", "car") == look("the red striped cars", "car") == "red striped"
