"""One question for all values of a type: which are asked together, what is ticked, and what that says of those that are not."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from pipeline.config.graph import build_graph
from pipeline.config.model import ConfigError
from pipeline.config.read import load_config
from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.rows import (
    CAPTION,
    Attribute,
    Edit,
    HardNegativeRow,
    Negative,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    SelectRow,
    VerifyRow,
)
from stages.base import Image, StageContext
from stages.engines.base import Answer, Request
from stages.negatives.edits import replay
from stages.regions.outline import outlined_crop
from stages.verify import Verify, VerifyParams
from tests.support.images import image_of

PROMPTS = {version: load_prompt("verify", version, after=DEMO_PROMPTS) for version in ("v1", "v2", "choose")}
Ticks = Callable[[Request], list[str] | str]


class Judge:
    """Answers by a function of the request, and keeps what it was asked."""

    def __init__(self, ticks: Ticks) -> None:
        self.ticks, self.asked = ticks, list[Request]()

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        self.asked += requests
        return [Answer(text=json.dumps({"answer": self.ticks(request)}), finish_reason="stop") for request in requests]


def true_of(*values: str) -> Ticks:
    """A judge to whom these values are true and no others."""

    def ticks(request: Request) -> list[str] | str:
        among = request.variables["values"]
        if among:
            return [value for value in among if value in values] or ["cannot_tell"]
        return "yes" if request.variables["text"] in values else "no"

    return ticks


def edited(positive: str, kind: str, old: str, new: str) -> Negative:
    start = positive.index(old)
    edit = Edit(type=kind, start=start, end=start + len(old), old=old, new=new)  # type: ignore[arg-type]
    return Negative(text=replay(positive, [edit]), edits=[edit], type=edit.type)


def group(positive: str, *edits: tuple[str, str, str], region: int = 0) -> RegionNegatives:
    negatives = [edited(positive, *edit) for edit in edits]
    return RegionNegatives(region=region, positive=positive, negatives=negatives, num_proposed=len(negatives))


def image(phrases: Sequence[tuple[str, str]], *groups: RegionNegatives, attributes: Sequence[Attribute] = (), text: str = "") -> Image:
    regions = [
        Region(
            xyxy=(10.0 + 40 * i, 10, 40.0 + 40 * i, 40),
            phrase=phrase,
            head=head,
            start=None if not text else text.index(phrase),
            end=None if not text else text.index(phrase) + len(phrase),
        )
        for i, (phrase, head) in enumerate(phrases)
    ]
    captions = [
        RegionCaption(region=i, xyxy=region.xyxy, head=region.head, short=region.phrase, attributes=list(attributes) if i else [])
        for i, region in enumerate(regions)
    ]
    rows = (
        SelectRow(key="k", regions=regions),
        RegionCaptionRow(key="k", regions=captions),
        HardNegativeRow(key="k", regions=list(groups)),
    )
    return image_of("k", *rows, pixels=PillowImage.new("RGB", (120, 80), (90, 90, 90)))


def judged(
    shown: Image, ticks: Ticks, *, prompt: str = "v2", before: VerifyRow | None = None, **params: Any
) -> tuple[VerifyRow, list[Request]]:
    judge = Judge(ticks)
    context = StageContext("fingerprint", {"verify": PROMPTS[prompt]}, {"judge": judge})
    (row,) = asyncio.run(Verify(VerifyParams(prompt=prompt, **({"ask": "choose"} | params)), context).process([shown]))
    assert isinstance(row, VerifyRow)
    return row, judge.asked


CAR = "a red metal car"
COLOURS = [("colour", "red", new) for new in ("blue", "green", "white")]


def test_values_of_one_type_are_one_question_in_two_orders() -> None:
    row, asked = judged(image([(CAR, "car")], group(CAR, *COLOURS, ("object", "car", "bus"))), true_of("red", "metal", "car"))
    lists = [request.variables["values"] for request in asked if request.variables["values"]]
    assert sorted(map(sorted, lists)) == sorted([["blue", "green", "red", "white"]] * 2 + [["bus", "car"]] * 2)
    assert lists[0] == lists[1][::-1]
    # beside metal there is nothing to choose
    assert [request.variables["text"] for request in asked if not request.variables["values"]] == ["metal", "metal"]
    assert row.usage.attempts == len(asked) == 6
    assert {fact.value: fact.verdict for fact in row.facts if fact.type == "colour"} == {
        "blue": "false", "green": "false", "red": "true", "white": "false",
    }  # fmt: skip
    assert row.regions[0].positive_verdict == "true"
    assert {negative.verdict for negative in row.regions[0].negatives} == {"false"}


def test_a_colour_that_is_one_of_several_is_true() -> None:
    row, _ = judged(image([(CAR, "car")], group(CAR, *COLOURS)), true_of("red", "white", "metal", "car"))
    assert [negative.verdict for negative in row.regions[0].negatives] == ["false", "false", "true"]


@pytest.mark.parametrize(
    "ticks",
    [
        lambda _: ["cannot_tell"],  # nothing is ticked, so nothing is refuted
        lambda variables: variables["values"][:1],  # whatever stands first: ticked in one order only
        lambda _: ["red", "cannot_tell"],  # another may be right as well
    ],
)
def test_unticked_values_are_false_only_beside_one_that_is_ticked_in_both_orders(ticks: Callable[[Any], list[str]]) -> None:
    two = group(CAR, *COLOURS)
    row, _ = judged(image([(CAR, "car")], two), lambda request: ticks(request.variables) if request.variables["values"] else "yes")
    assert "false" not in {fact.verdict for fact in row.facts if fact.value in ("blue", "green", "white")}
    assert {negative.verdict for negative in row.regions[0].negatives} == {"unsure"}


def test_a_ticked_value_says_nothing_of_one_that_may_be_true_beside_it() -> None:
    phrase = "a dark blue car"
    ticks = lambda request: ["green"] if "green" in request.variables["values"] else ["car"]  # noqa: E731
    row, _ = judged(image([(phrase, "car")], group(phrase, *(("colour", "dark blue", new) for new in ("green", "teal")))), ticks)
    verdicts = {fact.value: fact.verdict for fact in row.facts if fact.type == "colour"}
    assert verdicts == {"dark blue": "false", "green": "true", "teal": "unsure"}


def test_a_value_that_cannot_be_told_leaves_the_other_edits() -> None:
    phrase = "a large red car"
    edits = (*COLOURS, ("size", "large", "small"))
    row, _ = judged(image([(phrase, "car")], group(phrase, *edits)), true_of("red", "car"))
    assert row.regions[0].positive_verdict == "true"
    assert [negative.verdict for negative in row.regions[0].negatives] == ["false", "false", "false", "unsure"]


def test_a_changed_phrase_is_asked_as_a_statement() -> None:
    phrase = "a red car with white wheels"
    row, asked = judged(image([(phrase, "car")], group(phrase, ("colour", "white", "black"))), true_of("red", "car"))
    texts = [request.variables["text"] for request in asked]
    assert [text for text in texts if text.startswith("a red")] == ["a red car with black wheels"] * 2
    assert row.regions[0].negatives[0].verdict == "false"


def test_another_thing_of_that_noun_is_asked_among_what_is_known_of_it() -> None:
    text = "There is a red car. There is a small car."
    caption = group(text, ("colour", "red", "green"), region=CAPTION)
    green = Attribute(type="colour", value="Green")
    row, _ = judged(
        image([("a red car", "car"), ("a small car", "car")], caption, attributes=[green], text=text), true_of("red", "green", "car")
    )
    assert {(fact.region, fact.value) for fact in row.facts if fact.type == "colour"} == {(0, "red"), (0, "green"), (1, "green")}
    row, _ = judged(
        image([("a red car", "car"), ("a small car", "car")], caption, attributes=[Attribute(type="colour", value="blue")], text=text),
        lambda request: [value for value in request.variables["values"] if value in ("red", "blue", "car")] or "yes",
    )
    assert {fact.value: fact.verdict for fact in row.facts if fact.region == 1 and fact.type == "colour"} == {
        "blue": "true",
        "green": "false",
    }
    assert row.regions[0].negatives[0].verdict == "false"


def test_a_retry_asks_only_what_had_no_answer() -> None:
    shown = image([(CAR, "car")], group(CAR, *COLOURS))
    first, _ = judged(shown, true_of("red", "metal", "car"))
    facts = [fact.model_copy(update={"answers": ["timeout", "timeout"]}) if fact.type == "colour" else fact for fact in first.facts]
    before = first.model_copy(update={"facts": facts})
    again, asked = judged(replace(shown, previous=before), true_of("red", "metal", "car"))
    assert len(asked) == 2
    assert again.facts == first.facts


def test_the_schema_admits_the_options_and_no_others() -> None:
    _, asked = judged(image([(CAR, "car")], group(CAR, *COLOURS)), true_of("red", "metal", "car"))
    first, second = (request.answer_schema for request in asked if request.variables["type"] == "colour")
    assert first == second  # one grammar for both orders
    assert first is not None
    assert first["properties"]["answer"]["items"] == {"enum": ["blue", "green", "red", "white", "cannot_tell"]}


def test_the_box_is_outlined_in_a_colour_that_the_crop_does_not_have_and_the_question_says_so() -> None:
    _, asked = judged(image([(CAR, "car")], group(CAR, *COLOURS)), true_of("red"), outline=True, crop_scale=2)
    request = asked[0]
    assert f"thin {request.variables['outline']} line" in request.user
    crop = np.asarray(request.images[0]).astype(int)
    changed = np.abs(crop - 90).sum(2) > 0
    assert crop.shape == (60, 60, 3)
    ys, xs = np.nonzero(changed)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (14, 45, 14, 45)  # just outside the box, which lies at 15 to 45
    assert not changed[16:44, 16:44].any()
    _, plain = judged(image([(CAR, "car")], group(CAR, *COLOURS)), true_of("red"), crop_scale=2)
    assert not (np.asarray(plain[0].images[0]).astype(int) != 90).any()
    assert "line" not in plain[0].user


def test_a_magenta_thing_is_outlined_in_another_colour() -> None:
    magenta = PillowImage.new("RGB", (60, 60), (250, 10, 240))
    assert outlined_crop(magenta, (10, 10, 50, 50), scale=1.2, min_side_px=10, upscale_side_px=None).colour == "cyan"
    grey = PillowImage.new("RGB", (60, 60), (90, 90, 90))
    assert outlined_crop(grey, (10, 10, 50, 50), scale=1.2, min_side_px=10, upscale_side_px=200).colour == "magenta"


def test_choose_needs_a_prompt_with_a_place_for_options(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    text = """
        workdir: work
        corpus: {path: corpus}
        engines:
          captioner: {kind: rehearsal}
          writer: {kind: rehearsal}
          judge: {kind: rehearsal}
          detector: {kind: rehearsal-detector}
        stages: {caption: {}, ground: {phrases: chunker}, select: {}, region_caption: {}, hard_negative: {}, verify: {ask: choose}}
    """
    config.write_text(text)
    with pytest.raises(ConfigError, match=r"stages\.verify\.ask: choose needs a prompt .* set stages\.verify\.prompt: v2"):
        build_graph(load_config(config))
