"""Engines without a model: deterministic answers and boxes, with faults on demand. Knows no stage."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import Field

from stages.engines.base import Answer, DetectRequest, EngineDead, Found, Request
from stages.engines.pixels import pixels_of
from stages.engines.rehearsal_answers import share, write_answer
from stages.engines.specs import DetectorSpec, GeneratorSpec, Resources

_CONTEXT_WORDS = 32_768


class RehearsalSpec(GeneratorSpec):
    """Canned, deterministic answers with injected faults. Its exports are marked as a rehearsal."""

    kind: Literal["rehearsal"]
    seed: int = 0
    delay_s: float = Field(0.0, ge=0, description="Pause before each call's answers.")
    bad_json_rate: float = Field(0.0, ge=0, le=1, description="Share of questions whose first answer does not parse.")
    truncation_rate: float = Field(0.0, ge=0, le=1, description="Share of questions whose first answer ends by length.")
    error_rate: float = Field(0.0, ge=0, le=1, description="Share of questions that always end in bad_request.")
    crash_on: str | None = Field(None, description="The process ends where a request's first image id or text contains this.")
    crash_once_dir: str | None = Field(
        None, description="With crash_on or hang_on: a folder that remembers a crash or hang, so that it happens once."
    )
    has_process: bool = Field(False, description="The engine has a process of its own, as vLLM has, and is dead where that has ended.")
    hang_on: str | None = Field(None, description="No answer comes for `hang_s` where a request's first image id or text contains this.")
    hang_s: float = Field(3600.0, ge=0, description="With hang_on: how long.")
    crash_above: int | None = Field(None, gt=0, description="The process ends where it is asked more questions than this at once.")
    raise_on: str | None = Field(None, description="The engine raises where a request's first image id or text contains this.")
    unhashed = frozenset({"delay_s", "crash_on", "hang_on", "hang_s", "crash_once_dir", "crash_above", "raise_on", "has_process"})

    def build(self, resources: Resources) -> "RehearsalGenerator":
        return RehearsalGenerator(self, resources)


class RehearsalDetectorSpec(DetectorSpec):
    """Boxes derived from a hash of image and phrase; every phrase is found."""

    kind: Literal["rehearsal-detector"]
    seed: int = 0
    unhashed = frozenset({"default_min_score"})

    def build(self, resources: Resources) -> "RehearsalDetector":
        return RehearsalDetector(self, resources)


class RehearsalGenerator:
    """Answers of the schema's shape, a function of (spec.seed, question); the request's seed counts where sampled.

    A token is a word here. Injected bad JSON and truncation depend on the request's seed too, so that asking again helps.
    """

    def __init__(self, spec: RehearsalSpec, resources: Resources | None = None) -> None:  # one signature for all engines
        self._spec = spec
        # It ends with the worker, whose end of the pipe it reads.
        wait = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()", "rehearsed-engine"]
        self._process = subprocess.Popen(wait, stdin=subprocess.PIPE) if spec.has_process else None

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer each, in order, after `delay_s`. Ends the process on `crash_on` and above `crash_above`.

        Raises: ValueError on `raise_on`; EngineDead where its process has ended.
        """
        self._look_at_process()
        for request in requests:
            self._crash(request)
            if self._spec.raise_on and _holds(request, self._spec.raise_on):
                raise ValueError(f"rehearsed bug on {self._spec.raise_on}")
        if self._spec.crash_above is not None and len(requests) > self._spec.crash_above:
            os._exit(1)
        if self._spec.delay_s:
            await asyncio.sleep(self._spec.delay_s)
        await self._hang(requests)
        self._look_at_process()
        return [self.answer(request) for request in requests]

    async def close(self) -> None:
        if self._process is not None:
            self._process.communicate()

    def _look_at_process(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise EngineDead(f"the rehearsed engine's process ended with {self._process.returncode}")

    def _crash(self, request: Request) -> None:
        if self._spec.crash_on and _holds(request, self._spec.crash_on) and self._is_due("crashed", self._spec.crash_on):
            os._exit(1)

    async def _hang(self, requests: Sequence[Request]) -> None:
        mark = self._spec.hang_on
        if mark and any(_holds(request, mark) for request in requests) and self._is_due("hung", mark):
            await asyncio.sleep(self._spec.hang_s)

    def _is_due(self, fault: str, mark: str) -> bool:
        """Whether a fault strikes: always, or once where a folder remembers it."""
        if self._spec.crash_once_dir is None:
            return True
        memory = Path(self._spec.crash_once_dir) / f"{fault}-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
        memory.parent.mkdir(parents=True, exist_ok=True)
        try:
            memory.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def answer(self, request: Request) -> Answer:
        """The answer to one question, at once."""
        question = f"{self._spec.seed}/{request.system}/{request.user}/{_identity(request)}"
        words = len(f"{request.system or ''} {request.user}".split()) + 64 * len(request.images)
        if words + request.decoding.max_tokens > _CONTEXT_WORDS:
            detail = f"{words} prompt words and {request.decoding.max_tokens} to come exceed {_CONTEXT_WORDS}"
            return Answer(error="context_window", detail=detail, prompt_tokens=words)
        if share(f"error/{question}") < self._spec.error_rate:
            return Answer(error="bad_request", detail="rehearsed error", prompt_tokens=words)
        sampled = f"/{request.seed}" if request.decoding.temperature > 0 else ""
        shown = f"{self._spec.seed}/{request.image_ids[0]}" if request.image_ids else ""
        text = write_answer(request, random.Random(question + sampled), shown)
        if share(f"bad_json/{request.seed}/{question}") < self._spec.bad_json_rate:
            text = f"{text}\n\n," if request.plain else text[:-1] + ","
        pieces = text.split(" ")
        limit = request.decoding.max_tokens
        if share(f"truncation/{request.seed}/{question}") < self._spec.truncation_rate:
            limit = min(limit, len(pieces) // 2)
        if len(pieces) > limit:
            part = " ".join(pieces[:limit])
            return Answer(part, "length", "truncated", f"stopped at {limit} words", prompt_tokens=words, completion_tokens=limit)
        return Answer(text, "stop", prompt_tokens=words, completion_tokens=len(pieces))


class RehearsalDetector:
    """One box inside the image for every phrase, score 0.5 to 0.99, a function of (spec.seed, image, phrase)."""

    def __init__(self, spec: RehearsalDetectorSpec, resources: Resources | None = None) -> None:  # one signature for all engines
        self._spec = spec

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        """The boxes of each request whose score reaches the floor."""
        return [[box for box in self._find(request) if box.score >= floor] for request in requests]

    async def close(self) -> None:
        return None

    def _find(self, request: DetectRequest) -> list[Found]:
        width, height = request.image.size
        identity = _digest(request.image)
        boxes = []
        for index, phrase in enumerate(request.phrases):
            rng = random.Random(f"{self._spec.seed}/{identity}/{index}/{phrase}")
            box_width, box_height = width * rng.uniform(0.2, 0.5), height * rng.uniform(0.2, 0.5)
            left, top = rng.uniform(0, width - box_width), rng.uniform(0, height - box_height)
            score = rng.uniform(0.5, 0.95)
            boxes.append(Found(index, (left, top, left + box_width, top + box_height), score, score + rng.uniform(0, 0.04)))
        return boxes


def _holds(request: Request, mark: str) -> bool:
    return mark in request.user or bool(request.image_ids and mark in request.image_ids[0])


def _identity(request: Request) -> str:
    return "/".join(request.image_ids or tuple(_digest(pixels_of(image)) for image in request.images))


def _digest(image: Image.Image) -> str:
    probe = image.resize((32, 32), Image.Resampling.NEAREST)
    return hashlib.sha256(f"{image.size}{image.mode}".encode() + probe.tobytes()).hexdigest()[:16]
