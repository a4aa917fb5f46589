"""How a server's misbehaviour reaches a stage; the server here is a real one on loopback that answers from a script."""

import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from prompts.loader import load_prompt
from stages.answers import question
from stages.engines.base import Answer, Request, ServerAway
from stages.engines.openai_server import OpenAIGenerator, OpenAISpec
from stages.engines.specs import Resources
from stages.words.domain import ANY_DOMAIN

pytest.importorskip("httpx")
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Reply = tuple[int, dict[str, str], dict[str, Any]]


def completion(text: str | None, finish: str = "stop") -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return 200, {}, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def failure(status: int, message: str, **headers: str) -> Reply:
    return status, headers, {"error": {"message": message, "type": "error", "code": None}}


class Scripted(ThreadingHTTPServer):
    """Gives its replies one after the other and keeps what it was asked."""

    replies: list[Reply]
    asked: list[dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Scripted)
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        status, headers, body = self.server.replies.pop(0)
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(payload)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted(("127.0.0.1", 0), _Handler)
    scripted.replies, scripted.asked = [], []
    thread = threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield scripted
    scripted.shutdown()
    thread.join()
    scripted.server_close()


def ask(run: Run, port: int, request: Request, **spec: Any) -> Answer:
    async def once() -> Answer:
        engine = OpenAIGenerator(OpenAISpec(kind="openai", model="m", base_url=f"http://127.0.0.1:{port}/v1", **spec), Resources())
        try:
            return (await engine.generate([request]))[0]
        finally:
            await engine.close()

    return run(once())


def test_a_rate_limit_is_waited_out_as_long_as_the_server_says(server: Scripted, run: Run) -> None:
    server.replies = [
        failure(429, "slow down", **{"retry-after": "0.01"}),
        failure(503, "busy", **{"retry-after": "0.01"}),
        completion("{}"),
    ]
    assert ask(run, server.server_port, Request("?")).text == "{}"
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure(429, "slow down", **{"retry-after": "0"}), "rate_limit"),
        (failure(503, "busy", **{"retry-after": "0"}), "timeout"),
        (failure(401, "no such key"), "auth"),
        (failure(400, "This model's maximum context length is 512 tokens."), "context_window"),
        (failure(400, "unknown field"), "bad_request"),
        (failure(500, "broken", **{"retry-after": "0"}), "server_error"),
        (failure(404, "no such model"), "unsupported"),
        (completion("{", "length"), "truncated"),
        (completion(None), "invalid_output"),
        (completion("", "content_filter"), "bad_request"),
    ],
)
def test_an_error_that_stays_gets_its_kind(server: Scripted, run: Run, reply: Reply, kind: str) -> None:
    server.replies = [reply, reply]
    answer = ask(run, server.server_port, Request("?"), max_retries=1)
    assert answer.error == kind
    assert answer.detail


def test_what_is_wrong_with_the_request_is_not_asked_again(server: Scripted, run: Run) -> None:
    server.replies = [failure(400, "unknown field")]
    ask(run, server.server_port, Request("?"))
    assert len(server.asked) == 1


def test_a_server_that_is_gone_is_named(run: Run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ServerAway, match=str(port)):
        ask(run, port, Request("?"), max_retries=1)


def test_a_request_carries_images_before_text_and_its_schema(server: Scripted, run: Run) -> None:
    server.replies = [completion("{}")]
    schema = {"type": "object", "properties": {}}
    ask(run, server.server_port, Request("Which?", system="Brief.", images=(Image.new("RGB", (40, 20)),), answer_schema=schema, seed=5))
    (body,) = server.asked
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Brief."}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (body["seed"], body["temperature"], body["max_tokens"]) == (5, 0.0, 512)


@pytest.mark.parametrize(("version", "has_format"), [("v2", True), ("v3", False)])
def test_a_question_for_plain_text_names_no_format(server: Scripted, run: Run, version: str, has_format: bool) -> None:
    server.replies = [completion("A red mug.\n---\nA mug.")]
    asked = question(load_prompt("caption", version), {"alt": None, "domain": ANY_DOMAIN}, seed=5)
    assert ask(run, server.server_port, asked).text == "A red mug.\n---\nA mug."
    assert ("response_format" in server.asked[0]) == has_format
