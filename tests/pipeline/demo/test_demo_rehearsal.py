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


def _answered(recorded: dict[str, Any]) -> str:
    prompt = load_prompt(recorded["task"], "demo", DEMO_PROMPTS)
    request = question(prompt, recorded["variables"], seed=recorded["seed"], image_ids=tuple(recorded["image_ids"]))
    request = dataclasses.replace(request, decoding=dataclasses.replace(request.decoding, temperature=recorded["temperature"]))
    engine = RehearsalGenerator(RehearsalSpec(kind="rehearsal", seed=recorded["engine_seed"]))
    (answer,) = asyncio.run(engine.generate([request]))
    return answer.text


@pytest.mark.parametrize("task", TASKS)
def test_a_rehearsal_of_the_demo_answers_as_before(task: str) -> None:
    recorded = [answer for answer in RECORDED if answer["task"] == task]
    assert len(recorded) >= 6
    for answer in recorded:
        assert _answered(answer) == answer["text"], answer
