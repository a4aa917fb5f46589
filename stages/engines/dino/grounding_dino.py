"""transformers' zero-shot detectors in the worker: Grounding DINO, MM-Grounding-DINO, OWLv2. Knows phrases, no stage.

Labels are never read back from text (text mode merges them): each phrase's own tokens are known from the start.
"""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from PIL import Image
from pydantic import Field

from schemas.boxes import clip_box
from stages.engines.base import DetectRequest, EngineDead, Found, MissingExtra
from stages.engines.pixels import shrink
from stages.engines.pulse import beat, enter, inherited
from stages.engines.specs import DetectorSpec, ModelSpec, Resources

_OWL_TEXT_TOKENS = 16


class GroundingDinoSpec(ModelSpec, DetectorSpec):
    """transformers' Grounding DINO, MM-Grounding-DINO or OWLv2, by the same Auto class."""

    kind: Literal["grounding-dino"]
    batch_size: int = Field(8, gt=0, description="Images a forward pass.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels; boxes are scaled back.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 ...")
    threads: int | None = Field(None, gt=0, description="CPU threads of torch; null: torch's own choice.")
    unhashed = frozenset({"device", "threads", "default_min_score"})
    package = "transformers"
    extra = "grounding-dino"

    def build(self, resources: Resources) -> "GroundingDinoDetector":
        return GroundingDinoDetector(self, resources)


class GroundingDinoDetector:
    """Finds phrases with a local folder's or hub name's weights.

    A phrase that alone exceeds the text limit (Grounding DINO: 253 tokens, OWLv2: 14) is not asked and has no boxes.
    Raises: MissingExtra without torch or transformers; ValueError where the checkpoint is no such detector.
    """

    def __init__(self, spec: GroundingDinoSpec, resources: Resources) -> None:  # one signature for all engines
        try:
            import torch  # noqa: F401
            import transformers  # noqa: F401
        except ImportError as error:
            raise MissingExtra(spec.kind, spec.extra) from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grounding-dino")
        self._checkpoint = self._thread.submit(_Checkpoint, spec).result()

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        """For each request every box whose mean or maximum score reaches `floor`, by phrase, best first.

        Raises: EngineDead where the device failed.
        """
        enter("queued")
        return await asyncio.get_running_loop().run_in_executor(self._thread, inherited(self._checkpoint.detect), tuple(requests), floor)

    async def close(self) -> None:
        """Waits for the call in progress and frees the weights."""
        await asyncio.to_thread(self._thread.shutdown)
        del self._checkpoint


@dataclass(frozen=True)
class _Pass:
    """Part of one request's phrases: what fits into one prompt. `tokens` are each phrase's ids without separators."""

    request: int
    phrases: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]


class _Head(Protocol):
    """What differs between the families: how phrases become a prompt and queries become scores."""

    max_tokens: int
    tokens_a_phrase: int

    def phrase_ids(self, phrase: str) -> tuple[int, ...]: ...

    def forward(self, images: Any, batch: Sequence[_Pass]) -> tuple[Any, list[tuple[Any, Any]]]:
        """Boxes (rows, queries, 4) as centre and size, and for each row mean and maximum scores (queries, phrases)."""
        ...

    def frame(self, image: Image.Image) -> tuple[int, int]:
        """Width and height in pixels of what boxes are shares of."""
        ...


class _Checkpoint:
    """Weights, image processor and head; used from one thread only."""

    def __init__(self, spec: GroundingDinoSpec) -> None:
        import torch
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        if spec.threads is not None:
            torch.set_num_threads(spec.threads)
        self._spec = spec
        self._device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if spec.device == "auto" else spec.device)
        dtype = "float32" if spec.dtype == "auto" and self._device.type == "cpu" else spec.dtype
        load: Any = AutoModelForZeroShotObjectDetection.from_pretrained
        self._model = load(spec.model, revision=spec.revision, dtype=dtype)
        self._model.eval().to(self._device)
        read: Any = AutoProcessor.from_pretrained
        processor = read(spec.model, revision=spec.revision)
        self._image_processor: Any = processor.image_processor
        family = self._model.config.model_type
        if family not in _HEADS:
            raise ValueError(f"{spec.model} is a {family}; this engine runs {', '.join(sorted(_HEADS))}")
        self._head: _Head = _HEADS[family](self._model, processor.tokenizer, self._device)

    def detect(self, requests: tuple[DetectRequest, ...], floor: float) -> list[list[Found]]:
        """Passes in the requests' order, `batch_size` at a time."""
        import torch

        enter("asking")
        passes = [one for index, request in enumerate(requests) for one in self._passes(index, request.phrases)]
        found: list[list[Found]] = [[] for _ in requests]
        try:
            with torch.inference_mode():
                for start in range(0, len(passes), self._spec.batch_size):
                    batch = passes[start : start + self._spec.batch_size]
                    for one, boxes in zip(batch, self._run(requests, batch, floor), strict=True):
                        found[one.request].extend(boxes)
                    beat()
        except (torch.AcceleratorError, torch.OutOfMemoryError) as error:
            raise EngineDead(f"{self._spec.model} on {self._device}: {error}") from error
        return found

    def _passes(self, request: int, phrases: Sequence[str]) -> Iterator[_Pass]:
        """Fills one prompt after the other; a phrase costs its tokens and a separator."""
        indices: list[int] = []
        tokens: list[tuple[int, ...]] = []
        for index, phrase in enumerate(phrases):
            ids = self._head.phrase_ids(phrase)
            if not 0 < len(ids) <= self._head.tokens_a_phrase:
                continue
            if sum(len(one) + 1 for one in tokens) + len(ids) + 1 > self._head.max_tokens:
                yield _Pass(request, tuple(indices), tuple(tokens))
                indices, tokens = [], []
            indices.append(index)
            tokens.append(ids)
        if tokens:
            yield _Pass(request, tuple(indices), tuple(tokens))

    def _run(self, requests: Sequence[DetectRequest], batch: Sequence[_Pass], floor: float) -> list[list[Found]]:
        images = [requests[one.request].image for one in batch]
        unique = {id(image): image for image in images}
        places = [list(unique).index(id(image)) for image in images]
        pixels = self._image_processor([shrink(image, self._spec.max_pixels) for image in unique.values()], return_tensors="pt")
        inputs = {name: value[places].to(self._device) for name, value in pixels.items() if name in ("pixel_values", "pixel_mask")}
        inputs["pixel_values"] = inputs["pixel_values"].to(self._model.dtype)
        boxes, scores = self._head.forward(inputs, batch)
        return [
            _found(one, image, self._head.frame(image), row_boxes.float().cpu(), mean.cpu(), highest.cpu(), floor)
            for one, image, row_boxes, (mean, highest) in zip(batch, images, boxes, scores, strict=True)
        ]


def _found(one: _Pass, image: Image.Image, frame: tuple[int, int], boxes: Any, mean: Any, highest: Any, floor: float) -> list[Found]:
    """Boxes of one pass above the floor, clipped to the image. Shapes: boxes (Q, 4), mean and highest (Q, phrases)."""
    width, height = frame
    found = []
    for column, phrase in enumerate(one.phrases):
        kept = ((mean[:, column] >= floor) | (highest[:, column] >= floor)).nonzero().flatten().tolist()
        for query in sorted(kept, key=lambda q: (-float(mean[q, column]), q)):
            x, y, w, h = boxes[query].tolist()
            corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            xyxy = clip_box(corners, image.width, image.height)
            if xyxy is not None:
                found.append(Found(phrase, xyxy, float(mean[query, column]), float(highest[query, column])))
    return found


class _Dino:
    """One prompt "a . b ." a row; a phrase's score is the mean over its own tokens of the sigmoid (span mode)."""

    def __init__(self, model: Any, tokenizer: Any, device: Any) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        config = model.config
        self.max_tokens = min(config.max_text_len, config.text_config.max_position_embeddings) - 2
        self.tokens_a_phrase = self.max_tokens - 1
        self._dot = int(tokenizer.convert_tokens_to_ids("."))

    def phrase_ids(self, phrase: str) -> tuple[int, ...]:
        """Full stops and question marks separate phrases in this model, so that they may not stand inside one."""
        plain = phrase.lower().replace(".", " ").replace("?", " ")
        return tuple(self._tokenizer(plain, add_special_tokens=False)["input_ids"])

    def forward(self, images: Any, batch: Sequence[_Pass]) -> tuple[Any, list[tuple[Any, Any]]]:
        import torch

        prompts, spans = zip(*(self._prompt(one) for one in batch), strict=True)
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            mask[row, : len(prompt)] = 1
        text = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        output = self._model(**images, **{name: value.to(self._device) for name, value in text.items()})
        chances = output.logits.float().sigmoid()
        scores = []
        for row, columns in enumerate(spans):
            parts = [chances[row, :, first:last] for first, last in columns]
            scores.append((torch.stack([p.mean(dim=1) for p in parts], 1), torch.stack([p.amax(dim=1) for p in parts], 1)))
        return output.pred_boxes, scores

    def frame(self, image: Image.Image) -> tuple[int, int]:
        return image.size

    def _prompt(self, one: _Pass) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and each phrase's first and last position (exclusive) among them."""
        ids = [int(self._tokenizer.cls_token_id)]
        spans = []
        for tokens in one.tokens:
            spans.append((len(ids), len(ids) + len(tokens)))
            ids += [*tokens, self._dot]
        return [*ids, int(self._tokenizer.sep_token_id)], spans


class _Owl:
    """One text query a phrase; mean and maximum are the same score. OWLv2 pads images to squares, OWL-ViT does not."""

    def __init__(self, model: Any, tokenizer: Any, device: Any) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self.max_tokens = 2**31
        self.tokens_a_phrase = min(_OWL_TEXT_TOKENS, model.config.text_config.max_position_embeddings) - 2

    def phrase_ids(self, phrase: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(phrase.lower(), add_special_tokens=False)["input_ids"])

    def forward(self, images: Any, batch: Sequence[_Pass]) -> tuple[Any, list[tuple[Any, Any]]]:
        import torch

        most = max(len(one.phrases) for one in batch)
        length = self.tokens_a_phrase + 2
        ids = torch.zeros((len(batch), most, length), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(batch):
            for column, tokens in enumerate(one.tokens):
                query = [int(self._tokenizer.bos_token_id), *tokens, int(self._tokenizer.eos_token_id)]
                ids[row, column, : len(query)] = torch.tensor(query)
                mask[row, column, : len(query)] = 1
        text = {"input_ids": ids.flatten(0, 1), "attention_mask": mask.flatten(0, 1)}
        output = self._model(**images, **{name: value.to(self._device) for name, value in text.items()})
        chances = output.logits.float().sigmoid()
        scores = [(chances[row, :, : len(one.phrases)],) * 2 for row, one in enumerate(batch)]
        return output.pred_boxes, scores

    def frame(self, image: Image.Image) -> tuple[int, int]:
        side = max(image.size)
        return (side, side) if self._model.config.model_type == "owlv2" else image.size


_HEADS: dict[str, type[_Dino] | type[_Owl]] = {"grounding-dino": _Dino, "mm-grounding-dino": _Dino, "owlv2": _Owl, "owlvit": _Owl}
