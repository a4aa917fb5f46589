"""The two protocols that every engine meets, and what travels through them. Knows no engine, no stage, no Ray."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from PIL import Image

from prompts.example import Example
from prompts.parts import Parts
from schemas.boxes import Box
from schemas.rows import Row
from stages.engines.pixels import Load, Opened, Picture

ErrorKind = Literal[
    "rate_limit", "timeout", "server_error", "context_window", "bad_request", "auth", "unsupported", "truncated", "invalid_output"
]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Decoding:
    """How an answer is drawn. temperature 0 is greedy."""

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Plain:
    """How a plain answer is read: its parts, and the JSON schema that they keep as one object."""

    parts: Parts
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One question to a generator: an optional system text, then one user message, its images before its text.

    `answer_schema` is what an engine holds its answer to; None: to nothing, the answer is plain text. `plain` is how such a text is read
    afterwards. It, `example` and `variables`, those that the prompt was filled with, are for rehearsals: no model sees them.
    """

    user: str
    system: str | None = None
    images: tuple[Image.Image | Picture, ...] = ()
    image_ids: tuple[str, ...] = ()
    answer_schema: Mapping[str, Any] | None = None
    decoding: Decoding = field(default_factory=Decoding)
    seed: int = 0
    example: Example | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    plain: Plain | None = None


@dataclass(frozen=True)
class Answer:
    """What came back. `error` is set exactly where `text` is no answer; a finish by length is the error `truncated`."""

    text: str = ""
    finish_reason: FinishReason | None = None
    error: ErrorKind | None = None
    detail: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class DetectRequest:
    """One sentence's phrases against one image (upright, RGB)."""

    image: Image.Image
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """One box for one phrase: xyxy in pixels of the request's image; scores 0..1 (mean and max over the tokens)."""

    phrase: int
    xyxy: Box
    score: float
    score_max: float


class EngineDead(RuntimeError):
    """The engine cannot answer any more. The worker that holds it ends its process."""


class ServerAway(RuntimeError):
    """The engine's server is away: nobody listens at `address`, or connections to it break. Whoever asked is not at fault.

    The engine can be asked again as it is: its worker stays. The retries for passing errors are spent when this is raised.
    """

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(address, cause)  # as they are, so that it can be pickled
        self.address, self.cause = address, cause

    def __str__(self) -> str:
        return f"the engine's server is away: {self.address}: {self.cause}"


class MissingExtra(ImportError):
    """A package that this engine needs is not installed; the message names the extra."""

    def __init__(self, kind: str, extra: str) -> None:
        super().__init__(f"engine kind '{kind}' needs packages that are not installed: pip install 'fgdata[{extra}]'")


@runtime_checkable
class Opener(Protocol):
    """A generator that can have images read in other processes, and shows them to its model from there."""

    async def open(self, load: Load, rows: Sequence[Any], digests: Sequence[str]) -> list[Opened | Row] | None:
        """The images of these rows, opened, or why one cannot be; None where the caller is to read them itself."""
        ...

    def forget(self, opened: Sequence[Opened]) -> None:
        """They are shown no more."""
        ...


class Generator(Protocol):
    """Answers requests, one answer each, in order. A bad request is an Answer with an error kind, never a raise.

    All requests of a call belong to one unit, so that an engine that forms batches can form them within the unit.
    """

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """Raises: EngineDead where nothing can be answered any more, ServerAway where nothing can be answered for now."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Sender(Protocol):
    """A generator that sends each request when it is made: the first is answered, and others' answers are heard, while the rest is made."""

    async def generate_each(self, requests: Iterable[Request]) -> list[Answer]:
        """As `generate`; where making one raises, those before it are called off."""
        ...


class Detector(Protocol):
    """Finds phrases in images. Returns every box whose score reaches the floor, for each request."""

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        """Raises: EngineDead where nothing can be answered any more, ServerAway where nothing can be answered for now."""
        ...

    async def close(self) -> None: ...
