"""ground and select together: what the detector is asked, what is stored, and what select makes of it without asking."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from PIL import Image as PillowImage

from prompts.loader import load_prompt
from schemas.arrow import from_table, to_table
from schemas.boxes import Box
from schemas.rows import CaptionRow, GroundRow, SelectRow
from stages.base import StageContext
from stages.engines.base import Answer, DetectRequest, Found, Request
from stages.ground import Ground, GroundParams
from stages.select import Select, SelectParams
from stages.words.domain import Domain
from tests.support.images import image_of

Scenery = dict[Box, str]
LITTLE = {"a", "an", "the", "there", "is"}


class Sight:
    """A detector of a picture that it knows: a phrase scores the share of its words that are true of a thing."""

    def __init__(self, scenery: Scenery, trust: float = 1.0) -> None:
        self.scenery, self.trust, self.asked = scenery, trust, list[tuple[str, ...]]()

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        self.asked += [request.phrases for request in requests]
        return [[box for box in self._find(request) if box.score >= floor] for request in requests]

    def _find(self, request: DetectRequest) -> list[Found]:
        boxes = []
        for index, phrase in enumerate(request.phrases):
            words = set(phrase.lower().split()) - LITTLE
            for box, words_true in self.scenery.items():
                score = self.trust * len(words & set(words_true.split())) / len(words)
                boxes.append(Found(index, box, score, score))
        return boxes

    async def close(self) -> None:
        return None


class Listed:
    """A reader that lists these phrases."""

    def __init__(self, *phrases: tuple[str, str]) -> None:
        self.phrases = phrases

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        return [Answer(json.dumps({"phrases": [{"text": text, "noun": noun} for text, noun in self.phrases]})) for _ in requests]

    async def close(self) -> None:
        return None


RED, BLUE, DOG = (0.0, 0.0, 20.0, 20.0), (40.0, 0.0, 60.0, 20.0), (0.0, 50.0, 30.0, 90.0)
SCENERY: Scenery = {RED: "red wooden car cars", BLUE: "blue metal car cars", DOG: "small brown dog"}


def _ground(caption: str, sight: Sight, second: Sight | None = None, reader: Listed | None = None, **params: object) -> GroundRow:
    image = image_of("k", CaptionRow(key="k", long=caption), pixels=PillowImage.new("RGB", (100, 100)))
    detectors = {"detector": sight} | ({"second_detector": second} if second else {})
    prompts = {"phrases": load_prompt("phrases", "v1")} if reader else {}
    stage = Ground(
        GroundParams.model_validate({"second_detector": second is not None, **({"phrases": "llm"} if reader else {}), **params}),
        StageContext("f", prompts, {"reader": reader} if reader else {}, detectors),
    )
    (row,) = asyncio.run(stage.process([image]))
    assert isinstance(row, GroundRow)
    return row


def _select(ground: GroundRow, **params: float | None) -> SelectRow:
    stage = Select(SelectParams.model_validate({"min_score": 0.5, **params}), StageContext("f"))
    (row,) = asyncio.run(stage.process([image_of("k", ground)]))
    assert isinstance(row, SelectRow)
    return row


def _kept(row: SelectRow) -> list[tuple[str, Box]]:
    return sorted((region.phrase, region.xyxy) for region in row.regions)


def test_each_sentence_is_one_request_and_all_near_misses_of_an_image_one_more() -> None:
    sight = Sight(SCENERY)
    ground = _ground("There is a red car and a blue car. A small dog looks at it.", sight)
    assert sight.asked[:2] == [("a red car", "a blue car"), ("A small dog",)]
    assert len(sight.asked) == 3
    near_misses = [text for phrase in ground.phrases for text in phrase.near_misses]
    assert set(sight.asked[2]) == {"a red car", "a blue car", "A small dog", *near_misses}
    assert 0 < len(set(near_misses)) <= GroundParams().near_misses
    plain = Sight(SCENERY)
    assert _ground("There is a red car.", plain, near_misses=0).detections[0].lineup is None
    assert len(plain.asked) == 1


def test_a_near_miss_changes_one_word_and_is_never_true_beside_it() -> None:
    ground = _ground("There is a large red wooden car. An old dog stands there.", Sight(SCENERY), near_misses=60)
    near_misses = {text for phrase in ground.phrases for text in phrase.near_misses}
    changed = [set(text.split()) ^ set("a large red wooden car".split()) for text in near_misses if "dog" not in text.split()[-1:]]
    assert "a large red wooden dog" in near_misses  # the noun of another thing of the picture comes first
    assert all(len(words - {"an"}) <= 2 or "old" in words for words in changed)
    assert not near_misses & {"a big red wooden car", "a large crimson wooden car", "a large red wood car", "a large red wooden automobile"}


def test_a_phrase_that_scores_no_better_than_with_another_noun_is_absent() -> None:
    anything = Sight({RED: "red", DOG: "small brown dog"})  # "a red car" and "a red dog" score the same on it
    ground = _ground("There is a red car. There is a small dog.", anything)
    row = _select(ground, min_noun_margin=0.1)
    assert _kept(row) == [("a small dog", DOG)]
    assert row.rejects["absent_noun"] == 1
    assert row.regions[0].margin == pytest.approx(0.5)
    assert _kept(_select(ground, min_noun_margin=None)) == [("a red car", RED), ("a small dog", DOG)]


def test_a_wrong_value_is_seen_by_its_near_misses_where_select_asks_for_it() -> None:
    ground = _ground("There is a green wooden car. There is a blue car.", Sight(SCENERY), near_misses=40)
    wrong = [box for box in ground.detections if box.phrase == 0 and box.xyxy == RED]
    assert wrong[0].value_control == 1.0  # "a red wooden car"
    row = _select(ground, min_value_margin=0.0)
    assert _kept(row) == [("a blue car", BLUE)]
    assert row.rejects["absent_value"] == 2  # the green one, and "a blue car" on the red one
    assert ("a green wooden car", RED) in _kept(_select(ground, min_value_margin=None))


def test_a_box_that_another_phrase_names_better_is_outranked() -> None:
    ground = _ground("There is a red metal car. There is a blue metal car.", Sight(SCENERY), near_misses=0)
    row = _select(ground, max_iou=1.0)
    assert _kept(row) == [("a blue metal car", BLUE), ("a red metal car", RED)]
    assert row.rejects["outranked"] == 1  # "a red metal car" on the blue one
    assert [region.rival for region in row.regions if region.xyxy == BLUE] == [pytest.approx(2 / 3)]


def test_of_two_mentions_of_a_thing_the_fuller_names_it() -> None:
    ground = _ground("There is a red small car. Beside the car is a small dog.", Sight(SCENERY), near_misses=0)
    scores = {ground.phrases[box.phrase].text: box.score for box in ground.detections if box.xyxy == RED}
    assert scores["the car"] == 1.0  # it scores higher, and is no rival
    assert scores["a red small car"] == pytest.approx(2 / 3)
    row = _select(ground)
    assert _kept(row) == [("a red small car", RED), ("a small dog", DOG), ("the car", BLUE)]
    assert row.rejects["said_more_fully"] == 1
    assert "outranked" not in row.rejects


def test_the_second_detector_is_asked_the_same_and_its_agreement_stored() -> None:
    off: Box = (5.0, 0.0, 25.0, 20.0)
    second = Sight({off: "red wooden car", DOG: "small brown dog"}, trust=0.6)
    ground = _ground("There is a red car. There is a blue car. There is a small dog.", Sight(SCENERY), second)
    assert second.asked == [("a red car",), ("a blue car",), ("a small dog",)]
    best = {ground.phrases[box.phrase].text: box for box in ground.detections if box.score == 1.0}
    assert best["a small dog"].agreement == 1.0
    assert best["a small dog"].agreement_score == pytest.approx(0.6)
    assert best["a red car"].agreement == pytest.approx(0.6)
    assert best["a blue car"].agreement == 0.0
    assert [phrase for phrase, _ in _kept(_select(ground, min_agreement=0.5))] == ["a red car", "a small dog"]
    assert _select(ground, min_agreement=0.5).rejects["disagreement"] == 1
    assert _kept(_select(ground, min_agreement=0.5, min_agreement_score=0.7)) == []
    assert len(_select(ground).regions) == 3


def test_new_thresholds_ask_no_detector() -> None:
    sight, second = Sight(SCENERY), Sight(SCENERY)
    ground = _ground("There is a red car. There is a small dog.", sight, second)
    asked = len(sight.asked) + len(second.asked)
    kept = [
        len(_select(ground, **changed).regions)
        for changed in (
            {},
            {"min_score": 1.0},
            {"min_noun_margin": 0.9},
            {"min_value_margin": 0.9},
            {"min_lead": 0.9},
            {"min_agreement": 1.0},
        )
    ]
    assert len(set(kept)) > 1
    assert len(sight.asked) + len(second.asked) == asked


def test_a_group_keeps_as_many_boxes_as_it_states() -> None:
    crowd: Scenery = {(20.0 * i, 0.0, 20.0 * i + 15, 15.0): "cars" for i in range(4)}
    for text, number in (("two cars", 2), ("several cars", 4), ("a car", 0)):
        assert len(_select(_ground(f"There are {text}.", Sight(crowd), near_misses=0)).regions) == number


def test_marked_phrases_stay_in_the_table_and_are_not_asked() -> None:
    sight = Sight(SCENERY)
    ground = _ground("In the background is a red car with a price. The mood is calm.", sight, domain=Domain(drop=("price",)))
    marks = {phrase.text: phrase.mark for phrase in ground.phrases}
    assert marks == {"the background": "scene", "a red car": None, "a price": "dropped", "The mood": "abstract"}
    assert sight.asked[0] == ("a red car",)


def test_a_box_that_fills_the_frame_is_stored_and_refused_by_name() -> None:
    ground = _ground("There is a red wall.", Sight({(0.0, 0.0, 100.0, 99.0): "red wall"}))
    assert len(ground.detections) == 1
    assert _select(ground).rejects == {"whole_image": 1}


def test_listed_phrases_that_are_no_span_of_the_caption_are_counted() -> None:
    reader = Listed(("a red car", "car"), ("a scarlet car", "car"), ("a red car", "dog"))
    ground = _ground("There is a red car.", Sight(SCENERY), reader=reader)
    assert [phrase.text for phrase in ground.phrases] == ["a red car"]
    assert ground.rejects == {"not_verbatim": 2}


def test_rows_come_back_from_their_table_as_they_were() -> None:
    ground = _ground("There is a red car. There is a small dog.", Sight(SCENERY), Sight(SCENERY))
    assert from_table(to_table([ground], GroundRow), GroundRow) == [ground]
    select = _select(ground)
    assert from_table(to_table([select], SelectRow), SelectRow) == [select]
