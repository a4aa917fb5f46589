"""The demo's judge through the transformers engine: held-out crops, every kind of question, both orders."""

import asyncio
import json
import random

import pytest
from PIL import Image

from pipeline.config.registry import DEMO_PROMPTS, with_model_path
from prompts.loader import load_prompt
from stages.engines.base import Decoding, Request
from stages.engines.specs import Resources
from stages.engines.transformers_local import TransformersSpec
from stages.regions.crops import focal_crop

pytest.importorskip("torch")
pytest.importorskip("xgrammar")
from pipeline.demo.draw import draw
from pipeline.demo.training.judge.data import (
    ANSWERS,
    CROP_MIN_SIDE_PX,
    CROP_SCALE,
    ORDERS,
    VALUES,
    Choice,
    Question,
    choice_of,
    crop_about,
    empty_box,
    truth_of,
)
from pipeline.demo.world import Toy, scene, two_valued_scene

SEED, NUM_SCENES = 1007, 6
SCHEMA = {"type": "object", "properties": {"answer": {"enum": [*ANSWERS]}}, "required": ["answer"], "additionalProperties": False}
Asked = list[tuple[Image.Image, Question]]


def _crop(index: int, box: tuple[float, float, float, float]) -> Image.Image:
    return focal_crop(draw(scene(SEED, index)), box, scale=CROP_SCALE, min_side_px=CROP_MIN_SIDE_PX)


def _asked(crop: Image.Image, toy: Toy | None, rng: random.Random) -> Asked:
    """For each type a true and a false value, in both orders."""
    noun = toy.noun if toy is not None else "car"
    asked: Asked = []
    for kind, words in VALUES.items():
        own = noun if toy is None or kind == "object" else getattr(toy, kind)
        other = rng.choice([word for word in words if word != own])
        values = (own, other) if own in words else (other,)
        asked += [(crop, Question(kind, value, noun, order, truth_of(toy, noun, kind, value))) for value in values for order in (0, 1)]
    return asked


def _answers(requests: list[Request]) -> list[str]:
    spec = TransformersSpec(kind="transformers", model="builtin:judge", dtype="float32", batch_size=32, threads=1)
    with asyncio.Runner() as runner:
        engine = with_model_path(spec).build(Resources())
        answers = runner.run(engine.generate(requests))
        runner.run(engine.close())
    return [answer.text for answer in answers]


@pytest.fixture(scope="module")
def answered() -> list[tuple[Question, str]]:
    """Questions about every toy of six scenes and about a piece of each one's ground, with the judge's answers."""
    asked: Asked = []
    for index in range(NUM_SCENES):
        rng = random.Random(f"told/{index}")
        for toy in scene(SEED, index).toys:
            asked += _asked(_crop(index, toy.xyxy), toy, rng)
        empty = empty_box(rng, scene(SEED, index))
        assert empty is not None
        asked += _asked(_crop(index, empty), None, rng)
    requests = [Request(question.text, images=(crop,), answer_schema=SCHEMA, decoding=Decoding(max_tokens=24)) for crop, question in asked]
    return [(question, json.loads(answer)["answer"]) for (_, question), answer in zip(asked, _answers(requests), strict=True)]


@pytest.mark.parametrize("kind", tuple(VALUES))
def test_a_true_value_is_confirmed_and_a_false_one_denied(answered: list[tuple[Question, str]], kind: str) -> None:
    asked = [(question, answer) for question, answer in answered if question.type == kind and question.answer != "cannot_tell"]
    assert len(asked) >= 4 * NUM_SCENES
    assert [(question.text, answer) for question, answer in asked if answer != question.answer] == []


def test_of_a_crop_without_a_toy_nothing_is_told(answered: list[tuple[Question, str]]) -> None:
    answers = [answer for question, answer in answered if question.answer == "cannot_tell"]
    assert len(answers) >= 2 * len(VALUES) * len(ORDERS)
    assert set(answers) == {"cannot_tell"}


def test_the_demos_prompt_asks_what_the_judge_was_taught() -> None:
    prompt = load_prompt("verify", "demo", DEMO_PROMPTS)
    for kind, words in VALUES.items():
        for order, options in enumerate(ORDERS):
            asked = prompt.render({"type": kind, "value": words[0], "noun": "car", "options": options, "text": ""})[1]
            assert asked == Question(kind, words[0], "car", order, "").text


def test_the_prompt_for_choices_asks_what_the_judge_was_taught() -> None:
    prompt = load_prompt("verify", "choose", DEMO_PROMPTS)
    for kind, words in VALUES.items():
        variables = {"type": kind, "value": "", "values": list(words), "noun": "car", "options": "", "text": "", "outline": ""}
        assert prompt.render(variables)[1] == Choice(kind, words, "car", ()).text
        assert (
            prompt.render({**variables, "value": words[0], "values": [], "options": ORDERS[0]})[1]
            == Question(kind, words[0], "car", 0, "").text
        )


def test_both_values_of_a_two_coloured_toy_are_ticked() -> None:
    """And one alone of a toy that has one; in both orders, box outlined or not."""
    asked: list[tuple[Image.Image, Choice]] = []
    for index in range(NUM_SCENES):
        truth = two_valued_scene(SEED, index, 0.5)
        for toy in truth.toys:
            for outline in (False, True):
                shown = Image.fromarray(crop_about(draw(truth), toy.xyxy, outline=outline))
                asked += [(shown, choice_of(toy, toy.noun, "colour", order)) for order in (VALUES["colour"], VALUES["colour"][::-1])]
    values = {"type": "array", "items": {"enum": [*VALUES["colour"], "cannot_tell"]}, "minItems": 1, "maxItems": 8}
    schema = {"type": "object", "properties": {"answer": values}, "required": ["answer"], "additionalProperties": False}
    requests = [Request(choice.text, images=(crop,), answer_schema=schema, decoding=Decoding(max_tokens=48)) for crop, choice in asked]
    answers = _answers(requests)
    right = [set(json.loads(answer)["answer"]) == set(choice.ticked) for answer, (_, choice) in zip(answers, asked, strict=True)]
    assert any(len(choice.ticked) == 2 for _, choice in asked)
    assert sum(right) >= 0.95 * len(right)
