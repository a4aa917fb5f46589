"""Any OpenAI-compatible server over HTTP: vllm serve, SGLang, a vendor. Knows requests, no stage.

Retries of one question live here and nowhere else: by kind of error, with a bound, honouring Retry-After.
"""

import asyncio
import base64
import http.client
import io
import itertools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image
from pydantic import Field

from schemas.check import Check
from schemas.rows import PASSING
from stages.engines.base import Answer, MissingExtra, Request, ServerAway
from stages.engines.completions import answer_of, most_bytes, no_completion, shortened, unpacked, wait_asked_s
from stages.engines.pixels import shrink
from stages.engines.pulse import beat
from stages.engines.specs import GeneratorSpec, Resources

if TYPE_CHECKING:
    import httpx

_LONGEST_WAIT_S = 120.0
_CONNECT_S = 15.0
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_GATEWAY = (502, 503, 504)  # a gateway's words for a server behind it that is away
_LOOK_S = 10.0  # for a look at whether the server is there at all


class OpenAISpec(GeneratorSpec):
    """Any OpenAI-compatible server: vllm serve, SGLang, a vendor."""

    kind: Literal["openai"]
    model: str = Field(description="The name the server knows the model by.")
    revision: str | None = Field(None, description="Names what the server serves; hashed, not sent.")
    base_url: str = Field(description="Up to and with /v1.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key; may be unset for a local server.")
    structured: Literal["json_schema", "none"] = Field("json_schema", description="How the answer schema is sent.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels before they are sent.")
    concurrency: int = Field(32, gt=0, description="Requests in flight a worker.")
    timeout_s: float = Field(600, gt=0, description="Of one request, from its first byte to the last of its answer.")
    max_retries: int = Field(6, ge=0, description="On rate limits, lost connections and 5xx, with exponential waits.")
    unhashed = frozenset({"base_url", "api_key_env", "concurrency", "timeout_s", "max_retries"})
    package = "httpx"
    extra = "openai"
    is_remote = True

    def checks(self, name: str) -> Iterator[Check]:
        """Whether the server answers, and takes the key."""
        request = urllib.request.Request(f"{self.base_url.rstrip('/')}/models")
        request.add_header("Authorization", f"Bearer {os.environ.get(self.api_key_env, 'EMPTY')}")
        try:
            with urllib.request.urlopen(request, timeout=10):
                yield Check(name, True, self.base_url)
        except urllib.error.HTTPError as error:
            is_ok = error.code not in (401, 403)
            yield Check(name, is_ok, f"{self.base_url} answers {error.code}", f"set {self.api_key_env} to a valid key")
        except (OSError, ValueError, http.client.HTTPException) as error:
            yield Check(
                name, False, f"{self.base_url} does not answer: {error or type(error).__name__}", "start the server, or correct base_url"
            )

    def build(self, resources: Resources) -> "OpenAIGenerator":
        return OpenAIGenerator(self, resources)


@dataclass(frozen=True)
class _Reply:
    """What one try brought. `lost`: why it is nothing that the server itself said; `wait_s`: how long it asks to be left alone.

    refused: no connection, which is never the question's fault. broken: the connection, or the gateway's word for that. late: no end.
    """

    answer: Answer
    lost: Literal["refused", "broken", "late"] | None = None
    wait_s: float | None = None


class OpenAIGenerator:
    """Answers from `spec.base_url`; at most `spec.concurrency` requests of this worker are in flight.

    The key is the environment variable `spec.api_key_env`, "EMPTY" where that is unset. What a server does beside what
    is asked (its own default top_k, white space in JSON) is its own matter: start `vllm serve` with
    `--generation-config vllm` and a structured outputs configuration of backend xgrammar without free white space.
    Raises: MissingExtra without httpx; ValueError for a key that no header can hold.
    """

    def __init__(self, spec: OpenAISpec, resources: Resources) -> None:  # one signature for all engines
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra(spec.kind, spec.extra) from error
        self._spec, self._base = spec, spec.base_url.rstrip("/")
        self._url = f"{self._base}/chat/completions"
        key = (os.environ.get(spec.api_key_env) or "EMPTY").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError(f"the environment variable {spec.api_key_env} holds no key: it has characters that no HTTP header can hold")
        named = {"OpenAI-Organization": os.environ.get("OPENAI_ORG_ID"), "OpenAI-Project": os.environ.get("OPENAI_PROJECT_ID")}
        headers = {"Authorization": f"Bearer {key}", **{name: value for name, value in named.items() if value}}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=spec.concurrency)
        timeout = httpx.Timeout(None, connect=min(_CONNECT_S, spec.timeout_s))
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits, follow_redirects=True, max_redirects=5)
        self._slots = asyncio.Semaphore(spec.concurrency)

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer each, in order.

        Raises: ServerAway where the server cannot be reached after all retries.
        """
        asked = [asyncio.ensure_future(self._answer(request)) for request in requests]
        try:
            return list(await asyncio.gather(*asked))
        except BaseException:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            raise

    async def close(self) -> None:
        await self._client.aclose()

    async def _answer(self, request: Request) -> Answer:
        """The answer to one question, or its error. What the server is to blame for raises: no question fails for it."""
        async with self._slots:
            beat()
            body = await asyncio.to_thread(_body, self._spec, request)
            for number in itertools.count():
                reply = await self._try(body, most_bytes(request.decoding.max_tokens))
                beat()
                if reply.answer.error not in PASSING or reply.lost == "late" or number == self._spec.max_retries:
                    break
                wait_s = min(0.5 * 2.0**number, _LONGEST_WAIT_S) if reply.wait_s is None else reply.wait_s
                if wait_s > max(self._spec.timeout_s, _LONGEST_WAIT_S):
                    break
                await asyncio.sleep(wait_s)
            if reply.lost == "refused" or (reply.lost and not await self._is_there()):
                raise ServerAway(self._spec.base_url, reply.answer.detail or "no answer")
        return reply.answer

    async def _try(self, body: bytes, limit: int) -> _Reply:
        """One exchange. A connection that breaks, and a reply that does not end in time, may be the question's fault or the server's."""
        import httpx

        try:
            async with (
                asyncio.timeout(self._spec.timeout_s),
                self._client.stream("POST", self._url, content=body, headers=_HEADERS) as response,
            ):
                content = await _read(response, limit)
        except TimeoutError:
            detail = f"no whole answer within {self._spec.timeout_s:g} s"
            return _Reply(Answer(error="timeout", detail=detail), "late")
        except (httpx.TooManyRedirects, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            return _Reply(no_completion(str(error)))
        except httpx.TransportError as error:
            detail = shortened(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            is_refused = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            return _Reply(Answer(error="server_error", detail=detail), "refused" if is_refused else "broken")
        try:
            content = content and unpacked(content, response.headers.get("content-encoding", ""), limit)
        except ValueError as error:
            return _Reply(no_completion(str(error)))
        if content is None:
            return _Reply(no_completion(f"longer than {limit} bytes"))
        is_broken = response.status_code in _GATEWAY
        return _Reply(answer_of(response.status_code, content), "broken" if is_broken else None, wait_asked_s(response.headers))

    async def _is_there(self) -> bool:
        """Whether the server answers anything at all, and no gateway in its place says that it is away."""
        import httpx

        try:
            async with asyncio.timeout(min(_LOOK_S, self._spec.timeout_s)), self._client.stream("GET", f"{self._base}/models") as response:
                return response.status_code not in _GATEWAY
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
            return False


async def _read(response: "httpx.Response", limit: int) -> bytes | None:
    """The whole body as it was sent; None where it is longer than the limit."""
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > limit:
            return None
    return bytes(content)


def _body(spec: OpenAISpec, request: Request) -> bytes:
    """The request as the chat completions endpoint takes it, in ASCII; images before the text, as PNG, which loses nothing."""
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": _data_url(shrink(image, spec.max_pixels))}} for image in request.images
    ]
    content: Any = [*parts, {"type": "text", "text": request.user}] if parts else request.user
    messages = [{"role": "user", "content": content}]
    if request.system:
        messages.insert(0, {"role": "system", "content": request.system})
    body: dict[str, Any] = {"model": spec.model, "messages": messages, "seed": request.seed % 2**63}
    body |= {"max_tokens": request.decoding.max_tokens, "temperature": request.decoding.temperature, "top_p": request.decoding.top_p}
    if request.answer_schema is not None and spec.structured == "json_schema":
        named = {"name": "answer", "schema": dict(request.answer_schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return json.dumps(body).encode()


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
