"""Several slots changed at once, and a region's edit made in the long caption."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import CAPTION, Negative, Region, SelectRow
from stages.negatives.caption_negatives import caption_negatives
from stages.negatives.compose import Place, composed, placed
from stages.negatives.edits import Proposal, accept, known_of, replay
from stages.words.values import values_in

POSITIVE = "a red striped metal car"
VALUES = {
    "red": ("colour", ("green", "blue", "white")),
    "striped": ("pattern", ("plain", "spotted")),
    "metal": ("material", ("rubber", "glass")),
}


def singles(positive: str = POSITIVE) -> list[Negative]:
    proposals = [Proposal(type=kind, old=old, new=new) for old, (kind, news) in VALUES.items() if old in positive for new in news]  # type: ignore[arg-type]
    proposals.append(Proposal(type="object", old="car", new="mug"))
    return accept(proposals, positive, "car", known_of([positive], nouns=["car"]), 20)[0]


@pytest.mark.parametrize("level", [2, 3])
def test_a_level_changes_that_many_slots_each_once(level: int) -> None:
    made = composed(singles(), POSITIVE, level, 6, random.Random(0))
    assert len(made) == len({negative.text for negative in made}) == 6
    for negative in made:
        assert negative.level == len({edit.start for edit in negative.edits}) == level
        assert replay(POSITIVE, negative.edits) == negative.text
        assert "car" in negative.text.split()  # with another noun nothing would be left to tell apart


def test_the_same_draw_gives_the_same_negatives_and_none_is_made_twice() -> None:
    first = composed(singles(), POSITIVE, 2, 8, random.Random(3))
    assert first == composed(singles(), POSITIVE, 2, 8, random.Random(3))
    again = composed(singles(), POSITIVE, 2, 8, random.Random(4), [negative.text for negative in first])
    assert {negative.text for negative in first}.isdisjoint(negative.text for negative in again)


def test_too_few_slots_give_none() -> None:
    assert composed(singles("a red car"), "a red car", 2, 5, random.Random(0)) == []


CAPTION_TEXT = "Two toys stand on a lawn. At the top left there is a red striped car. At the bottom right there is a blue plain car."


def where(phrase: str) -> Place:
    start = CAPTION_TEXT.index(phrase)
    return Place(start, start + len(phrase), "car", values_in("a blue plain car"), frozenset({"toy", "lawn"}))


def placed_edit(kind: str, old: str, new: str) -> Negative | str:
    (single,), _ = accept([Proposal(type=kind, old=old, new=new)], POSITIVE, "car", known_of([POSITIVE]), 5)  # type: ignore[arg-type]
    return placed(single, CAPTION_TEXT, where("a red striped car"))


def test_an_edit_is_made_where_the_caption_names_its_region() -> None:
    made = placed_edit("colour", "red", "green")
    assert isinstance(made, Negative)
    assert made.text == CAPTION_TEXT.replace("red", "green")


def test_what_is_true_of_another_thing_of_that_noun_is_no_negative_of_the_caption() -> None:
    assert placed_edit("colour", "red", "blue") == "true_of_another"
    assert placed_edit("pattern", "striped", "plain") == "true_of_another"
    assert placed_edit("object", "car", "lawn") == "true_of_another"
    assert isinstance(placed_edit("object", "car", "mug"), Negative)


def test_an_edit_of_words_that_the_caption_does_not_say_there_is_refused() -> None:
    assert placed_edit("material", "metal", "rubber") == "not_in_caption"


@given(st.integers(0, 24), st.integers(0, 2**20), st.booleans())
def test_every_candidate_of_the_caption_is_kept_or_counted(limit: int, seed: int, is_alone: bool) -> None:
    phrases = ["a red striped car"] if is_alone else ["a red striped car", "a blue plain car"]
    starts = [CAPTION_TEXT.index(phrase) for phrase in phrases]
    boxes = [(10.0, 10.0, 40.0, 40.0), (160.0, 160.0, 190.0, 190.0)]
    regions = [
        Region(xyxy=box, phrase=phrase, start=start, end=start + len(phrase), head="car")
        for phrase, start, box in zip(phrases, starts, boxes, strict=False)
    ]
    edits = {0: singles("a red striped car")}
    select = SelectRow(key="k", width=200, height=200, regions=regions)
    group = caption_negatives(CAPTION_TEXT, select, edits, {0: known_of(phrases[:1])}, limit, random.Random(seed))
    assert group.region == CAPTION
    assert len(group.negatives) <= limit
    assert group.num_proposed == len(group.negatives) + sum(group.rejects.values())
    for negative in group.negatives:
        assert replay(CAPTION_TEXT, negative.edits) == negative.text
        assert (
            (negative.verdict == "false") == (negative.source == "geometry") == any(e.type in ("position", "count") for e in negative.edits)
        )
