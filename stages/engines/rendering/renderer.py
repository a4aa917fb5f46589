"""The process that renders: it reads images, cuts and shrinks them, and makes vLLM's finished inputs of them, one job after another.

It holds the tokenizer and the image processor, no weights and no device; it opens no port, and it ends with the process that started it.
What it cannot do, for whatever reason, it leaves to that process, which then says what is wrong.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from schemas.rows import Row
from stages.engines.pixels import Load, LoadedImage, Opened, Picture, shrink
from stages.engines.rendering.channel import receive, send

logger = logging.getLogger(__name__)

READY = -1
_CACHE_GIB = 0.25  # of rendered images that are found again where several questions show the same one


@dataclass(frozen=True)
class Manner:
    """How prompts are made: what of the engine's spec decides it."""

    max_pixels: int | None = None
    chat_template: str | None = None


@dataclass(frozen=True)
class OpenJob:
    """Read these images and hold them under these numbers. Answered with each one's size or problem."""

    load: Load
    rows: Sequence[Any]
    numbers: Sequence[int]

    def done_by(self, renderer: "Renderer") -> list[tuple[int, int] | Row]:
        return [renderer.hold(number, image) for number, image in zip(self.numbers, self.load(self.rows), strict=True)]


@dataclass(frozen=True)
class RenderJob:
    """Make an input of a question."""

    user: str
    system: str | None
    images: tuple[Image.Image | Picture, ...]

    def done_by(self, renderer: "Renderer") -> Any:
        return renderer.render(self)


@dataclass(frozen=True)
class ForgetJob:
    """The images of these numbers are shown no more."""

    numbers: Sequence[int]

    def done_by(self, renderer: "Renderer") -> None:
        for number in self.numbers:
            renderer.held.pop(number, None)


Job = OpenJob | RenderJob | ForgetJob


class Renderer:
    """vLLM's own renderer for an engine's configuration, and the images that are held."""

    def __init__(self, config: Any, manner: Manner, rank: int) -> None:
        import torch
        from vllm.renderers import renderer_from_config

        torch.set_num_threads(1)
        images = config.model_config.multimodal_config
        # Where nothing is hashed vLLM numbers the images of each process by its rank: two processes must not give out one number.
        vars(config.parallel_config).update(_api_process_rank=rank + 1, _api_process_count=rank + 2)
        images.mm_processor_cache_gb = _CACHE_GIB
        self._manner, self._renderer = manner, renderer_from_config(config)
        self.held: dict[int, Image.Image] = {}

    @property
    def num_found_again(self) -> int:
        """How many images of questions were rendered before and found again."""
        cache = self._renderer.mm_processor_cache
        return 0 if cache is None else int(cache.make_stats().hits)

    def hold(self, number: int, loaded: LoadedImage) -> tuple[int, int] | Row:
        """Keep an image that could be read; its size, or why it could not."""
        if loaded.image is None:
            assert loaded.problem is not None, "an image has pixels or a problem"
            return loaded.problem
        self.held[number] = loaded.image
        return loaded.image.size

    def render(self, job: RenderJob) -> Any:
        """The prompt as tokens and prepared images."""
        from vllm.renderers.params import ChatParams

        parts = [self._part(shown) for shown in job.images]
        _, prompts = self._renderer.render_chat([messages_of(job.system, job.user, parts)], ChatParams(**chat_of(self._manner)))
        return prompts[0]

    def _part(self, shown: Image.Image | Picture) -> dict[str, Any]:
        """An image as a part of a message. One that is named by the digest of what it shows is rendered once."""
        if isinstance(shown, Image.Image):
            return {"type": "image_pil", "image_pil": shrink(shown, self._manner.max_pixels)}
        pixels = shrink(shown.cut_of(self._held(shown.opened)), self._manner.max_pixels)
        return {"type": "image_pil", "image_pil": pixels, "uuid": f"{shown.digest}/{self._manner.max_pixels}"}

    def _held(self, opened: Opened) -> Image.Image:
        return self.held[opened.number] if opened.number in self.held else opened.load()


def messages_of(system: str | None, user: str, parts: Sequence[dict[str, Any]]) -> list[Any]:
    """An optional system text, then images before the user's text."""
    messages: list[Any] = [{"role": "user", "content": [*parts, {"type": "text", "text": user}] if parts else user}]
    return [{"role": "system", "content": system}, *messages] if system else messages


def chat_of(manner: Manner) -> dict[str, Any]:
    """What vLLM's ChatParams are made of."""
    template = {"add_generation_prompt": True, "continue_final_message": False}
    return {"chat_template": manner.chat_template, "chat_template_kwargs": template}


def main(end: socket.socket, config: Any, manner: Manner, rank: int) -> None:
    """What the process does: answer jobs until nobody asks any more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is its parent's to handle
    renderer = Renderer(config, manner, rank)
    with contextlib.suppress(EOFError, ConnectionError):  # nobody asks any more
        send(end, (READY, os.getpid()))
        while True:
            (number, job), _ = receive(end)
            send(end, (number, _answer(renderer, job)))


def _answer(renderer: Renderer, job: Job) -> Any:
    """What the job gives; None where whoever asked is to do it again and to raise what is to be raised."""
    try:
        return job.done_by(renderer)
    except Exception:
        logger.debug("a job is left to the process that asked", exc_info=True)
        return None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
