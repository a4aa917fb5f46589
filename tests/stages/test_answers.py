"""The answer ladder: what is asked again, what is given up, and what is remembered of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from prompts.loader import load_prompt
from stages.answers import Outcome, ask, question
from stages.engines.base import Answer, Request
from stages.words.domain import ANY_DOMAIN

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Scripted:
    """Gives each question its own list of answers, in turn."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.answers, self.asked = answers, list[Request]()

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        self.asked += requests
        return [self.answers[request.user].pop(0) for request in requests]

    async def close(self) -> None: ...


def _ask(generator: Scripted, attempts: int = 3) -> dict[str, Outcome[int]]:
    questions = [Request(name, answer_schema=SCHEMA, seed=7) for name in generator.answers]

    def parse(content: dict[str, Any]) -> int:
        return int(content["n"])

    outcomes = asyncio.run(ask(generator, questions, parse, attempts))
    return dict(zip([question.user for question in questions], outcomes, strict=True))


def _answer(text: str) -> Answer:
    return Answer(text, "stop", prompt_tokens=3, completion_tokens=2)


def test_only_what_failed_is_asked_again_with_another_seed_and_some_temperature() -> None:
    generator = Scripted(good=[_answer('{"n": 1}')], bad=[_answer("{"), _answer('{"n": 2}')])
    outcomes = _ask(generator)
    assert (outcomes["good"].value, outcomes["bad"].value) == (1, 2)
    assert [request.user for request in generator.asked] == ["good", "bad", "bad"]
    first, again = generator.asked[1:]
    assert first.seed != again.seed
    assert first.decoding.temperature == 0 < again.decoding.temperature
    assert outcomes["bad"].usage.rungs == ["invalid_output", "asked_again"]
    assert outcomes["bad"].usage.completion_tokens == 4


def test_after_the_last_attempt_the_reason_is_kept() -> None:
    cut = Answer("", "length", "truncated")
    outcome = _ask(Scripted(cut=[cut, cut]), attempts=2)["cut"]
    assert (outcome.value, outcome.error, outcome.usage.attempts) == (None, "truncated", 2)


def test_an_answer_outside_its_schema_is_invalid() -> None:
    outcome = _ask(Scripted(odd=[_answer('{"n": "one"}')]), attempts=1)["odd"]
    assert outcome.error == "invalid_output"
    assert "one" in (outcome.detail or "")


def test_a_bad_request_is_not_asked_again() -> None:
    generator = Scripted(bad=[Answer(error="context_window", detail="too long")])
    assert _ask(generator)["bad"].error == "context_window"
    assert len(generator.asked) == 1


@pytest.mark.parametrize("odd", [r"\ud83d", r"\u0000", r"\u0007", r"\udce9"])
def test_an_answer_that_no_text_may_hold_is_asked_again(odd: str) -> None:
    generator = Scripted(odd=[_answer(f'{{"n": 1, "why": "{odd}"}}'), _answer('{"n": 2, "why": "a line\\nand a tab\\t"}')])
    outcome = _ask(generator)["odd"]
    assert (outcome.value, outcome.usage.rungs) == (2, ["invalid_output", "asked_again"])
    last = _ask(Scripted(odd=[_answer(f'{{"n": 1, "{odd}": "x"}}')]), attempts=1)["odd"]
    assert last.error == "invalid_output"
    assert "which no text may hold" in (last.detail or "")
    (last.detail or "").encode("utf-8")


def test_a_plain_answer_is_judged_as_an_object_and_asked_again_where_it_does_not_keep_its_form() -> None:
    asked = question(load_prompt("caption", "v3"), {"alt": None, "domain": ANY_DOMAIN}, seed=7)
    bad = [_answer('{"long": "A red mug.", "short": "A mug."}'), _answer("A red mug.\n---\n\x07")]
    generator = Scripted(**{asked.user: [*bad, _answer("A red mug.\n---\nA mug.")]})
    (outcome,) = asyncio.run(ask(generator, [asked], lambda content: content, 3))
    assert (outcome.value, outcome.usage.rungs) == ({"long": "A red mug.", "short": "A mug."}, ["invalid_output"] * 2 + ["asked_again"])
    cut = Answer("A red mug.\n---\nA", "length", "truncated")
    (outcome,) = asyncio.run(ask(Scripted(**{asked.user: [cut, bad[0]]}), [asked], lambda content: content, 2))
    assert (outcome.value, outcome.usage.rungs, outcome.error) == (None, ["truncated", "invalid_output"], "invalid_output")
    assert "1 texts between lines of ---, not 2: long, short in '{" in (outcome.detail or "")


def test_a_plain_answer_keeps_its_prompts_schema() -> None:
    prompt = load_prompt("caption", "v3")
    fields = {**prompt.answer_schema["properties"], "short": {"type": "string", "maxLength": 5}}
    asked = question(prompt, {"alt": None, "domain": ANY_DOMAIN}, seed=7, answer_schema={**prompt.answer_schema, "properties": fields})
    answers = [_answer("A red mug.\n---\nA red mug."), _answer("A red mug.\n---\nA mug")]
    (outcome,) = asyncio.run(ask(Scripted(**{asked.user: answers}), [asked], lambda content: content, 2))
    assert (outcome.value, outcome.usage.rungs) == ({"long": "A red mug.", "short": "A mug"}, ["invalid_output", "asked_again"])
