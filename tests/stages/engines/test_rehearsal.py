"""The rehearsal engines' faults: they must come as announced, and go away when a question is asked again."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.boxes import area, clip_box
from stages.answers import question
from stages.engines.base import Answer, DetectRequest, Request
from stages.engines.rehearsal import RehearsalDetector, RehearsalDetectorSpec, RehearsalGenerator, RehearsalSpec
from stages.negatives.edits import known_of
from stages.negatives.edits_schema import quoted_schema, slots_of
from stages.words.domain import ANY_DOMAIN

CAPTIONS = load_prompt("caption", "v1").answer_schema


def answers(requests: list[Request], **spec: object) -> list[Answer]:
    return asyncio.run(RehearsalGenerator(RehearsalSpec.model_validate({"kind": "rehearsal", **spec})).generate(requests))


def is_broken(answer: Answer) -> bool:
    try:
        json.loads(answer.text)
    except json.JSONDecodeError:
        return True
    return answer.error is not None


@pytest.mark.parametrize("fault", ["bad_json_rate", "truncation_rate"])
def test_a_share_of_first_answers_is_broken_and_asking_again_mends_most(fault: str) -> None:
    requests = [Request("Describe the image.", image_ids=(str(i),), answer_schema=CAPTIONS, seed=i) for i in range(1000)]
    broken = [request for request, answer in zip(requests, answers(requests, **{fault: 0.2}), strict=True) if is_broken(answer)]
    assert 150 < len(broken) < 250
    again = [Request(r.user, image_ids=r.image_ids, answer_schema=CAPTIONS, seed=r.seed + 10_000) for r in broken]
    assert sum(is_broken(answer) for answer in answers(again, **{fault: 0.2})) < 0.35 * len(broken)


def test_an_error_stays_whatever_the_seed() -> None:
    requests = [Request("Describe.", image_ids=(str(i),), seed=seed) for i in range(200) for seed in (1, 2)]
    kinds = [answer.error for answer in answers(requests, error_rate=0.2)]
    assert kinds[::2] == kinds[1::2]
    assert 20 < kinds[::2].count("bad_request") < 60


def test_another_seed_of_the_spec_gives_other_answers() -> None:
    request = Request("Describe the image.", image_ids=("a",), answer_schema=CAPTIONS)
    assert answers([request], seed=1) != answers([request], seed=2)


@pytest.mark.parametrize("version", ["demo", "v1"])
def test_edits_quote_the_phrase_of_the_question(version: str) -> None:
    prompt = load_prompt("hard_negative", version, after=DEMO_PROMPTS)
    phrase = "a red striped metal mug"
    slots = slots_of(phrase, "mug")
    variables = {"phrase": phrase, "noun": "mug", "attributes": [], "slots": slots, "domain": ANY_DOMAIN}
    schema = quoted_schema(prompt.answer_schema, slots, known_of([phrase]), "open")
    assert schema is not None
    (answer,) = answers([question(prompt, variables, seed=0, answer_schema=schema)])
    edits = json.loads(answer.text)
    jsonschema.validate(edits, schema)
    assert {edit["type"] for edit in edits["edits"]} == {"colour", "pattern", "material", "object"}
    for edit in edits["edits"]:
        assert edit["old"] in phrase.split()
        assert edit.get("text", "") in ("", phrase.replace(edit["old"], edit["new"], 1))


def test_a_crash_ends_the_process_once(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from stages.engines.base import Request\n"
        "from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec\n"
        "engine = RehearsalGenerator(RehearsalSpec(kind='rehearsal', crash_on='bad', crash_once_dir=sys.argv[1]))\n"
        "print(asyncio.run(engine.generate([Request('?', image_ids=('bad-7',))]))[0].error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "memory")]
    root = Path(__file__).parents[3]
    first, second = (subprocess.run(command, cwd=root, capture_output=True, text=True, check=False) for _ in range(2))
    assert (first.returncode, first.stdout) == (1, "")
    assert (second.returncode, second.stdout.strip()) == (0, "None")


def test_every_phrase_gets_one_box_inside_its_image() -> None:
    image = Image.new("RGB", (200, 100), (9, 9, 9))
    detector = RehearsalDetector(RehearsalDetectorSpec(kind="rehearsal-detector"))
    requests = [DetectRequest(image, ("a car", "a mug")), DetectRequest(image, ())]
    boxes = asyncio.run(detector.detect(requests, floor=0.1))
    assert [box.phrase for box in boxes[0]] == [0, 1]
    assert boxes[1] == []
    for box in boxes[0]:
        assert clip_box(box.xyxy, 200, 100) == box.xyxy
        assert area(box.xyxy) > 0
        assert 0.5 <= box.score <= box.score_max <= 0.99
    assert boxes == asyncio.run(detector.detect(requests, floor=0.1))
    assert asyncio.run(detector.detect(requests, floor=0.96)) == [[], []]


def test_an_engine_of_another_version_is_another_engine() -> None:
    class Second(RehearsalSpec):
        version = 2

    assert Second(kind="rehearsal").hashed() != RehearsalSpec(kind="rehearsal").hashed()
