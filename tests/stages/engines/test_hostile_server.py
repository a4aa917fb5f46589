"""One bad answer is one question's: whatever a server sends, its question gets an error kind, and the others their answers."""

import datetime
import email.utils
import pickle
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from bench.faults.hostile import HOSTILITIES, HostileServer, Hostility, status
from schemas.rows import PASSING
from stages.answers import Outcome, ask
from stages.engines.base import Answer, Decoding, Request, ServerAway
from stages.engines.openai_server import OpenAIGenerator, OpenAISpec
from stages.engines.specs import Resources

pytest.importorskip("httpx")
Run = Callable[[Coroutine[Any, Any, Any]], Any]
SCHEMA = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}, "required": ["answer"], "additionalProperties": False}
QUESTIONS = [Request(text, answer_schema=SCHEMA, decoding=Decoding(64)) for text in ("first", "victim", "last")]


def engine(server: HostileServer, **fields: Any) -> OpenAIGenerator:
    spec = {"kind": "openai", "model": "m", "base_url": server.url, "timeout_s": 0.6, "max_retries": 1, **fields}
    return OpenAIGenerator(OpenAISpec.model_validate(spec), Resources())


@pytest.mark.parametrize("hostility", HOSTILITIES, ids=lambda hostility: hostility.name)
def test_a_bad_answer_is_its_own_questions_error_and_the_others_stand(run: Run, hostility: Hostility) -> None:
    with HostileServer(lambda question: hostility if question == "victim" else None).running() as server:
        outcomes = run(_asked(engine(server), attempts=1))
    assert [outcomes[0].error, outcomes[2].error] == [None, None]
    assert outcomes[1].error == hostility.kind
    assert bool(outcomes[1].detail) == bool(hostility.kind)
    (outcomes[1].detail or "").encode()  # what a table cannot hold would fail the whole unit


def test_what_passes_leaves_no_trace(run: Run) -> None:
    """Asked again, a question is answered as if nothing had been: same text, same counts."""
    strikes = {f"question {number}": hostility for number, hostility in enumerate(HOSTILITIES) if hostility.kind in PASSING}
    questions = [Request(text, answer_schema=SCHEMA, decoding=Decoding(64)) for text in strikes]
    with HostileServer(lambda _: None).running() as server:
        undisturbed = run(_asked(engine(server), 3, questions))
    with HostileServer(lambda question: strikes.pop(question, None)).running() as server:
        assert run(_asked(engine(server, max_retries=0), 3, questions)) == undisturbed
    assert not strikes


async def _asked(generator: OpenAIGenerator, attempts: int, questions: Sequence[Request] = QUESTIONS) -> list[Outcome[str]]:
    try:
        return await ask(generator, questions, lambda content: str(content["answer"]), attempts)
    finally:
        await generator.close()


@pytest.mark.parametrize("retry_after", ["0.6", "date"])
def test_a_server_is_left_alone_as_long_as_it_asks(run: Run, retry_after: str) -> None:
    asked: list[float] = []
    until = email.utils.format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2), usegmt=True)
    busy = Hostility("busy", "rate_limit", status("429 Too Many", Retry_After=until if retry_after == "date" else retry_after))

    def first(_: str) -> Hostility | None:
        asked.append(time.monotonic())
        return busy if len(asked) == 1 else None

    with HostileServer(first).running() as server:
        (answer,) = run(_answers(engine(server), QUESTIONS[:1]))
    assert answer.error is None
    assert asked[1] - asked[0] >= 0.6


def test_a_server_that_hangs_up_on_all_is_away(run: Run) -> None:
    with HostileServer(lambda _: None).running() as server:
        generator = engine(server)
    with pytest.raises(ServerAway, match=rf"away: {re.escape(server.url)}: ConnectError"):
        run(_answers(generator, QUESTIONS))


@pytest.mark.parametrize("hostility", ["HTML with status 502", "silence", "closed without a byte"])
def test_where_nothing_is_answered_it_is_no_questions_fault(run: Run, hostility: str) -> None:
    """A gateway whose server is away, a server that hangs, one that hangs up: the look at /models gets the same."""
    bad = next(candidate for candidate in HOSTILITIES if candidate.name == hostility)
    with HostileServer(lambda _: bad, looks_bad=True).running() as server, pytest.raises(ServerAway):
        run(_answers(engine(server), QUESTIONS))


def test_an_error_that_names_the_server_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ServerAway("http://127.0.0.1:1/v1", "ConnectError")))
    assert (error.address, str(error)) == ("http://127.0.0.1:1/v1", "the engine's server is away: http://127.0.0.1:1/v1: ConnectError")


def test_a_prompt_that_utf8_cannot_hold_is_asked_all_the_same(run: Run) -> None:
    with HostileServer(lambda _: None).running() as server:
        odd, fine = run(_answers(engine(server), [Request("\ud800?", answer_schema=SCHEMA), QUESTIONS[0]]))
    assert (odd.error, fine.error) == (None, None)


async def _answers(generator: OpenAIGenerator, requests: Sequence[Request]) -> list[Answer]:
    try:
        return await generator.generate(requests)
    finally:
        await generator.close()
