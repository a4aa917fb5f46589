"""A value is recognised by its place: what it modifies, what it is part of, and what it only looks like."""

import pytest

from schemas.rows import ATTRIBUTE_TYPES
from stages.words.ambiguity import is_allowed, may_be_both_true
from stages.words.lexicon import types_of
from stages.words.related_words import CANONICAL, RELATED
from stages.words.scales import AXES
from stages.words.values import values_in


def values_as_texts(text: str) -> list[str]:
    return [f"{value.type}={value.value}" for value in values_in(text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a reddish-brown dog", ["colour=reddish-brown"]),
        ("a black-and-gold vase", ["colour=black-and-gold"]),
        ("a cream-colored wall", ["colour=cream-colored"]),
        ("dark reddish brown hair", ["colour=dark reddish brown"]),
        ("dark pants", ["colour=dark"]),
        ("a lime green shirt", ["colour=lime green"]),
        ("a navy blue and white flag", ["colour=navy blue", "colour=white"]),
        ("a smaller, darker dog", ["size=smaller", "colour=darker"]),
        ("a stainless steel sink", ["material=stainless steel"]),
        ("a diamond-shaped sign", ["shape=diamond-shaped"]),
        ("a weathered old barn", ["state=weathered", "state=old"]),
        ("a clear plastic bottle", ["transparency=clear", "material=plastic"]),
        ("an open door", ["state=open"]),
        ("a full glass", ["state=full"]),
        ("a table made of glass", ["material=glass"]),
        ("the dog is black with white paws", ["colour=black", "colour=white"]),
        ("rows of green leaves", ["colour=green"]),
        ("two old wooden feet", ["state=old", "material=wooden"]),
    ],
)
def test_values_are_known_with_their_shade_as_they_stand(text: str, values: list[str]) -> None:
    assert values_as_texts(text) == values


@pytest.mark.parametrize(
    "text",
    [
        "a clear sky", "a full beard", "a New York street", "the Golden Gate Bridge", "a dimly lit room", "an open field",
        "a glass on a shelf", "two oranges", "a wine glass", "a light fixture", "the shiny marble", "the white-haired man's beard",
        "a golden retriever", "a high chair", "the plain below",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_value_is_none(text: str) -> None:
    assert [value for value in values_as_texts(text) if not value.endswith("=shiny")] == []


@pytest.mark.parametrize("kind", ATTRIBUTE_TYPES)
def test_what_the_guard_knows_the_recogniser_knows(kind: str) -> None:
    pairs = (word for pair in RELATED.get(kind, ()) for word in pair)
    words = {*CANONICAL.get(kind, {}), *CANONICAL.get(kind, {}).values(), *pairs, *AXES.get(kind, {})}
    assert {word for word in words if not types_of(word)} == set()


@pytest.mark.parametrize(
    ("kind", "a", "b", "both"),
    [
        ("colour", "lime green", "green", True),
        ("colour", "sky blue", "blue", True),
        ("colour", "reddish-brown", "brown", True),
        ("colour", "light-grey", "dark grey", False),
        ("colour", "lime green", "red", False),
        ("colour", "dark", "navy", True),
        ("colour", "darker", "white", False),
        ("colour", "blonde", "yellow", True),
        ("size", "smaller", "larger", False),
        ("size", "smaller", "tiny", True),
        ("material", "oak", "wooden", True),
        ("shape", "wavy", "curved", True),
    ],
)
def test_the_guard_knows_the_forms_that_the_recogniser_gives(kind: str, a: str, b: str, both: bool) -> None:
    assert may_be_both_true(kind, a, b) == may_be_both_true(kind, b, a) == both


def test_a_value_stated_with_its_tint_is_true_in_its_plain_form() -> None:
    assert is_allowed("colour", "green", values_in("a forest green door"))
    assert not is_allowed("colour", "red", values_in("a forest green door"))


def test_a_bare_shade_of_a_part_allows_no_colour() -> None:
    known = values_in("a green mushroom with a pale stem")
    assert known[-1] == ("colour", "pale")
    assert not is_allowed("colour", "red", known)
    assert is_allowed("colour", "light", known)
    assert may_be_both_true("colour", "pale", "red")  # "a pale mushroom" may be a red one
