"""What holds of a 135 M model's edits of 200 phrases that people wrote and checked."""

import asyncio

import pytest

from bench.real_words import Measured, RealPhrase, measure
from stages.engines.base import Generator
from stages.negatives.edits import replay
from stages.negatives.quotes import noun_spans

pytestmark = [pytest.mark.real, pytest.mark.vllm, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def edited(real_writer: Generator, real_phrases: list[RealPhrase], loop: asyncio.Runner) -> Measured:
    measured: Measured = loop.run(measure(real_writer, real_phrases, "drawn"))
    return measured


def test_at_least_200_phrases_are_read_and_each_holds_its_noun(real_phrases: list[RealPhrase]) -> None:
    assert len({phrase.text for phrase in real_phrases}) == len(real_phrases) >= 200
    held = [phrase for phrase in real_phrases if noun_spans(phrase.text, phrase.noun)]
    assert len(held) >= 0.98 * len(real_phrases)


def test_every_answer_parses(edited: Measured) -> None:
    assert edited.figures["parsed"] == 1.0
    assert edited.figures["failed"] == 0


def test_proposals_quote_the_phrase_and_most_are_usable(edited: Measured) -> None:
    assert edited.figures["proposals"] >= 500
    assert edited.figures["quoted"] >= 0.99
    assert edited.figures["usable"] >= 0.80


def test_what_is_kept_replays_and_every_proposal_is_kept_or_counted(edited: Measured, real_phrases: list[RealPhrase]) -> None:
    for group, phrase in zip(edited.rows, real_phrases, strict=True):
        assert group.positive == phrase.text
        assert group.num_proposed == len(group.negatives) + sum(group.rejects.values())
        for negative in group.negatives:
            assert replay(group.positive, negative.edits) == negative.text != group.positive
            if negative.type != "object":
                assert len(noun_spans(negative.text, phrase.noun)) == len(noun_spans(group.positive, phrase.noun))


def test_no_word_is_the_new_one_in_a_third_of_the_edits(edited: Measured) -> None:
    """A small model's habit would show to whoever reads texts alone; dealing the values out keeps it down."""
    news = [negative.edits[0].new for group in edited.rows for negative in group.negatives]
    assert max(news.count(new) for new in set(news)) < len(news) / 3
