"""The demo's prompts on the rehearsal engine: answers as they were when the toys' words still stood in the engine."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from stages.answers import question
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec

# Recorded with the commit before prompts had examples. Who changes an example of the demo records anew.
RECORDED = [json.loads(line) for line in (Path(__file__).parent / "rehearsal_answers.jsonl").read_text().splitlines()]
TASKS = ("caption", "region_caption", "hard_negative", "verify")


def _answered(one: dict[str, Any]) -> str:
    prompt = load_prompt(one["task"], "demo", DEMO_PROMPTS)
    request = question(prompt, one["told"], seed=one["seed"], image_ids=tuple(one["image_ids"]))
    request = dataclasses.replace(request, decoding=dataclasses.replace(request.decoding, temperature=one["temperature"]))
    engine = RehearsalGenerator(RehearsalSpec(kind="rehearsal", seed=one["engine_seed"]))
    (answer,) = asyncio.run(engine.generate([request]))
    return answer.text


@pytest.mark.parametrize("task", TASKS)
def test_a_rehearsal_of_the_demo_answers_as_before(task: str) -> None:
    recorded = [one for one in RECORDED if one["task"] == task]
    assert len(recorded) >= 6
    for one in recorded:
        assert _answered(one) == one["text"], one
