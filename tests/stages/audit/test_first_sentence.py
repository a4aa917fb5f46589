"""Retrieval by the first sentence of a long caption beside the whole: a shortcut is seen, and none where there is none."""

import pytest

from schemas.text import sentences
from stages.audit.first_sentence import first_sentence_retrieval
from tests.support.audit_sets import captioned


def test_a_first_sentence_that_tells_all_finds_as_many_as_the_whole() -> None:
    figures = first_sentence_retrieval(captioned(200, tells_all_at_first=True))
    assert figures.first is not None
    assert figures.whole is not None
    assert figures.whole.r1 > 0.8
    assert figures.first.r1 > 0.9 * figures.whole.r1


def test_a_first_sentence_that_tells_nothing_finds_nothing() -> None:
    figures = first_sentence_retrieval(captioned(200, tells_all_at_first=False))
    assert figures.first is not None
    assert figures.whole is not None
    assert figures.rest is not None
    assert figures.whole.r1 > 0.8
    assert figures.rest.r1 > 0.8
    assert figures.first.r1 < 0.1
    assert figures == first_sentence_retrieval(captioned(200, tells_all_at_first=False)[::-1])


def test_few_images_and_captions_of_one_sentence_are_not_measured() -> None:
    figures = first_sentence_retrieval([*captioned(10, tells_all_at_first=True), *((f"x{n}", "A cup.", "cup") for n in range(99))])
    assert (figures.images, figures.whole) == (10, None)
    assert "20 are needed" in str(figures.first_why)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("A cup. It is red.", "A cup."),
        ("杯子是红色的。旁边有球。", "杯子是红色的。"),
        ("One 3.5 mm nut", "One 3.5 mm nut"),
        ('It says "Go!" in red. It is old.', 'It says "Go!"'),
        (" A cup\nIt is", "A cup"),
    ],
)
def test_first_sentences_end_where_a_sentence_does(text: str, first: str) -> None:
    assert sentences(text)[0] == first
