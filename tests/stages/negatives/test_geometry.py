"""Places and counts that boxes refute: what is edited, and above all what is left alone."""

import pytest

from pipeline.demo.truth import is_false
from pipeline.demo.world import scene
from schemas.rows import CAPTION, Region, RegionNegatives
from stages.negatives.edits import replay
from stages.negatives.geometry import moved, recounted

SIDE = 200
CENTRES = {"left": 30.0, "middle": 100.0, "right": 170.0, "top": 40.0, "bottom": 160.0}


def boxed(caption: str, phrase: str, column: str, row: str, *, head: str = "", num_boxes: int = 1) -> Region:
    x, y = CENTRES[column], CENTRES[row]
    start = caption.index(phrase)
    xyxy = (x - 10, y - 10, x + 10, y + 10)
    return Region(xyxy=xyxy, phrase=phrase, start=start, end=start + len(phrase), head=head or phrase.split()[-1], num_boxes=num_boxes)


def news(caption: str, *regions: Region) -> set[str]:
    made = moved(caption, regions, SIDE, SIDE)
    assert all(
        replay(caption, negative.edits) == negative.text and negative.verdict == "false" and negative.source == "geometry"
        for negative in made
    )
    return {negative.edits[0].new for negative in made}


def test_a_place_is_exchanged_for_every_other_that_the_box_refutes() -> None:
    caption = "A lawn. At the top left there is a red car."
    car = boxed(caption, "a red car", "left", "top")
    assert news(caption, car) == {"top centre", "top right", "bottom left", "bottom centre", "bottom right"}


def test_the_words_keep_their_form() -> None:
    caption = "In the lower-right corner, a dog sleeps; the center is empty."
    assert "upper-center" in news(caption, boxed(caption, "a dog", "right", "bottom"))
    caption = "On the left, a dog sleeps."
    assert news(caption, boxed(caption, "a dog", "left", "bottom")) == {"right"}


def test_a_place_that_the_box_does_not_confirm_is_left_alone() -> None:
    caption = "At the top left there is a red car."
    assert news(caption, boxed(caption, "a red car", "right", "top")) == set()
    assert news(caption, boxed(caption, "a red car", "middle", "top")) == set()


def test_no_place_is_named_where_another_thing_of_that_noun_stands() -> None:
    caption = "At the top left there is a red car. A blue car stands on the grass."
    left, other = boxed(caption, "a red car", "left", "top"), boxed(caption, "A blue car", "right", "bottom", head="car")
    assert news(caption, left, other) == {"top centre", "top right", "bottom left", "bottom centre"}


@pytest.mark.parametrize(
    "caption",
    [
        "To the left of the table there is a red car.",  # not a place in the frame
        "At the top left there is a red car beside a tall tree.",  # whose place?
        "At the top left there is a red car, at the bottom right nothing.",
    ],
)
def test_a_place_that_may_be_about_something_else_is_left_alone(caption: str) -> None:
    assert news(caption, boxed(caption, "a red car", "left", "top")) == set()


def counts(caption: str, *regions: Region) -> set[str]:
    return {negative.edits[0].new for negative in recounted(caption, regions)}


def test_a_count_is_exchanged_where_boxes_confirm_it() -> None:
    caption = "Two dogs play on the lawn."
    dogs = [boxed(caption, "Two dogs", column, "top", head="dog", num_boxes=2) for column in ("left", "right")]
    assert counts(caption, *dogs) == {"Four", "Five", "Six"}  # a third that the caption leaves out has no box either
    assert counts(caption, dogs[0]) == set()
    third = boxed("Two dogs. A dog.", "A dog", "middle", "bottom", head="dog")
    assert counts(caption, *dogs, third) == {"Five", "Six", "Seven"}  # three dogs are there


def test_a_broader_noun_counts_all_that_it_may_mean() -> None:
    caption = "Three toys stand on a lawn. There is a red car. There is a blue mug. There is a white star."
    toys = [boxed(caption, p, c, "top") for p, c in (("a red car", "left"), ("a blue mug", "middle"), ("a white star", "right"))]
    assert counts(caption, *toys) == {"Two", "Five", "Six"}
    assert counts(caption, *toys[:2]) == set()


def test_by_the_worlds_truth_every_computed_negative_is_false() -> None:
    num = 0
    for index in range(60):
        truth = scene(77, index)
        caption = truth.long_caption
        regions = [
            Region(xyxy=t.xyxy, phrase=t.phrase, start=caption.index(t.phrase), end=caption.index(t.phrase) + len(t.phrase), head=t.noun)
            for t in truth.toys
        ]
        group = RegionNegatives(region=CAPTION, positive=caption)
        for computed in [*moved(caption, regions, 224, 224), *recounted(caption, regions)]:
            assert is_false(computed, group, {}, truth), (computed.text, caption)
            num += 1
    assert num > 300
