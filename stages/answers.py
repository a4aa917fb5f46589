"""The answer ladder: ask, parse, validate, ask again, give up with a reason. The one place where questions are repeated."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import jsonschema
from PIL import Image

from prompts.loader import Prompt
from schemas.rows import PASSING, Usage
from schemas.text import unfit_in
from stages.engines.base import Answer, Decoding, FinishReason, Generator, Plain, Request, Sender
from stages.engines.pixels import Picture

T = TypeVar("T")

# A bad answer is asked for again with another seed; where there was no answer, the same question is asked again.
_BAD_ANSWERS = frozenset({"invalid_output", "truncated"})
# A greedy question asked again would get the same answer: it is drawn at this temperature from the second time on.
_SECOND_TEMPERATURE = 0.5


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The value, or the error's name and the engine's words; what it cost either way."""

    value: T | None
    error: str | None
    detail: str | None
    finish_reason: FinishReason | None
    usage: Usage


def question(
    prompt: Prompt,
    variables: Mapping[str, Any],
    *,
    seed: int,
    images: tuple[Image.Image | Picture, ...] = (),
    image_ids: tuple[str, ...] = (),
    answer_schema: Mapping[str, Any] | None = None,
) -> Request:
    """The request that a prompt makes of these variables; `answer_schema`: the prompt's, filled for this one request.

    Where the prompt has parts the answer is plain text: no engine is told a schema, which would hold it to JSON.
    """
    system, user = prompt.render(variables)
    decoding = Decoding(prompt.decoding.max_tokens, prompt.decoding.temperature, prompt.decoding.top_p)
    schema = answer_schema or prompt.answer_schema
    plain = None if prompt.parts is None else Plain(prompt.parts, schema)
    return Request(user, system, images, image_ids, None if plain else schema, decoding, seed, prompt.example, variables, plain)


async def ask(generator: Generator, questions: Iterable[Request], parse: Callable[[dict[str, Any]], T], attempts: int) -> list[Outcome[T]]:
    """An outcome for each question, in order. What fails is asked again, all of a round together, `attempts` times in all.

    `parse` turns a schema-valid answer into a value; a ValueError in it is an invalid answer. An error that passes leaves no trace
    where an answer comes after it: with an engine that answers alike the outcome is that of an undisturbed run.
    """
    asked: list[Request] = []
    answers = await _first_answers(generator, questions, asked)
    outcomes: list[Outcome[T]] = [Outcome(None, None, None, None, Usage()) for _ in asked]
    spent = [Usage() for _ in asked]  # on answers
    open_positions = list(range(len(asked)))
    for attempt in range(attempts):
        if not open_positions:
            break
        if attempt:
            answers = await generator.generate([_again(asked[position], spent[position].attempts) for position in open_positions])
        still_open = []
        for position, answer in zip(open_positions, answers, strict=True):
            outcome = outcomes[position] = _judge(asked[position], answer, parse, spent[position])
            if outcome.error not in PASSING:
                spent[position] = outcome.usage
            if outcome.error in _BAD_ANSWERS | PASSING:
                still_open.append(position)
        open_positions = still_open
    return outcomes


async def _first_answers(generator: Generator, questions: Iterable[Request], asked: list[Request]) -> list[Answer]:
    """The answers of the first round; `asked` gets the questions, which may be made only as they are sent."""

    def kept() -> Iterator[Request]:
        for request in questions:
            asked.append(request)
            yield request

    if isinstance(generator, Sender):
        return await generator.generate_each(kept())
    requests = [*kept()]
    return await generator.generate(requests) if requests else []


def total_usage(parts: Sequence[Usage]) -> Usage:
    """The sum, rungs in order."""
    return Usage(
        attempts=sum(part.attempts for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        rungs=[rung for part in parts for rung in part.rungs],
    )


def failure_of(outcomes: Sequence[Outcome[Any]]) -> tuple[str, str | None] | None:
    """Reason and detail of the first question where none was answered; None where one was, or none was asked."""
    if not outcomes or not all(outcome.error for outcome in outcomes):
        return None
    return outcomes[0].error or "", outcomes[0].detail


def _again(request: Request, attempt: int) -> Request:
    if attempt == 0:
        return request
    warmer = dataclasses.replace(request.decoding, temperature=max(request.decoding.temperature, _SECOND_TEMPERATURE))
    return dataclasses.replace(request, seed=(request.seed + attempt) % 2**31, decoding=warmer)


def _judge(request: Request, answer: Answer, parse: Callable[[dict[str, Any]], T], spent: Usage) -> Outcome[T]:
    value, error, detail = None, answer.error, answer.detail
    if error is None:
        try:
            content = request.plain.parts.read(answer.text) if request.plain else json.loads(answer.text)
            unfit = unfit_in(content)
            if unfit is not None:
                raise ValueError(f"{unfit}, which no text may hold")
            schema = request.plain.schema if request.plain else request.answer_schema or {}
            _validator(json.dumps(dict(schema), sort_keys=True)).validate(content)
            value = parse(content)
        except (ValueError, RecursionError, jsonschema.ValidationError) as problem:
            error, detail = "invalid_output", f"{str(problem).splitlines()[0][:200]} in {answer.text[:200]!r}"
    rung = error or ("asked_again" if spent.attempts else "parsed")
    usage = Usage(attempts=1, prompt_tokens=answer.prompt_tokens, completion_tokens=answer.completion_tokens, rungs=[rung])
    return Outcome(value, error, detail, answer.finish_reason, total_usage([spent, usage]))


@lru_cache(maxsize=256)
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema))
