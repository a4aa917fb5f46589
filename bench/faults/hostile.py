"""An OpenAI-compatible server on loopback that answers well, but for the questions that it is told to answer badly. Knows no run."""

import gzip
import hashlib
import json
import re
import socket
import socketserver
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from bench.faults.loopback import LoopbackServer
from pipeline.config.registry import DEMO_PROMPTS
from prompts.example import Example
from prompts.loader import load_prompt
from stages.engines.base import Decoding, Request
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec

Send = Callable[[socket.socket, bytes], None]
_ENDLESS_S = 60.0


@dataclass(frozen=True)
class Hostility:
    """One way to answer badly: `send` gets the connection and the good reply's body. `kind`: the error that stays; None: it is taken."""

    name: str
    kind: str | None
    send: Send


def _reply(body: bytes, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    named = {"Content-Type": "application/json", "Content-Length": str(len(body) if length is None else length), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{lines}Connection: close\r\n\r\n".encode() + body


def _raw(content: bytes) -> Send:
    return lambda connection, _: connection.sendall(content)


def status(line: str, body: bytes = b'{"error": {"message": "not today"}}', **headers: str) -> Send:
    """A reply of this status line."""
    return _raw(_reply(body, line, **headers))


def _made(change: Callable[[dict[str, Any]], Any]) -> Send:
    """The good reply, changed: what `change` returns, or the changed reply where that is None."""

    def send(connection: socket.socket, good: bytes) -> None:
        reply = json.loads(good)
        changed = change(reply)
        connection.sendall(_reply(changed if isinstance(changed, bytes) else json.dumps(reply if changed is None else changed).encode()))

    return send


def _choice(**fields: Any) -> Send:
    return _made(lambda reply: reply["choices"][0].update(fields))


def _text(text: Callable[[str], Any]) -> Send:
    def change(reply: dict[str, Any]) -> None:
        message = reply["choices"][0]["message"]
        message["content"] = text(message["content"])

    return _made(change)


def _drip(connection: socket.socket, good: bytes) -> None:
    content, until = _reply(good), time.monotonic() + _ENDLESS_S
    for at in range(len(content)):
        if time.monotonic() > until:
            return
        connection.sendall(content[at : at + 1])
        time.sleep(0.5)


def _silence(connection: socket.socket, _: bytes) -> None:
    connection.settimeout(_ENDLESS_S)
    connection.recv(1)


def _endless(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    until = time.monotonic() + _ENDLESS_S
    while time.monotonic() < until:
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def _reset(connection: socket.socket, good: bytes) -> None:
    connection.sendall(_reply(good)[:40])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _cut(connection: socket.socket, good: bytes) -> None:
    connection.sendall(_reply(good[: len(good) // 2], length=len(good)))


_TASKS = (
    (r"Describe the image\.", "caption"),
    (r"Describe the (?P<noun>.+)\. \[", "region_caption"),
    (r"Edit: (?P<phrase>.+)", "hard_negative"),
)
_DEEP = b"[" * 100_000
_HTML = b"<!doctype html><html><body><h1>Sign in to the network</h1></body></html>"
_ODD_USAGE = {"prompt_tokens": "many", "completion_tokens": 10**30}
_LONG_AGO = "Thu, 01 Jan 2015 00:00:00 GMT"
_STREAM = b'data: {"choices": []}\n\n'
_BOMB = gzip.compress(b" " * 64 * 2**20, 9)

HOSTILITIES: tuple[Hostility, ...] = (
    Hostility("HTML with status 200", "server_error", _raw(_reply(_HTML, Content_Type="text/html"))),
    Hostility("HTML with status 502", "timeout", status("502 Bad Gateway", _HTML)),
    Hostility("half a JSON", "server_error", _made(lambda reply: json.dumps(reply).encode()[:-40])),
    Hostility("a body that is cut", "server_error", _cut),
    Hostility("choices: []", "server_error", _made(lambda reply: reply.update(choices=[]))),
    Hostility("choices: null", "server_error", _made(lambda reply: reply.update(choices=None))),
    Hostility("a choice without a message", "server_error", _choice(message=None)),
    Hostility("an error body with status 200", "server_error", _made(lambda _: {"error": {"message": "overloaded", "code": None}})),
    Hostility("error 429 with status 200", "rate_limit", _made(lambda _: {"error": {"message": "slow down", "code": 429}})),
    Hostility("Latin-1", "server_error", _made(lambda _: '{"choices": "\u00e9t\u00e9"}'.encode("latin-1"))),
    Hostility("random bytes", "server_error", _raw(_reply(hashlib.sha512(b"noise").digest()))),
    Hostility("usage: null", None, _made(lambda reply: reply.update(usage=None))),
    Hostility("usage of words and 1e30", None, _made(lambda reply: reply.update(usage=_ODD_USAGE))),
    Hostility("a body nested 100,000 deep", "server_error", _raw(_reply(_DEEP))),
    Hostility("a text nested 100,000 deep", "invalid_output", _text(lambda _: _DEEP.decode())),
    Hostility("8 megabytes of text", "server_error", _text(lambda _: "word " * 1_600_000)),
    Hostility("a body without an end", "server_error", _endless),
    Hostility("a byte each half second", "timeout", _drip),
    Hostility("silence", "timeout", _silence),
    Hostility("status 500", "server_error", status("500 Internal Server Error")),
    Hostility("status 503, Retry-After: 0", "timeout", status("503 Service Unavailable", Retry_After="0")),
    Hostility("status 429, Retry-After: a date", "rate_limit", status("429 Too Many Requests", Retry_After=_LONG_AGO)),
    Hostility("status 429, Retry-After: next year", "rate_limit", status("429 Too Many Requests", Retry_After="31536000")),
    Hostility("status 418", "bad_request", status("418 I'm a teapot")),
    Hostility("gzip that is none", "server_error", _raw(_reply(b"no gzip", Content_Encoding="gzip"))),
    Hostility("a gzip bomb", "server_error", _raw(_reply(_BOMB, Content_Encoding="gzip"))),
    Hostility("a redirect to itself", "server_error", status("307 Temporary Redirect", b"", Location="/v1/chat/completions")),
    Hostility("a redirect to another protocol", "server_error", status("307 Temporary Redirect", b"", Location="gopher://127.0.0.1/")),
    Hostility("no HTTP", "server_error", _raw(b"220 mail.example.org ESMTP\r\n")),
    Hostility("closed without a byte", "server_error", _raw(b"")),
    Hostility("a connection reset", "server_error", _reset),
    Hostility("chunks that are none", "server_error", _raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}")),
    Hostility("an empty body", "server_error", _raw(_reply(b""))),
    Hostility("status 204", "server_error", _raw(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")),
    Hostility("a list in place of an object", "server_error", _raw(_reply(b"[]"))),
    Hostility("NaN", "server_error", _made(lambda _: b'{"choices": NaN}')),
    Hostility("a number in place of the text", "invalid_output", _text(lambda _: 7)),
    Hostility("no finish_reason", "server_error", _choice(finish_reason=None)),
    Hostility("a stream that was not asked for", "server_error", _raw(_reply(_STREAM, Content_Type="text/event-stream"))),
    Hostility("100,000 headers", "server_error", _raw(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 100_000 + b"\r\n")),
)  # fmt: skip


class HostileServer(LoopbackServer):
    """Answers questions as the rehearsal engine does. `chooses` says of the text of a question how it is to be answered badly.

    Whoever looks whether the server is there gets a good answer, unless it `looks_bad`: then `chooses` is asked about "".
    """

    def __init__(self, chooses: Callable[[str], Hostility | None], *, looks_bad: bool = False, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.chooses, self.looks_bad = chooses, looks_bad
        self.num_asked = self.num_looked = 0
        self.pause_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(socketserver.StreamRequestHandler):
    server: HostileServer

    def handle(self) -> None:
        try:
            self._handle()
        except OSError:
            return  # whoever asked has had enough

    def _handle(self) -> None:
        line = self.rfile.readline().decode()
        length = 0
        while (header := self.rfile.readline().strip()) != b"":
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        if line.startswith("GET"):
            self.server.num_looked += 1
            self._send(b'{"data": []}', self.server.chooses("") if self.server.looks_bad else None)
            return
        asked = json.loads(self.rfile.read(length))
        self.server.num_asked += 1
        question = question_of(asked)
        good = json.dumps(_completion(asked, question)).encode()
        time.sleep(self.server.pause_s)
        self._send(good, self.server.chooses(question))

    def _send(self, good: bytes, hostility: Hostility | None) -> None:
        if hostility is None:
            self.connection.sendall(_reply(good))
        else:
            hostility.send(self.connection, good)


def question_of(asked: Mapping[str, Any]) -> str:
    """The user's text and a digest of the images: what tells one question from another."""
    content = asked["messages"][-1]["content"]
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode()
    images = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    digest = hashlib.sha256("".join(images).encode()).hexdigest()[:12]
    return f"{content[-1]['text']} [{digest}]"


def _completion(asked: Mapping[str, Any], question: str) -> dict[str, Any]:
    schema = asked.get("response_format", {}).get("json_schema", {}).get("schema")
    decoding = Decoding(asked["max_tokens"], asked["temperature"])
    example, values = _example_of(question)
    images, ids = (Image.new("RGB", (8, 8)),), (question[-14:],)
    request = Request(question, None, images, ids, schema, decoding, asked["seed"], example, values)
    answer = RehearsalGenerator(RehearsalSpec(kind="rehearsal")).answer(request)
    message = {"role": "assistant", "content": answer.text}
    usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": answer.finish_reason, "message": message}],
        "usage": usage,
    }


def _example_of(question: str) -> tuple[Example | None, dict[str, str]]:
    """What a rehearsal of the demo's prompts answers such a question with, and what it was told."""
    for pattern, task in _TASKS:
        match = re.match(pattern, question)
        if match:
            return load_prompt(task, "demo", DEMO_PROMPTS).example, match.groupdict()
    return None, {}
