"""What the judge is asked, how its answers become verdicts, and that no candidate is lost on the way."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image as PillowImage

from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.rows import (
    CAPTION,
    Attribute,
    CorpusRow,
    Edit,
    HardNegativeRow,
    MineRow,
    Negative,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    Row,
    SelectRow,
    VerifyRow,
)
from stages.base import Image, StageContext
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec
from stages.negatives.edits import replay
from stages.negatives.verdicts import (
    Charge,
    Claim,
    Target,
    charges_of,
    positive_claims,
    verdict_of_answers,
    verdict_of_negative,
    verdict_of_positive,
)
from stages.verify import Verify, VerifyParams
from tests.support.images import image_of

PROMPTS = {version: load_prompt("verify", version, after=DEMO_PROMPTS) for version in ("demo", "choose", "v1", "v2")}
PHRASE = "a red striped rubber car"
LONG = "Two toys stand on a lawn. There is a red striped rubber car. There is a blue plain metal car."


def edit(positive: str, kind: str, old: str, new: str) -> Edit:
    start = positive.index(old)
    return Edit(type=kind, start=start, end=start + len(old), old=old, new=new)  # type: ignore[arg-type]


def negative(positive: str, *changes: tuple[str, str, str], **fields: Any) -> Negative:
    edits = [edit(positive, *change) for change in changes]
    return Negative(text=replay(positive, edits), edits=edits, type=edits[0].type, level=len(edits), **fields)


def region(phrase: str, left: float) -> Region:
    start = LONG.index(phrase)
    return Region(xyxy=(left, 8, left + 20, 24), score=0.9, phrase=phrase, start=start, end=start + len(phrase), head="car")


def image(groups: list[RegionNegatives], *, mined: list[RegionNegatives] | None = None, problem: Row | None = None) -> Image:
    regions = [region(PHRASE, 4), region("a blue plain metal car", 36)]
    captions = [
        RegionCaption(region=i, xyxy=region.xyxy, head="car", short=region.phrase, long=region.phrase) for i, region in enumerate(regions)
    ]
    upstream: dict[type[Row], Row] = {
        SelectRow: SelectRow(key="k", regions=regions),
        RegionCaptionRow: RegionCaptionRow(key="k", regions=captions),
        HardNegativeRow: HardNegativeRow(key="k", regions=groups),
    }
    if mined is not None:
        upstream[MineRow] = MineRow(key="k", regions=mined)
    return replace(image_of("k", *upstream.values(), pixels=PillowImage.new("RGB", (64, 32))), problem=problem)


def verify(shown: Image, *, prompt: str = "demo", **spec: Any) -> VerifyRow:
    judge = RehearsalGenerator(RehearsalSpec(kind="rehearsal", **spec))
    context = StageContext("fingerprint", {"verify": PROMPTS[prompt]}, {"judge": judge})
    (row,) = asyncio.run(Verify(VerifyParams(prompt=prompt), context).process([shown]))
    assert isinstance(row, VerifyRow)
    return row


COLOURS = ("yellow", "green", "blue", "purple", "white", "black")


def written(index: int = 0, positive: str = PHRASE, old: str = "red") -> RegionNegatives:
    negatives = [negative(positive, ("colour", old, colour)) for colour in COLOURS if colour != old]
    return RegionNegatives(region=index, positive=positive, negatives=negatives, num_proposed=len(negatives) + 2, rejects={"unchanged": 2})


@pytest.mark.parametrize("prompt", ["demo", "choose", "v1", "v2"])
def test_each_value_is_asked_twice_whoever_claims_it_and_no_candidate_is_dropped(prompt: str) -> None:
    again = written().model_copy(update={"group": "g"})
    row = verify(image([written(), written(1, "a blue plain metal car", "blue")], mined=[again]), prompt=prompt)
    asked = Counter((fact.region, fact.type, fact.value) for fact in row.facts)
    assert set(asked.values()) == {1}
    assert row.usage.attempts == 2 * len(row.facts)
    assert [len(group.negatives) for group in row.regions] == [6, 5, 6]
    assert all(group.num_proposed == len(group.negatives) + sum(group.rejects.values()) for group in row.regions)
    assert row.regions[2].group == "g"
    assert [negative.verdict for negative in row.regions[0].negatives] == [negative.verdict for negative in row.regions[2].negatives]


def test_a_verdict_is_what_both_orders_agree_on() -> None:
    rows = [verify(image([written()]), seed=seed) for seed in range(30)]
    facts = [fact for row in rows for fact in row.facts]
    assert {fact.verdict for fact in facts} == {"false", "true", "unsure"}
    for fact in facts:
        assert len(fact.answers) == 2
        assert fact.verdict == {("yes", "yes"): "true", ("no", "no"): "false"}.get(tuple(fact.answers), "unsure")
    for row in rows:
        by_value = {fact.value: fact.verdict for fact in row.facts}
        can_be_told = by_value["red"] != "unsure" != by_value["car"]
        for negative in row.regions[0].negatives:
            verdict = by_value[negative.edits[0].new]
            assert negative.verdict == (verdict if can_be_told or verdict == "true" else "unsure")


def test_a_value_that_cannot_be_told_costs_its_own_edits_and_a_noun_costs_the_region() -> None:
    rows = [verify(image([written()]), seed=seed) for seed in range(150)]
    seen = set()
    for row in rows:
        own = {fact.value: fact.verdict for fact in row.facts if fact.is_positive}
        assert set(own) == {"red", "striped", "rubber", "car"}
        of_values = [own[value] for value in ("red", "striped", "rubber")]
        lost = "false" if "false" in own.values() else "unsure" if own["car"] == "unsure" else None
        assert row.regions[0].positive_verdict == (lost or "true")
        seen.add((lost, "unsure" in of_values))
        if own["red"] == "unsure":
            assert "false" not in {negative.verdict for negative in row.regions[0].negatives}
    assert seen >= {(None, False), (None, True), ("false", False), ("unsure", False)}


def test_what_the_boxes_refute_costs_no_question() -> None:
    moved = negative(LONG, ("count", "Two", "Three"), source="geometry", verdict="false")
    row = verify(image([RegionNegatives(region=CAPTION, positive=LONG, negatives=[moved], num_proposed=1)]))
    assert row.regions[0].negatives[0].verdict == "false"
    assert row.regions[0].positive_verdict == "true"  # the boxes confirmed the word that is edited
    assert row.facts == []


def test_a_captions_positive_is_asked_about_the_phrases_that_are_edited() -> None:
    both = negative(LONG, ("count", "Two", "Three"), ("colour", "blue", "green"), source="geometry", verdict="false")
    row = verify(image([RegionNegatives(region=CAPTION, positive=LONG, negatives=[both], num_proposed=1)]))
    assert {(fact.region, fact.value) for fact in row.facts} == {(1, "blue"), (1, "plain"), (1, "metal"), (1, "car")}
    assert (row.regions[0].positive_verdict == "false") == any(fact.verdict == "false" for fact in row.facts)


def test_a_texts_value_is_asked_of_every_region_of_that_noun() -> None:
    repainted = negative(LONG, ("colour", "red", "green"))
    row = verify(image([RegionNegatives(region=CAPTION, positive=LONG, negatives=[repainted], num_proposed=1)]))
    asked = [fact for fact in row.facts if fact.value == "green"]
    assert [fact.region for fact in asked] == [0, 1]
    assert (row.regions[0].negatives[0].verdict == "false") == all(fact.verdict == "false" for fact in asked)


def test_what_the_prompt_has_no_question_for_stays_unverified() -> None:
    smaller = negative("a large red car", ("size", "large", "small"))
    row = verify(image([RegionNegatives(region=0, positive="a large red car", negatives=[smaller], num_proposed=1)]))
    assert row.regions[0].negatives[0].verdict == "unverified"
    assert {fact.type for fact in row.facts} == {"colour", "object"}
    asked = verify(image([RegionNegatives(region=0, positive="a large red car", negatives=[smaller], num_proposed=1)]), prompt="v1")
    assert asked.regions[0].negatives[0].verdict != "unverified"


def test_without_pixels_nothing_is_asked_and_nothing_is_lost() -> None:
    moved = negative(LONG, ("count", "Two", "Three"), source="geometry", verdict="false")
    groups = [written(), RegionNegatives(region=CAPTION, positive=LONG, negatives=[moved], num_proposed=1)]
    gone = CorpusRow(key="k", status="skipped", reason="no_image", path="", offset=-1, size=0)
    row = verify(image(groups, problem=gone))
    assert (row.status, row.facts, row.usage.attempts) == ("ok", [], 0)
    assert {negative.verdict for negative in row.regions[0].negatives} == {"unverified"}
    assert row.regions[1].negatives == [moved]
    broken = CorpusRow(key="k", status="failed", reason="unreadable", path="", offset=-1, size=0)
    assert verify(image(groups, problem=broken)).status == "failed"


def test_a_judge_that_answers_nothing_fails_the_image_and_one_without_questions_does_not() -> None:
    failed = verify(image([written()]), error_rate=1.0)
    assert (failed.status, failed.reason) == ("failed", "bad_request")
    assert verify(image([])).status == "ok"


def test_the_color_of_a_part_is_asked_as_a_text() -> None:
    positive = "a black dog with a white collar"
    target = [Target(0, "dog", 0, len(positive))]
    (part,) = charges_of(negative(positive, ("colour", "white", "blue")), positive, target, {}) or ()
    assert part.own == Claim(0, "colour", "a black dog with a blue collar", is_text=True)
    (own,) = charges_of(negative(positive, ("colour", "black", "blue")), positive, target, {}) or ()
    assert own.own == Claim(0, "colour", "blue")
    claims = positive_claims(positive, target[0], [Attribute(type="colour", value="black")])
    assert claims == [Claim(0, "colour", "black"), Claim(0, "object", "dog")]


def test_a_swap_is_one_claim_about_the_changed_phrase() -> None:
    phrase = "a black dog with a white collar"
    text = f"On a lawn stands {phrase}."
    swapped = negative(text, ("swap", "black", "white"), ("swap", "white", "black"))
    start = text.index(phrase)
    (charge,) = charges_of(swapped, text, [Target(3, "dog", start, start + len(phrase))], {}) or ()
    assert charge.own == Claim(3, "swap", "a white dog with a black collar", is_text=True)


def test_one_false_slot_refutes_a_text_and_a_true_one_does_not() -> None:
    red, small = Charge(Claim(0, "colour", "red")), Charge(Claim(0, "size", "small"), (Claim(1, "size", "small"),))
    assert verdict_of_negative([red, small], {red.own: "false", small.own: "true"}) == "false"
    assert verdict_of_negative([red], {red.own: "true"}) == "true"
    assert verdict_of_negative([red, small], {red.own: "true", small.own: "unsure"}) == "unverified"  # the other region was not asked
    assert verdict_of_negative([small], {small.own: "false", small.others[0]: "true"}) == "true"
    assert verdict_of_negative([small], {small.own: "false", small.others[0]: "unsure"}) == "unsure"
    assert verdict_of_negative([small], {small.own: "false", small.others[0]: "false"}) == "false"
    assert verdict_of_positive([red.own, small.own], {red.own: "true"}) == "true"
    assert verdict_of_positive([red.own], {}) == "unverified"


def test_disagreement_and_an_unknown_word_are_unsure() -> None:
    assert [verdict_of_answers(pair) for pair in (["yes", "no"], ["cannot_tell", "cannot_tell"], ["no", "truncated"])] == ["unsure"] * 3
