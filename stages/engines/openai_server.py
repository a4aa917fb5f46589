"""Any OpenAI-compatible server over HTTP: vllm serve, SGLang, a vendor. Knows requests, no stage.

Retries live here and nowhere else: by kind of error, with a bound, honouring Retry-After.
"""

import asyncio
import base64
import io
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image
from pydantic import Field

from schemas.check import Check
from stages.engines.base import Answer, EngineDead, ErrorKind, MissingExtra, Request
from stages.engines.pixels import shrink
from stages.engines.specs import GeneratorSpec, Resources

if TYPE_CHECKING:
    import openai
    import tenacity

_TOO_LONG = ("context_length_exceeded", "maximum context length", "maximum model length", "context window", "too many tokens")
_LONGEST_WAIT_S = 120.0


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
    timeout_s: float = Field(600, gt=0, description="Of one request.")
    max_retries: int = Field(6, ge=0, description="On rate limits, timeouts and 5xx, with exponential waits.")
    unhashed = frozenset({"base_url", "api_key_env", "concurrency", "timeout_s", "max_retries"})
    package = "openai"
    extra = "openai"

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
        except (OSError, ValueError) as error:
            yield Check(name, False, f"{self.base_url} does not answer: {error}", "start the server, or correct base_url")

    def build(self, resources: Resources) -> "OpenAIGenerator":
        return OpenAIGenerator(self, resources)


class OpenAIGenerator:
    """Answers from `spec.base_url`; at most `spec.concurrency` requests of this worker are in flight.

    The key is the environment variable `spec.api_key_env`, "EMPTY" where that is unset. What a server does beside what
    is asked (its own default top_k, white space in JSON) is its own matter: start `vllm serve` with
    `--generation-config vllm` and a structured outputs configuration of backend xgrammar without free white space.
    Raises: MissingExtra without openai.
    """

    def __init__(self, spec: OpenAISpec, resources: Resources) -> None:  # one signature for all engines
        try:
            import openai
        except ImportError as error:
            raise MissingExtra(spec.kind, spec.extra) from error
        self._spec = spec
        key = os.environ.get(spec.api_key_env) or "EMPTY"
        self._client = openai.AsyncOpenAI(base_url=spec.base_url, api_key=key, timeout=spec.timeout_s, max_retries=0)
        self._slots = asyncio.Semaphore(spec.concurrency)

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer each, in order.

        Raises: EngineDead where the server cannot be reached after all retries.
        """
        return list(await asyncio.gather(*(self._answer(request) for request in requests)))

    async def close(self) -> None:
        await self._client.close()

    async def _answer(self, request: Request) -> Answer:
        import openai

        async with self._slots:
            body = await asyncio.to_thread(_body, self._spec, request)
            try:
                completion = await self._ask(body)
            except openai.APITimeoutError as error:
                return Answer(error="timeout", detail=str(error)[:500])
            except openai.APIConnectionError as error:
                raise EngineDead(f"no connection to {self._spec.base_url}: {error.__cause__ or error}") from error
            except openai.APIStatusError as error:
                return Answer(error=_kind(error), detail=str(error)[:500])
        return _answer_of(completion)

    async def _ask(self, body: dict[str, Any]) -> Any:
        import tenacity

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_is_passing),
            stop=tenacity.stop_after_attempt(self._spec.max_retries + 1),
            wait=_wait_s,
            reraise=True,
        )

        async def create() -> Any:
            return await self._client.chat.completions.create(**body)

        return await retrying(create)


def _body(spec: OpenAISpec, request: Request) -> dict[str, Any]:
    """The request as the chat completions endpoint takes it; images before the text, as PNG, which loses nothing."""
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
    return body


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return isinstance(error, openai.APIConnectionError)


def _wait_s(state: "tenacity.RetryCallState") -> float:
    """Seconds until the next try: what the server asks for, else 0.5, 1, 2 ... up to two minutes."""
    import openai

    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, openai.APIStatusError):
        asked = error.response.headers.get("retry-after", "")
        if asked.replace(".", "", 1).isdigit():
            return min(float(asked), _LONGEST_WAIT_S)
    return min(0.5 * 2.0 ** (state.attempt_number - 1), _LONGEST_WAIT_S)


def _kind(error: "openai.APIStatusError") -> ErrorKind:
    """The error's kind by status and text, once retries are spent."""
    status, text = error.status_code, f"{error.code} {error}".lower()
    if any(phrase in text for phrase in _TOO_LONG):
        return "context_window"
    if status in (401, 403):
        return "auth"
    if status == 429:
        return "rate_limit"
    if status in (408, 502, 503, 504):
        return "timeout"
    return "unsupported" if status in (404, 405, 415, 501) else "bad_request"


def _answer_of(completion: Any) -> Answer:
    usage = completion.usage
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    choice = completion.choices[0]
    text = choice.message.content
    if choice.finish_reason == "length":
        return Answer(text or "", "length", "truncated", f"no end within {counts[1]} tokens", *counts)
    if choice.finish_reason != "stop":
        return Answer(text or "", None, "bad_request", f"ended as {choice.finish_reason}", *counts)
    if text is None:
        return Answer("", "stop", "invalid_output", choice.message.refusal or "no text", *counts)
    return Answer(text, "stop", None, None, *counts)
