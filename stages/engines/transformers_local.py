"""transformers in the worker: image-text and text checkpoints, CPU or GPU. Knows requests, no stage.

Batches are formed within one call, in an order that is a function of the call, so that the same unit gives the same bytes.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import jinja2
from pydantic import Field

from stages.engines.base import Answer, EngineDead, MissingExtra, Request
from stages.engines.checkpoint import CheckpointSpec, loaded
from stages.engines.grammar import schema_grammar
from stages.engines.pixels import shrink
from stages.engines.pulse import beat, enter, inherited
from stages.engines.specs import GeneratorSpec, Resources


class TransformersSpec(CheckpointSpec, GeneratorSpec):
    """transformers in the worker, CPU or GPU; batches are formed within a unit, in fixed order."""

    kind: Literal["transformers"]
    batch_size: int = Field(16, gt=0, description="Sequences generated together. Hashed: padding moves the last bit.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels.")
    chat_template: str | None = Field(None, description="Jinja text that replaces the model's own template.")
    extra = "transformers"

    def build(self, resources: Resources) -> "TransformersGenerator":
        return TransformersGenerator(self, resources)


class TransformersGenerator:
    """Answers from a local folder or hub name; the checkpoint's configuration says whether it reads images.

    Raises: MissingExtra without torch, transformers or xgrammar; ValueError where the checkpoint has no chat template, or its
    processor needs a package of its own (Qwen2.5-VL and SmolVLM2 read videos and want torchvision for it).
    """

    def __init__(self, spec: TransformersSpec, resources: Resources) -> None:  # one signature for all engines
        try:
            import torch  # noqa: F401
            import transformers  # noqa: F401
            import xgrammar  # noqa: F401
        except ImportError as error:
            raise MissingExtra(spec.kind, spec.extra) from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")
        self._checkpoint = self._thread.submit(_Checkpoint, spec).result()

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer each, in order, computed in the engine's own thread.

        Raises: EngineDead where the device failed.
        """
        enter("queued")
        return await asyncio.get_running_loop().run_in_executor(self._thread, inherited(self._checkpoint.answer), tuple(requests))

    async def close(self) -> None:
        """Waits for the call in progress and frees the weights."""
        await asyncio.to_thread(self._thread.shutdown)
        del self._checkpoint


class _Checkpoint:
    """Weights, processor and grammar compiler; used from one thread only."""

    def __init__(self, spec: TransformersSpec) -> None:
        import xgrammar
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        self._spec = spec
        config = AutoConfig.from_pretrained(spec.model, revision=spec.revision)
        self.reads_images = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        self._model = loaded(spec, AutoModelForImageTextToText if self.reads_images else AutoModelForCausalLM)
        self._device = self._model.device
        reader = AutoProcessor if self.reads_images else AutoTokenizer
        try:
            self._reader: Any = reader.from_pretrained(spec.model, revision=spec.revision)
        except ImportError as error:
            raise ValueError(f"{spec.model} needs more packages for its images or videos: {' '.join(str(error).split())}") from error
        self._tokenizer: Any = self._reader.tokenizer if self.reads_images else self._reader
        self._tokenizer.padding_side = "left"
        if spec.chat_template is None and not (self._reader.chat_template or self._tokenizer.chat_template):
            raise ValueError(f"{spec.model} brings no chat template: give one as chat_template, or use an instruction-tuned checkpoint")
        self._context = int(config.get_text_config().max_position_embeddings)
        self._stop_ids = _stop_ids(self._model, self._tokenizer)
        self._pad_id = int(self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else self._stop_ids[0])
        self._tokenizer.pad_token_id = self._pad_id
        self._vocab_size = int(self._model.get_output_embeddings().weight.shape[0])
        info = xgrammar.TokenizerInfo.from_huggingface(self._tokenizer, vocab_size=self._vocab_size, stop_token_ids=self._stop_ids)
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_limit_bytes=512 * 2**20)

    def answer(self, requests: tuple[Request, ...]) -> list[Answer]:
        """One answer each. Batches hold equal numbers of images, shortest texts first, ties in the call's order."""
        enter("asking")
        answers: dict[int, Answer] = {}
        for index, request in enumerate(requests):
            if request.images and not self.reads_images:
                answers[index] = Answer(error="unsupported", detail=f"{self._spec.model} reads no images")
        live = sorted(set(range(len(requests))) - set(answers), key=lambda i: (len(requests[i].images), len(requests[i].user), i))
        for _, same in itertools.groupby(live, key=lambda i: len(requests[i].images)):
            for batch in _batched(same, self._spec.batch_size):
                answers.update(zip(batch, self._answer_batch([requests[i] for i in batch]), strict=True))
                beat()
        return [answers[index] for index in range(len(requests))]

    def _answer_batch(self, batch: Sequence[Request]) -> list[Answer]:
        """Encodes and decodes; where a row cannot be encoded or is too long, it is answered so and the rest goes on."""
        try:
            inputs = self._encode(batch)
            grammars = [self._grammar(request) for request in batch]
        except (ValueError, TypeError, jinja2.TemplateError) as error:
            if len(batch) == 1:
                return [Answer(error="bad_request", detail=f"{type(error).__name__}: {error}"[:500])]
            return [answer for request in batch for answer in self._answer_batch([request])]
        lengths = [int(length) for length in inputs["attention_mask"].sum(dim=1)]
        fits = [length < self._context for length in lengths]
        if all(fits):
            return self._decode(batch, inputs, lengths, grammars)
        rest = iter(self._answer_batch([request for request, fit in zip(batch, fits, strict=True) if fit]) if any(fits) else [])
        return [next(rest) if fit else self._too_long(length) for fit, length in zip(fits, lengths, strict=True)]

    def _too_long(self, length: int) -> Answer:
        return Answer(error="context_window", detail=f"{length} prompt tokens, context {self._context}", prompt_tokens=length)

    def _encode(self, batch: Sequence[Request]) -> Any:
        texts = [self._prompt(request) for request in batch]
        options = {"return_tensors": "pt", "padding": True, "add_special_tokens": False}
        if not batch[0].images:
            return self._tokenizer(texts, **options).to(self._device)
        images = [[shrink(image, self._spec.max_pixels) for image in request.images] for request in batch]
        return self._reader(text=texts, images=images, **options).to(self._device, dtype=self._model.dtype)

    def _prompt(self, request: Request) -> str:
        """The templated text. Image-text templates want lists of parts also where there is text alone."""
        parts: Any = [*({"type": "image"} for _ in request.images), {"type": "text", "text": request.user}]
        messages = [{"role": "user", "content": parts if self.reads_images else request.user}]
        if request.system:
            system: Any = [{"type": "text", "text": request.system}] if self.reads_images else request.system
            messages.insert(0, {"role": "system", "content": system})
        template = {"chat_template": self._spec.chat_template} if self._spec.chat_template else {}
        source = self._reader if self._reader.chat_template else self._tokenizer
        return str(source.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **template))

    def _grammar(self, request: Request) -> Any:
        return None if request.answer_schema is None else self._compiler.compile_grammar(schema_grammar(request.answer_schema))

    def _decode(self, batch: Sequence[Request], inputs: Any, lengths: Sequence[int], grammars: Sequence[Any]) -> list[Answer]:
        import torch
        import transformers

        from stages.engines.transformers_decoding import RowsClosed, RowState, TokenChooser

        rows = [
            RowState(request.decoding, min(request.decoding.max_tokens, self._context - length), request.seed, grammar)
            for request, length, grammar in zip(batch, lengths, grammars, strict=True)
        ]
        library: Any = transformers
        config = library.GenerationConfig(
            do_sample=False, max_new_tokens=max(row.limit for row in rows), pad_token_id=self._pad_id, eos_token_id=self._stop_ids
        )
        self._model.generation_config = config
        chooser = TokenChooser(rows, self._vocab_size, self._stop_ids, self._pad_id)
        try:
            with torch.inference_mode():
                self._model.generate(**inputs, generation_config=config, logits_processor=[chooser], stopping_criteria=[RowsClosed(rows)])
        except (torch.AcceleratorError, torch.OutOfMemoryError) as error:
            raise EngineDead(f"{self._spec.model} on {self._device}: {error}") from error
        return [self._finish(row, length) for row, length in zip(rows, lengths, strict=True)]

    def _finish(self, row: Any, length: int) -> Answer:
        text = self._tokenizer.decode(row.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if row.is_stopped:
            return Answer(text, "stop", prompt_tokens=length, completion_tokens=len(row.tokens))
        detail = f"no end within {row.limit} tokens"
        return Answer(text, "length", "truncated", detail, prompt_tokens=length, completion_tokens=len(row.tokens))


def _stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's, and all that the checkpoint's generation configuration names."""
    named = model.generation_config.eos_token_id
    ids = [tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    return sorted({int(id_) for id_ in ids if id_ is not None})


def _batched(indices: Iterator[int], size: int) -> Iterator[tuple[int, ...]]:
    while batch := tuple(itertools.islice(indices, size)):
        yield batch
