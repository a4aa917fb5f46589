"""Which stored detections become regions."""

import asyncio
import random

import pytest

from schemas.rows import Detection, GroundRow, Phrase, SelectRow
from stages.base import StageContext
from stages.select import Select, SelectParams
from tests.support.images import image_of


def _phrase(text: str, head: str) -> Phrase:
    return Phrase(text=text, start=0, end=len(text), head=head, sentence=0)


def _select(detections: list[Detection], phrases: list[Phrase], **params: float) -> SelectRow:
    ground = GroundRow(key="k", width=100, height=100, phrases=phrases, detections=detections)
    stage = Select(SelectParams(**{"min_score": 0.3, **params}), StageContext("f"))
    (row,) = asyncio.run(stage.process([image_of("k", ground)]))
    assert isinstance(row, SelectRow)
    return row


CAR, TREE = _phrase("a red car", "car"), _phrase("a tree", "tree")


def test_a_box_below_the_threshold_is_counted_and_dropped() -> None:
    row = _select(
        [Detection(phrase=0, xyxy=(0, 0, 20, 20), score=0.29), Detection(phrase=1, xyxy=(50, 50, 80, 80), score=0.31)], [CAR, TREE]
    )
    assert [region.phrase for region in row.regions] == ["a tree"]
    assert row.rejects == {"below_threshold": 1}


def test_a_given_box_without_a_score_passes_and_comes_first() -> None:
    row = _select([Detection(phrase=0, xyxy=(0, 0, 20, 20), score=0.9), Detection(phrase=1, xyxy=(50, 50, 80, 80))], [CAR, TREE])
    assert [(region.phrase, region.score) for region in row.regions] == [("a tree", None), ("a red car", 0.9)]


def test_given_boxes_are_all_kept_in_their_order_and_oust_what_was_detected() -> None:
    given = [(40.0, 40.0, 80.0, 80.0), (0.0, 0.0, 100.0, 100.0), (41.0, 40.0, 80.0, 80.0), (0.0, 0.0, 2.0, 50.0)]
    boxes = [Detection(phrase=0, xyxy=(40, 41, 80, 80), score=0.9), *(Detection(phrase=0, xyxy=box) for box in given)]
    row = _select(boxes, [CAR])
    assert [region.xyxy for region in row.regions] == given
    assert row.rejects == {"overlap": 1}


def test_overlaps_are_resolved_within_a_noun_only() -> None:
    blue = _phrase("a blue car", "car")
    boxes = [
        Detection(phrase=0, xyxy=(10, 10, 50, 50), score=0.6),
        Detection(phrase=1, xyxy=(22, 10, 50, 50), score=0.8),
        Detection(phrase=2, xyxy=(10, 24, 50, 50), score=0.5),
    ]
    row = _select(boxes, [CAR, blue, TREE])
    assert [region.phrase for region in row.regions] == ["a blue car", "a tree"]
    assert row.rejects == {"overlap": 1}


def test_a_singular_phrase_keeps_its_best_box_and_a_plural_one_several() -> None:
    boxes = [Detection(phrase=0, xyxy=(i * 20, 0, i * 20 + 15, 15), score=0.5 + i / 10) for i in range(3)]
    assert [region.score for region in _select(boxes, [CAR]).regions] == [0.7]
    row = _select(boxes, [_phrase("three cars", "car")])
    assert [region.num_boxes for region in row.regions] == [3, 3, 3]


def test_a_box_that_fills_the_frame_and_one_without_width_are_no_regions() -> None:
    row = _select([Detection(phrase=0, xyxy=(0, 0, 100, 98), score=0.9), Detection(phrase=1, xyxy=(5, 5, 7, 60), score=0.9)], [CAR, TREE])
    assert row.regions == []
    assert row.rejects == {"too_small": 1, "whole_image": 1}


@pytest.mark.timeout(60)
def test_thousands_of_boxes_on_an_image_do_not_stall_it() -> None:
    """A crowd is quadratic in its boxes: of 5,000 one by one took 22 s, as rows of arrays it takes one or two."""
    rng = random.Random(0)
    corners = [(rng.uniform(0, 3000), rng.uniform(0, 3000)) for _ in range(2500)]
    boxes = [Detection(phrase=i % 2, xyxy=(x, y, x + 40, y + 40), score=rng.random()) for i, (x, y) in enumerate(corners)]
    row = _select(boxes, [_phrase("a man", "man"), _phrase("a red car", "car")], max_boxes_per_plural=5000)
    assert len(row.regions) + sum(row.rejects.values()) == 2500
