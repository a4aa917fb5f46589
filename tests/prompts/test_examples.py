"""The examples of the package's prompts: a rehearsal with any of them gives answers that the stages can use."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.api import open_job
from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.rows import Attribute, CaptionRow, GroundRow, HardNegativeRow, RegionCaptionRow, Row, SelectRow, VerifyRow
from stages.answers import question
from stages.engines.base import Answer, Request
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec
from stages.negatives.edits import known_of
from stages.negatives.edits_schema import is_quoted, quoted_schema, slots_of
from stages.negatives.judging.questions import JudgeQuestion, filled_schema, has_options
from stages.negatives.verdicts import Claim
from stages.words.domain import ANY_DOMAIN
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import job_content, write_tar

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((path.parent.name, path.stem) for folder in (ROOT / "prompts", DEMO_PROMPTS) for path in folder.glob("*/*.yaml"))
PHRASE, NOUN = "a small red wooden chair", "chair"
TOLD: dict[str, dict[str, Any]] = {
    "caption": {"alt": None},
    "phrases": {"caption": f"There is {PHRASE} beside the table."},
    "region_caption": {"noun": NOUN, "phrase": PHRASE, "others": [], "padded": False},
    "hard_negative": {"phrase": PHRASE, "noun": NOUN, "attributes": [Attribute(type="colour", value="red")], "slots": []},
    "verify": {
        "noun": NOUN,
        "type": "colour",
        "value": "red",
        "text": "red",
        "options": "yes, no or cannot_tell",
        "values": [],
        "outline": "",
    },
}


def asked(task: str, version: str) -> Request:
    prompt = load_prompt(task, version, after=DEMO_PROMPTS)
    schema = prompt.answer_schema
    if is_quoted(schema):
        schema = quoted_schema(schema, slots_of(PHRASE, NOUN), known_of([PHRASE]), "drawn", random.Random(0)) or {}
    if has_options(schema):
        schema = filled_schema(schema, JudgeQuestion((Claim(0, "colour", "red"),)))
    return question(prompt, {**TOLD[task], "domain": ANY_DOMAIN}, seed=0, image_ids=("k/0",), answer_schema=schema)


@pytest.mark.parametrize(("task", "version"), SHIPPED)
def test_a_rehearsal_answers_every_prompt_within_its_schema_and_its_length(task: str, version: str) -> None:
    request = asked(task, version)
    answers: list[Answer] = []
    for seed in range(20):
        answers += asyncio.run(RehearsalGenerator(RehearsalSpec(kind="rehearsal", seed=seed)).generate([request]))
    assert {answer.error for answer in answers} == {None}
    for answer in answers:
        plain = request.plain
        content = json.loads(answer.text) if plain is None else plain.parts.read(answer.text)
        jsonschema.validate(content, dict((plain.schema if plain else request.answer_schema) or {}))


@pytest.mark.parametrize("version", ["demo", "v1", "v2"])
def test_the_judge_of_an_example_sees_what_its_captioner_says(version: str) -> None:
    says, judges = (load_prompt(task, version, after=DEMO_PROMPTS).example for task in ("region_caption", "verify"))
    assert says is not None
    assert judges is not None
    assert says.shown.items() <= judges.shown.items()


def rows(config: Path, stage: str) -> list[Row]:
    job = open_job(config)
    state = job.state()
    return [row for _, table in state.current_tables(stage) if table for row in job.ledger.read(table, state.nodes[stage].row_type)]


def verdicts_of(row: VerifyRow, without_doubted: bool = False) -> list[str]:
    """Of the regions' negatives; without those that are lost since the judge doubts the noun, or the value that they replace."""
    doubted = {(fact.region, fact.type) for fact in row.facts if fact.is_positive and fact.verdict != "true"} if without_doubted else set()
    return [
        negative.verdict
        for group in row.regions
        if group.region >= 0
        for negative in group.negatives
        if doubted.isdisjoint({(group.region, "object"), *((group.region, edit.type) for edit in negative.edits)})
    ]


def test_plain_captions_are_rows_where_some_first_answers_do_not_keep_the_form(tmp_path: Path) -> None:
    write_tar(tmp_path / "corpus" / "a.tar", [f"a{i}" for i in range(20)])
    content = job_content("corpus")
    content["engines"]["captioner"] |= {"bad_json_rate": 0.2}
    content["stages"] = {"caption": {"prompt": "v3", "min_words_long": 40, "attempts": 6}}
    config = tmp_path / "job.yaml"
    config.write_text(yaml.safe_dump(content))
    carry_all(config)
    captions = [row for row in rows(config, "caption") if isinstance(row, CaptionRow)]
    assert [row.status for row in captions] == ["ok"] * 20
    assert not any("---" in f"{row.long}{row.short}" or len(row.short or "") > len(row.long or "") / 2 for row in captions)
    assert {rung for row in captions for rung in row.usage.rungs} == {"parsed", "invalid_output", "asked_again"}


@pytest.mark.parametrize(("phrases", "version"), [("chunker", "v1"), ("llm", "v1"), ("llm", "v2")])
def test_a_rehearsal_of_the_prompts_for_real_models_fills_every_stage(phrases: str, version: str, tmp_path: Path) -> None:
    write_tar(tmp_path / "corpus" / "a.tar", ["a0", "a1"])
    content = job_content("corpus")
    content["engines"] |= {"judge": {"kind": "rehearsal"}, "reader": {"kind": "rehearsal"}}
    content["stages"] = {
        "caption": {"prompt": version, "min_words_long": 60},
        "ground": {"phrases": phrases, "prompt": version},
        "select": {},
        "region_caption": {"prompt": version, "max_regions": 4},
        "hard_negative": {"prompt": version, "max_composed": 0},
        "verify": {"prompt": version, **({"ask": "choose", "outline": True} if version == "v2" else {})},
    }
    config = tmp_path / "job.yaml"
    config.write_text(yaml.safe_dump(content))
    carry_all(config)
    assert {row.status for stage in content["stages"] for row in rows(config, stage)} == {"ok"}
    grounded, selected, captioned, edited, judged = (rows(config, stage) for stage in list(content["stages"])[1:])
    assert all(isinstance(row, GroundRow) and len(row.phrases) >= (8 if version == "v1" else 5) for row in grounded)
    assert version == "v2" or not any(row.rejects for row in grounded)  # a rehearsed caption names things twice, which v2 refuses
    assert all(isinstance(row, SelectRow) and len(row.regions) >= 4 for row in selected)
    for row in captioned:
        assert isinstance(row, RegionCaptionRow)
        assert [region.reason for region in row.regions[:4]] == [None] * 4
    for row in edited:
        assert isinstance(row, HardNegativeRow)
        kinds = {negative.type for group in row.regions if group.region >= 0 for negative in group.negatives}
        assert {"colour", "material", "pattern", "object"} <= kinds
    for row in judged:
        assert isinstance(row, VerifyRow)
        all_verdicts, verdicts = verdicts_of(row), verdicts_of(row, without_doubted=True)
        assert "true" not in all_verdicts
        assert len(verdicts) > 0.4 * len(all_verdicts)
        assert verdicts.count("false") > 0.8 * len(verdicts)  # 8 answers in 100 are doubts
        assert sum(group.positive_verdict == "true" for group in row.regions if group.region >= 0) >= 2
