"""vLLM's AsyncLLM in the worker: continuous batching over all units in flight. Knows requests, no stage and no Ray.

Prompts and images go through vLLM's own renderer, so that this engine and `vllm serve` build the same prompt.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import jinja2
from pydantic import Field

from schemas.rows import Row
from stages.engines import vllm_cpu
from stages.engines.base import Answer, EngineDead, MissingExtra, Request
from stages.engines.grammar import schema_grammar
from stages.engines.pixels import Load, Opened, shrink
from stages.engines.pulse import beat
from stages.engines.rendering.pool import Renderers
from stages.engines.rendering.renderer import Manner, chat_of, messages_of
from stages.engines.specs import GeneratorSpec, ModelSpec, Resources

logger = logging.getLogger(__name__)

_TOO_LONG = ("maximum context length", "maximum model length")


class VllmSpec(ModelSpec, GeneratorSpec):
    """vLLM's AsyncLLM inside the worker."""

    kind: Literal["vllm"]
    quantization: str | None = Field(None, description="vLLM's quantization method; null: as the checkpoint says.")
    max_model_len: int | None = Field(None, gt=0, description="Context length in tokens; null: the model's own.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels before they are sent.")
    chat_template: str | None = Field(None, description="Jinja text that replaces the model's own template.")
    enforce_eager: bool = Field(False, description="Skip graph capture: slower answers, faster start.")
    max_num_seqs: int | None = Field(None, gt=0, description="Sequences decoded together; null: vLLM's default.")
    engine_args: Mapping[str, Any] = Field(default_factory=dict, description="Further AsyncEngineArgs, hashed as written.")
    unhashed = frozenset({"enforce_eager", "max_num_seqs"})
    package = "vllm"
    extra = "vllm"

    def build(self, resources: Resources) -> "VllmGenerator":
        return VllmGenerator(self, resources)


class VllmGenerator:
    """Answers from one engine process; the constructor starts it (20 s and more) and must not run under a loop it may not block.

    image_ids are not handed to vLLM, which takes them for the content: two shards may use one key, and the second
    image would get the first one's answer. vLLM hashes the pixels itself. Its cache of prepared images is off, since
    most images are asked once; `engine_args: {mm_processor_cache_gb: 4}` turns it on.
    Raises: MissingExtra without vllm; EngineDead where the engine does not start.
    """

    def __init__(self, spec: VllmSpec, resources: Resources) -> None:
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise MissingExtra(spec.kind, spec.extra) from error
        is_cpu = bool(current_platform.is_cpu())
        self._spec = spec
        self._numbers = itertools.count()
        try:
            arguments = AsyncEngineArgs(**_engine_args(spec, resources, is_cpu))
            self._engine: Any = vllm_cpu.start(arguments) if is_cpu else AsyncLLM.from_engine_args(arguments)
        except RuntimeError as error:
            raise EngineDead(f"vLLM did not start {spec.model}: {error}") from error
        self._reads_images = bool(self._engine.model_config.is_multimodal_model)
        self._manner = Manner(spec.max_pixels, spec.chat_template)
        self.renderers = self._door(resources.num_renderers) if self._reads_images else None
        seats = int(self._engine.vllm_config.scheduler_config.max_num_seqs)
        self._seats = asyncio.Semaphore(seats + max(2, seats // 4))  # a few wait in the engine for a place to be free

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer each, in order; all are in flight together.

        Raises: EngineDead where the engine's process has died.
        """
        return await self.generate_each(requests)

    async def generate_each(self, requests: Iterable[Request]) -> list[Answer]:
        """The same of requests that are made one after another; the loop goes on between them."""
        asked: list[asyncio.Task[Answer]] = []
        try:
            for request in requests:
                asked.append(asyncio.create_task(self._answer(request)))
                await asyncio.sleep(0)
            return [*await asyncio.gather(*asked)]
        except BaseException:
            for task in asked:
                task.cancel()
            raise

    @property
    def vllm_config(self) -> Any:
        """The engine's whole configuration, as vLLM has it."""
        return self._engine.vllm_config

    async def open(self, load: Load, rows: Sequence[Any], digests: Sequence[str]) -> list[Opened | Row] | None:
        """The images of these rows opened by the renderers, or why one cannot be; None where there are no renderers for it."""
        return None if self.renderers is None else await self.renderers.open(load, rows, digests)

    def forget(self, opened: Sequence[Opened]) -> None:
        """Let the renderers let go of images that are shown no more."""
        if self.renderers is not None:
            self.renderers.forget(opened)

    async def close(self) -> None:
        """Ends the engine's process; on the loop's own thread, since the engine's reader runs there and must end first."""
        if self.renderers is not None:
            await self.renderers.close()
        self._engine.shutdown()
        del self._engine

    def _door(self, num: int) -> Renderers | None:
        """The renderers, where there are to be any and this vLLM takes finished inputs."""
        if not num:
            return None
        try:
            from vllm.renderers import renderer_from_config  # noqa: F401
        except ImportError:
            logger.warning("this vLLM takes no finished inputs: images are rendered in its own process, as without renderers")
            return None
        return Renderers(self._engine.vllm_config, self._manner, num)

    async def _answer(self, request: Request) -> Answer:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        if request.images and not self._reads_images:
            return Answer(error="unsupported", detail=f"{self._spec.model} reads no images")
        try:
            output = await (self._asked_ahead if request.images and self.renderers else self._asked_here)(request)
        except EngineDeadError as error:
            raise EngineDead(f"vLLM's engine for {self._spec.model} died: {error}") from error
        except EngineGenerateError as error:
            if self._engine.errored:
                raise EngineDead(f"vLLM's engine for {self._spec.model} died: {error.__cause__}") from error
            return Answer(error="bad_request", detail=str(error.__cause__)[:500])
        except (VLLMClientError, ValueError, TypeError, jinja2.TemplateError) as error:
            is_too_long = any(text in str(error) for text in _TOO_LONG)
            return Answer(error="context_window" if is_too_long else "bad_request", detail=str(error)[:500])
        beat()
        return _answer_of(output)

    async def _asked_here(self, request: Request) -> Any:
        return await self._asked(await self._render(request), request)

    async def _asked_ahead(self, request: Request) -> Any:
        """Rendered by another process before the engine has a place for it; by this one while no renderer is ready."""
        renderers = self.renderers
        assert renderers is not None, "asked only where there are some"
        renderers.start()
        await renderers.ahead.enter()
        try:
            rendered = await renderers.render(request)
            if rendered is not None:
                prompt, num_bytes = rendered
                renderers.ahead.learn(num_bytes)
            else:
                prompt = await self._render(request)
            await self._seats.acquire()
        finally:
            renderers.ahead.leave()
        try:
            return await self._asked(prompt, request)
        finally:
            self._seats.release()

    async def _asked(self, prompt: Any, request: Request) -> Any:
        """The engine's last word on a finished input."""
        name = f"fgdata-{next(self._numbers)}"
        return [output async for output in self._engine.generate(prompt, self._sampling(request), name)][-1]

    async def _render(self, request: Request) -> Any:
        """The prompt as tokens and prepared images, made in this process."""
        from vllm.renderers.params import ChatParams

        images = [await asyncio.to_thread(shrink, image, self._spec.max_pixels) for image in request.images]
        parts: list[dict[str, Any]] = [{"type": "image_pil", "image_pil": image} for image in images]
        messages = messages_of(request.system, request.user, parts)
        _, prompts = await self._engine.renderer.render_chat_async([messages], ChatParams(**chat_of(self._manner)))
        return prompts[0]

    def _sampling(self, request: Request) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

        decoding, schema = request.decoding, request.answer_schema
        return SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_tokens,
            seed=request.seed % 2**63,
            structured_outputs=None if schema is None else StructuredOutputsParams(grammar=schema_grammar(schema)),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def _engine_args(spec: VllmSpec, resources: Resources, is_cpu: bool) -> dict[str, Any]:
    """AsyncEngineArgs by name; the spec's own `engine_args` win.

    Prompts are not split on a CPU: the step that holds a part of a prompt rewinds the generator of its seed, which torch's CPU
    generators refuse ("CPU Generator does not use offset"), and the engine dies (vLLM 0.32).
    """
    named: Mapping[str, Any] = {
        "model": spec.model,
        "revision": spec.revision,
        "dtype": spec.dtype,
        "quantization": spec.quantization,
        "max_model_len": spec.max_model_len,
        "max_num_seqs": spec.max_num_seqs,
        "enforce_eager": spec.enforce_eager,
        "tensor_parallel_size": resources.tensor_parallel,
        "gpu_memory_utilization": resources.gpu_memory_share,
        "mm_processor_cache_gb": 0,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "disable_log_stats": True,
        "enable_chunked_prefill": False if is_cpu else None,
    }
    return {name: value for name, value in named.items() if value is not None} | dict(spec.engine_args)


def _answer_of(output: Any) -> Answer:
    completion = output.outputs[0]
    counts = (len(output.prompt_token_ids or ()), len(completion.token_ids))
    if completion.finish_reason == "stop":
        return Answer(completion.text, "stop", None, None, *counts)
    if completion.finish_reason == "length":
        return Answer(completion.text, "length", "truncated", f"no end within {counts[1]} tokens", *counts)
    return Answer(completion.text, None, "bad_request", f"ended as {completion.finish_reason}", *counts)
