"""What every generator promises, asked of each of them."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import jsonschema
import pytest
from PIL import Image

from prompts.loader import Prompt, PromptDecoding
from prompts.parts import Parts
from stages.answers import question
from stages.engines.base import Decoding, Generator, Request
from stages.negatives.edits import known_of
from stages.negatives.edits_schema import NewValues, quoted_schema, slots_of

Run = Callable[[Coroutine[Any, Any, Any]], Any]
RED = Image.new("RGB", (90, 60), (200, 30, 20))
BLUE = Image.linear_gradient("L").convert("RGB").resize((64, 64))
TOYS = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue", "green"]},
        "sizes": {"type": "array", "items": {"enum": ["small", "large"]}, "minItems": 2, "maxItems": 3},
    },
    "required": ["colour", "sizes"],
    "additionalProperties": False,
}
VERDICT = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}, "required": ["answer"], "additionalProperties": False}
NAME = {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 8}}, "required": ["name"]}
EDITS = {
    "type": "object",
    "properties": {
        "edits": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"x-quoted-edit": ["colour", "material", "pattern", "size"]}}
    },
    "required": ["edits"],
    "additionalProperties": False,
}
ROOM = Decoding(max_tokens=96)
ROOM_FOR_EDITS = Decoding(max_tokens=300)
DRAWN = Decoding(max_tokens=12, temperature=1.0)
WITH_GRAMMAR = ["transformers", pytest.param("vllm", marks=pytest.mark.vllm), pytest.param("openai", marks=pytest.mark.vllm)]


def test_answers_come_one_each_in_the_order_of_the_requests(generator: Generator, run: Run) -> None:
    schemas = [TOYS, VERDICT, TOYS, VERDICT, VERDICT, TOYS]
    requests = [Request("Which? " * (6 - i), answer_schema=schema, decoding=ROOM) for i, schema in enumerate(schemas)]
    answers = run(generator.generate(requests))
    assert len(answers) == len(requests)
    for answer, schema in zip(answers, schemas, strict=True):
        assert answer.error is None
        assert answer.finish_reason == "stop"
        jsonschema.validate(json.loads(answer.text), schema)


def test_an_answer_keeps_its_schema_without_free_white_space(generator: Generator, run: Run) -> None:
    (answer,) = run(generator.generate([Request("What is it?", system="Be brief.", images=(RED,), answer_schema=TOYS, decoding=ROOM)]))
    parsed = json.loads(answer.text)
    jsonschema.validate(parsed, TOYS)
    assert answer.text in (json.dumps(parsed), json.dumps(parsed, separators=(",", ":")))


@pytest.mark.parametrize(("parts", "is_json"), [(None, True), (Parts(names=("name",), separator="---"), False)])
def test_a_question_for_plain_text_is_held_to_no_grammar(generator: Generator, run: Run, parts: Parts | None, is_json: bool) -> None:
    prompt = Prompt(
        task="t", version="x", user="Name it.", answer_schema=NAME, parts=parts, decoding=PromptDecoding(max_tokens=12, temperature=1.0)
    )
    answers = run(generator.generate([question(prompt, {}, seed=seed, images=(RED,)) for seed in range(3)]))
    assert {answer.text.startswith('{"name":') for answer in answers} == {is_json}


@pytest.mark.parametrize("values", ["listed", "drawn"])
def test_each_request_of_a_call_keeps_a_schema_of_its_own(generator: Generator, run: Run, values: NewValues) -> None:
    """Edits quote their own phrase whatever the weights say: no answer of one phrase fits another's schema."""
    phrases = (("a red striped car", "car"), ("a small wooden box", "box"), ("a black leather shoe", "shoe"))
    schemas = [quoted_schema(EDITS, slots_of(phrase, noun), known_of([phrase]), values) for phrase, noun in phrases]
    requests = [
        Request(phrase, answer_schema=schema, decoding=ROOM_FOR_EDITS) for (phrase, _), schema in zip(phrases, schemas, strict=True)
    ]
    answers = run(generator.generate(requests))
    for number, answer in enumerate(answers):
        assert answer.error is None
        parsed = json.loads(answer.text)
        assert [jsonschema.Draft202012Validator(schema).is_valid(parsed) for schema in schemas] == [i == number for i in range(3)]


def test_bounded_strings_parse_and_keep_their_bound(generator: Generator, run: Run) -> None:
    decoding = Decoding(max_tokens=96, temperature=1.0)
    answers = run(generator.generate([Request("Name it.", answer_schema=NAME, decoding=decoding, seed=seed) for seed in range(6)]))
    for answer in answers:
        assert answer.error is None
        jsonschema.validate(json.loads(answer.text, strict=False), NAME)


def test_a_finish_by_length_is_an_error(generator: Generator, run: Run) -> None:
    short, whole = Request("Tell.", decoding=Decoding(max_tokens=2)), Request("Tell.", answer_schema=VERDICT, decoding=ROOM)
    truncated, answered = run(generator.generate([short, whole]))
    assert (truncated.error, truncated.finish_reason, truncated.completion_tokens) == ("truncated", "length", 2)
    assert answered.error is None


def test_a_prompt_that_is_too_long_is_an_error_of_its_own_request(generator: Generator, run: Run) -> None:
    fine = Request("Is it?", images=(RED,), answer_schema=VERDICT, decoding=ROOM)
    too_long = Request("word " * 40_000, images=(RED,), answer_schema=VERDICT, decoding=ROOM)
    first, middle, last = run(generator.generate([fine, too_long, fine]))
    assert middle.error == "context_window"
    assert middle.detail
    assert first.error is None
    assert first.text == last.text


def test_the_image_reaches_the_model(generator: Generator, run: Run) -> None:
    decoding = Decoding(max_tokens=24)
    ask = [Request("Describe it.", images=images, decoding=decoding) for images in ((), (RED,), (BLUE,), (RED, BLUE))]
    none, red, blue, both = run(generator.generate(ask))
    assert none.prompt_tokens < red.prompt_tokens < both.prompt_tokens
    assert red.text != blue.text


def test_a_system_text_leaves_the_image_in_place(generator: Generator, run: Run) -> None:
    bare, image = Request("Describe it.", system="Be brief."), Request("Describe it.", system="Be brief.", images=(RED,))
    without, with_image = run(generator.generate([bare, image]))
    assert with_image.prompt_tokens >= without.prompt_tokens + 16


def test_a_greedy_answer_is_the_same_again(generator: Generator, run: Run) -> None:
    requests = [Request(f"Question {i}?", images=(RED,), answer_schema=TOYS, decoding=ROOM) for i in range(5)]
    assert run(generator.generate(requests)) == run(generator.generate(requests))


def test_each_request_draws_with_its_own_seed(generator: Generator, run: Run) -> None:
    ask = [Request("Describe it.", images=(RED,), decoding=DRAWN, seed=seed) for seed in (1, 2, 1)]
    first, other, again = run(generator.generate(ask))
    assert first.text == again.text
    assert first.text != other.text


def test_many_long_seeded_questions_at_once_are_all_answered(generator: Generator, run: Run) -> None:
    """More prompt tokens than an engine takes in one step."""
    ask = [Request(f"Number {seed}? " + "Tell. " * 60, answer_schema=VERDICT, decoding=Decoding(96, 1.0), seed=seed) for seed in range(40)]
    assert {answer.error for answer in run(generator.generate(ask))} == {None}


def test_tokens_are_counted(generator: Generator, run: Run) -> None:
    (answer,) = run(generator.generate([Request("Is it?", answer_schema=VERDICT, decoding=ROOM)]))
    assert answer.prompt_tokens > 0
    assert 0 < answer.completion_tokens <= ROOM.max_tokens


@pytest.mark.parametrize("generator", WITH_GRAMMAR, indirect=True)
def test_a_schema_without_a_grammar_is_a_bad_request(generator: Generator, run: Run) -> None:
    bad = Request("Is it?", answer_schema={"type": "string", "minLength": 5, "maxLength": 2}, decoding=ROOM)
    fine = Request("Is it?", answer_schema=VERDICT, decoding=ROOM)
    refused, answered = run(generator.generate([bad, fine]))
    assert refused.error == "bad_request"
    assert answered.error is None
