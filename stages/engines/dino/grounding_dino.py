"""transformers' zero-shot detectors in the worker: Grounding DINO, MM-Grounding-DINO, OWLv2. Knows phrases, no stage.

Labels are never read back from text (text mode merges them): each phrase's own tokens are known from the start.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from schemas.boxes import clip_box
from schemas.hashed import added
from stages.engines.base import DetectRequest, EngineDead, Found, MissingExtra
from stages.engines.checkpoint import CheckpointSpec, loaded
from stages.engines.dino.heads import HEADS, Head, Pass
from stages.engines.pixels import shrink
from stages.engines.pulse import beat, enter, inherited
from stages.engines.specs import DetectorSpec, Resources

_HANDS = 2  # threads that prepare pictures and make boxes
_AHEAD = 2  # batches prepared, and batches of which boxes are made


class GroundingDinoSpec(CheckpointSpec, DetectorSpec):
    """transformers' Grounding DINO, MM-Grounding-DINO or OWLv2, by the same Auto class."""

    kind: Literal["grounding-dino"]
    batch_size: int = Field(8, gt=0, description="Images a forward pass.")
    batch_by: Literal["order", "size"] = added(
        "order",
        before="order",
        description="How images form batches. size: those of one size together, so that none is padded to another's; faster where the "
        "sizes differ, and an image's boxes no longer depend on its neighbours.",
    )
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels; boxes are scaled back.")
    unhashed = frozenset({"device", "threads", "default_min_score"})
    extra = "grounding-dino"

    def build(self, resources: Resources) -> "GroundingDinoDetector":
        return GroundingDinoDetector(self, resources)


class GroundingDinoDetector:
    """Finds phrases with a local folder's or hub name's weights.

    A phrase that alone exceeds the text limit (Grounding DINO: 253 tokens, OWLv2: 14) is not asked and has no boxes. While the model
    looks at a batch, other threads prepare the pictures of the next and make boxes of what the last one gave.
    Raises: MissingExtra without torch or transformers; ValueError where the checkpoint is no such detector.
    """

    def __init__(self, spec: GroundingDinoSpec, resources: Resources) -> None:  # one signature for all engines
        try:
            import torch  # noqa: F401
            import transformers  # noqa: F401
        except ImportError as error:
            raise MissingExtra(spec.kind, spec.extra) from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grounding-dino")
        self._hands = ThreadPoolExecutor(_HANDS, thread_name_prefix="grounding-dino-pictures")
        self._checkpoint = self._thread.submit(_Checkpoint, spec, self._hands).result()

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        """For each request every box whose mean or maximum score reaches `floor`, by phrase, best first.

        Raises: EngineDead where the device failed.
        """
        enter("queued")
        loop = asyncio.get_running_loop()
        work = await loop.run_in_executor(None, self._checkpoint.begun, tuple(requests), floor)
        return await loop.run_in_executor(self._thread, inherited(self._checkpoint.detect), work)

    async def close(self) -> None:
        """Waits for the call in progress and frees the weights."""
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._hands.shutdown)
        del self._checkpoint


@dataclass
class _Work:
    """A call's batches, those of which the pictures are being prepared, and the boxes that they came to."""

    requests: Sequence[DetectRequest]
    floor: float
    batches: Sequence[Sequence[Pass]]
    prepared: deque[Future[dict[str, Any]]]


class _Checkpoint:
    """Weights, image processor and head. The model is used from one thread only."""

    def __init__(self, spec: GroundingDinoSpec, hands: ThreadPoolExecutor) -> None:
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        self._spec, self._hands = spec, hands
        self._model = loaded(spec, AutoModelForZeroShotObjectDetection)
        self._device = self._model.device
        read: Any = AutoProcessor.from_pretrained
        processor = read(spec.model, revision=spec.revision)
        self._image_processor: Any = processor.image_processor
        family = self._model.config.model_type
        if family not in HEADS:
            raise ValueError(f"{spec.model} is a {family}; this engine runs {', '.join(sorted(HEADS))}")
        self._tokenizer = threading.Lock()  # a tokenizer of the library is one thread's at a time
        self._head: Head = HEADS[family](self._model, processor.tokenizer, self._device)

    def begun(self, requests: Sequence[DetectRequest], floor: float) -> _Work:
        """The call's batches, the pictures of the first ones in work."""
        with self._tokenizer:
            passes = [batched for index, request in enumerate(requests) for batched in self._passes(index, request.phrases)]
        if self._spec.batch_by == "size":  # a picture's passes stay together, in their order
            passes.sort(key=lambda batched: requests[batched.request].image.size)
        batches = [passes[start : start + self._spec.batch_size] for start in range(0, len(passes), self._spec.batch_size)]
        work = _Work(requests, floor, batches, deque())
        for batch in batches[:_AHEAD]:
            work.prepared.append(self._hands.submit(self._pictures, requests, batch))
        return work

    def detect(self, work: _Work) -> list[list[Found]]:
        """Batch after batch; boxes are made of a batch while the next is looked at."""
        import torch

        enter("asking")
        boxes_of: list[list[Found]] = [[] for _ in work.requests]
        finishing: deque[Future[list[tuple[int, list[Found]]]]] = deque()
        try:
            with torch.inference_mode():
                for number, batch in enumerate(work.batches):
                    inputs = work.prepared.popleft().result()
                    for later in work.batches[number + _AHEAD : number + _AHEAD + 1]:
                        work.prepared.append(self._hands.submit(self._pictures, work.requests, later))
                    finishing.append(self._hands.submit(self._finished, work, batch, *self._forward(inputs, batch)))
                    if len(finishing) >= _AHEAD:
                        _take(finishing.popleft(), boxes_of)
            while finishing:
                _take(finishing.popleft(), boxes_of)
        except (torch.AcceleratorError, torch.OutOfMemoryError) as error:
            raise EngineDead(f"{self._spec.model} on {self._device}: {error}") from error
        return boxes_of

    def _passes(self, request: int, phrases: Sequence[str]) -> Iterator[Pass]:
        """Fills one prompt after the other; a phrase costs its tokens and a separator."""
        indices: list[int] = []
        tokens: list[tuple[int, ...]] = []
        for index, phrase in enumerate(phrases):
            ids = self._head.phrase_ids(phrase)
            if not 0 < len(ids) <= self._head.tokens_a_phrase:
                continue
            if sum(len(phrase_tokens) + 1 for phrase_tokens in tokens) + len(ids) + 1 > self._head.max_tokens:
                yield Pass(request, tuple(indices), tuple(tokens))
                indices, tokens = [], []
            indices.append(index)
            tokens.append(ids)
        if tokens:
            yield Pass(request, tuple(indices), tuple(tokens))

    def _pictures(self, requests: Sequence[DetectRequest], batch: Sequence[Pass]) -> dict[str, Any]:
        """The pixels of a batch on the host, in the model's number format; each picture is prepared once."""
        images = [requests[batched.request].image for batched in batch]
        unique = {id(image): image for image in images}
        places = [list(unique).index(id(image)) for image in images]
        pixels = self._image_processor([shrink(image, self._spec.max_pixels) for image in unique.values()], return_tensors="pt")
        inputs = {name: pixels[name] for name in ("pixel_values", "pixel_mask") if name in pixels}
        inputs["pixel_values"] = inputs["pixel_values"].to(self._model.dtype)
        if places != list(range(len(unique))):
            inputs = {name: value[places] for name, value in inputs.items()}
        return {name: value.pin_memory() for name, value in inputs.items()} if self._device.type == "cuda" else inputs

    def _forward(self, inputs: dict[str, Any], batch: Sequence[Pass]) -> tuple[Any, int, Any]:
        """A pass of the model: rows of boxes and chances on their way to the host, in one copy; queries; the copy's event, if any."""
        import torch

        boxes, chances = self._head.forward({name: value.to(self._device, non_blocking=True) for name, value in inputs.items()}, batch)
        packed = torch.cat([boxes.float(), chances], dim=2)
        if self._device.type != "cuda":
            return packed, packed.shape[1], None
        host = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
        host.copy_(packed, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return host, packed.shape[1], event

    def _finished(self, work: _Work, batch: Sequence[Pass], packed: Any, queries: int, copied: Any) -> list[tuple[int, list[Found]]]:
        """Of each pass its request and its boxes."""
        import torch

        if copied is not None:
            copied.synchronize()
        boxes_by_request = []
        with torch.inference_mode():
            for batched, row in zip(batch, packed, strict=True):
                image = work.requests[batched.request].image
                mean, highest = self._head.scores(batched, row[:, 4:])
                boxes = _boxes(batched, image.size, self._head.frame(image), row[:, :4].numpy(), mean.numpy(), highest.numpy(), work.floor)
                boxes_by_request.append((batched.request, boxes))
        return boxes_by_request


def _take(finished: Future[list[tuple[int, list[Found]]]], boxes_by_request: list[list[Found]]) -> None:
    for request, boxes in finished.result():
        boxes_by_request[request].extend(boxes)
    beat()


def _boxes(
    batched: Pass, size: tuple[int, int], frame: tuple[int, int], boxes: np.ndarray, mean: np.ndarray, highest: np.ndarray, floor: float
) -> list[Found]:
    """Boxes of one pass above the floor, clipped to the image. Shapes: boxes (Q, 4), mean and highest (Q, phrases)."""
    columns, queries = ((mean >= floor) | (highest >= floor)).T.nonzero()
    order = np.lexsort((queries, -mean[queries, columns], columns))
    columns, queries = columns[order], queries[order]
    x, y, w, h = boxes[queries].astype(np.float64).T
    width, height = frame
    corners = np.stack([(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height], 1)
    scores = zip(mean[queries, columns].tolist(), highest[queries, columns].tolist(), strict=True)
    kept = []
    for column, corner, (score, score_max) in zip(columns.tolist(), corners.tolist(), scores, strict=True):
        xyxy = clip_box((corner[0], corner[1], corner[2], corner[3]), *size)
        if xyxy is not None:
            kept.append(Found(batched.phrases[column], xyxy, score, score_max))
    return kept
