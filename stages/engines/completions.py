"""What a server's reply is as an answer, whatever it holds: HTML, half a JSON, an error with status 200. Opens no connection."""

import email.utils
import json
import math
import time
import zlib
from collections.abc import Mapping
from typing import Any

from stages.engines.base import Answer, ErrorKind

_TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "maximum model length",
    "context window",
    "context size",
    "too many tokens",
)
_MOST_TOKENS = 2**31  # a count above it is no count
_DETAIL_CHARACTERS = 500


def most_bytes(max_tokens: int) -> int:
    """How long a reply with so many tokens can be: white space makes the longest tokens, and JSON may write six bytes a character."""
    return 256 * 1024 + 512 * max_tokens


def answer_of(status: int, content: bytes) -> Answer:
    """The answer in a reply. One that is no completion is an error: of the kind that its status or its error body names."""
    if not 200 <= status < 300:
        return refusal(status, said_in(content))
    try:
        answered = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        return no_completion(f"no JSON ({type(problem).__name__}) but {shortened(_text_of(content))!r}")
    if not isinstance(answered, dict):
        return no_completion(f"no object but {type(answered).__name__}")
    error, choices = answered.get("error"), answered.get("choices")
    if error and not choices:
        code = error.get("code") if isinstance(error, dict) else None
        return refusal(code if isinstance(code, int) and 400 <= code < 600 else 500, said_in(content))
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return no_completion("no choices")
    return _choice(choices[0], _counts(answered.get("usage")))


def refusal(status: int, words: str) -> Answer:
    """The error that a status stands for; `said` is what came with it."""
    return Answer(error=_kind(status, words.lower()), detail=shortened(f"{status}: {words}"))


def no_completion(problem: str) -> Answer:
    """An error for what came in a completion's place. It may be there when it is asked for again."""
    return Answer(error="server_error", detail=shortened(f"the server's reply is no completion: {problem}"))


def unpacked(content: bytes, encoding: str, limit: int) -> bytes | None:
    """The body without the packing that was not asked for; None where it is longer than the limit. No more than that is ever unpacked.

    Raises: ValueError where it cannot be unpacked.
    """
    if encoding.strip().lower() in ("", "identity"):
        return content
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"packed as {encoding[:40]}")
    try:
        whole = zlib.decompressobj(wbits=47).decompress(content, limit + 1)  # 47: gzip and zlib alike
    except zlib.error as error:
        raise ValueError(f"not packed as {encoding[:40]}: {error}") from error
    return None if len(whole) > limit else whole


def wait_asked_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the server wants to be asked again: Retry-After as a number or a date; None where it does not say."""
    asked = headers.get("retry-after", "").strip()
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def said_in(content: bytes) -> str:
    """The message of an error body, or the body's own text."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return _text_of(content)
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        parts = [error.get(name) for name in ("code", "message", "detail")]
        error = " ".join(str(part) for part in parts if isinstance(part, str | int)) or _text_of(content)
    return error if isinstance(error, str) else _text_of(content)


def shortened(text: str) -> str:
    """One line that UTF-8 can hold."""
    return " ".join(text[: 8 * _DETAIL_CHARACTERS].encode("utf-8", "replace").decode().split())[:_DETAIL_CHARACTERS]


def _choice(choice: Mapping[str, Any], counts: tuple[int, int]) -> Answer:
    message, finish = choice.get("message"), choice.get("finish_reason")
    if not isinstance(message, dict):
        return no_completion("a choice without a message")
    text = _joined(message.get("content"))
    if finish == "length":
        return Answer(text or "", "length", "truncated", f"no end within {counts[1]} tokens", *counts)
    if not isinstance(finish, str):
        return no_completion("a choice without a finish_reason")
    if finish != "stop":
        return Answer(text or "", None, "bad_request", shortened(f"ended as {finish}"), *counts)
    if text is None:
        refused = message.get("refusal")
        return Answer("", "stop", "invalid_output", shortened(refused) if isinstance(refused, str) and refused else "no text", *counts)
    return Answer(text, "stop", None, None, *counts)


def _joined(content: Any) -> str | None:
    """The text, also where it comes in parts; None where there is none."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str)) or None
    return content if isinstance(content, str) else None


def _counts(usage: Any) -> tuple[int, int]:
    given = usage if isinstance(usage, dict) else {}
    counts = (given.get("prompt_tokens"), given.get("completion_tokens"))
    prompt, completion = (count if isinstance(count, int) and 0 <= count < _MOST_TOKENS else 0 for count in counts)
    return int(prompt), int(completion)


def _kind(status: int, words: str) -> ErrorKind:
    if status < 500 and any(phrase in words for phrase in _TOO_LONG):
        return "context_window"
    if status in (401, 402, 403, 407):
        return "auth"
    if status == 429:
        return "rate_limit"
    if status in (408, 502, 503, 504):
        return "timeout"
    if status in (300, 301, 302, 303, 307, 308, 404, 405, 410, 415, 501):
        return "unsupported"
    return "server_error" if status >= 500 or status in (409, 425) else "bad_request"


def _text_of(content: bytes) -> str:
    return content[: 4 * _DETAIL_CHARACTERS].decode("utf-8", "replace") or "nothing"


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
