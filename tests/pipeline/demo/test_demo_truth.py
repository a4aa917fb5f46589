"""The demo's ground truth: what it calls false must be false, and nothing else."""

from dataclasses import replace

import pytest

from pipeline.demo.draw import draw
from pipeline.demo.truth import caption_slots, fact_is_true, is_false
from pipeline.demo.world import Scene, Toy, scene, two_valued_scene
from schemas.rows import CAPTION, Edit, Fact, Negative, RegionNegatives

CAR = Toy("car", "red", "striped", "metal", "large", "top left", (0, 0, 60, 40))
MUG = Toy("mug", "blue", "plain", "rubber", "small", "bottom right", (180, 180, 200, 198))
SCENE = Scene(5000, 0, "tiled floor", (CAR, MUG))


def _edited(positive: str, old: str, new: str) -> Negative:
    start = positive.index(old)
    edit = Edit(type="colour", start=start, end=start + len(old), old=old, new=new)
    return Negative(text=positive.replace(old, new, 1), edits=[edit], type="colour")


@pytest.mark.parametrize("new, false", [("blue", True), ("red", False)])
def test_a_region_negative_is_false_where_a_stated_slot_differs(new: str, false: bool) -> None:
    of = RegionNegatives(region=0, positive="a green striped metal car")
    assert is_false(_edited(of.positive, "green", new), of, {0: CAR}, SCENE) is false


def test_of_a_box_that_holds_no_toy_nothing_is_false() -> None:
    of = RegionNegatives(region=3, positive="a red striped metal car")
    assert not is_false(_edited(of.positive, "red", "blue"), of, {0: CAR}, SCENE)


@pytest.mark.parametrize(
    "old, new, false",
    [
        ("Two", "Three", True),
        ("tiled floor", "sandy beach", True),
        ("top left", "top right", True),
        ("red", "green", True),
        ("rubber mug", "rubber mug", False),
        ("small blue", "blue", False),
    ],
)
def test_a_caption_negative_is_judged_by_the_sentence_that_was_edited(old: str, new: str, false: bool) -> None:
    of = RegionNegatives(region=CAPTION, positive=SCENE.long_caption)
    assert is_false(_edited(of.positive, old, new), of, {}, SCENE) is false


def test_an_untrue_sentence_that_was_not_edited_makes_no_negative() -> None:
    wrong = SCENE.long_caption.replace("blue", "white")
    of = RegionNegatives(region=CAPTION, positive=wrong)
    assert not is_false(_edited(wrong, "large red", "red"), of, {}, SCENE)


def test_a_fact_is_held_against_the_toy_that_its_box_holds() -> None:
    fact = Fact(region=0, type="material", value="metal", verdict="true")
    assert fact_is_true(fact, {0: CAR}) is True
    assert fact_is_true(fact.model_copy(update={"value": "rubber"}), {0: CAR}) is False
    assert fact_is_true(fact.model_copy(update={"region": 1}), {0: CAR}) is None


def test_a_true_caption_states_every_slot_rightly() -> None:
    assert caption_slots(SCENE.long_caption, SCENE) == (14, 14)


def test_two_valued_toys_stand_in_scenes_of_their_own() -> None:
    for index in range(5):
        assert two_valued_scene(3, index, 0.0) == scene(3, index)
    toys = [(toy, other) for index in range(200) for toy, other in zip(scene(3, index).toys, two_valued_scene(3, index).toys, strict=True)]
    two = [second for first, second in toys if first != second]
    assert 0.15 <= len(two) / len(toys) <= 0.25
    for first, second in toys:
        assert replace(second, also=()) == first
    assert {len(toy.values(slot)) for toy in two for slot in ("colour", "pattern")} == {1, 2}
    for toy in two:
        plain, painted = (draw(Scene(0, 0, "tiled floor", (replace(toy, also=also),))) for also in ((), toy.also))
        assert plain.tobytes() != painted.tobytes()
