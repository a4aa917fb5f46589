"""The caption's questions by ray.data.llm, in a process and a Ray of its own: `python -m bench.throughput.ray_data_llm`.

Its stages for chat templates and pictures import what vLLM 0.32 has moved (Ray 2.60), so that prompts are made here, once, and images are
decoded in its own workers. The pictures of the first tar warm it up. Those of the second are decoded from when its engine has given an
answer, as ours are: else all of them lie ready when the engine has started. Prints images a second from then to the last answer.
"""

import io
import json
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from transformers import AutoTokenizer

from bench.throughput.inputs import bench_prompt
from bench.throughput.ways import texts_of
from stages.engines.base import Request
from stages.words.domain import ANY_DOMAIN

_BATCH = 8  # rows that its engine's worker takes at once, eight such batches together: fewer than its 32 wait for one another


def main(model: str, warm_up: Path, tar: Path, words: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of(warm_up)[:_BATCH]
        answered = answers(model, [*rows, *rows_of(tar)], len(rows), words, Path(folder) / "is-up")
    timed = [row for row in answered if row["number"] >= len(rows)]
    seconds = max(row["ended"] for row in timed) - min(row["ended"] for row in answered if row["number"] < len(rows))
    print(json.dumps({"images_s": len(timed) / seconds, "images": len(timed)}))


def rows_of(tar: Path) -> list[dict[str, Any]]:
    with tarfile.open(tar) as opened:
        return [{"content": content.read()} for member in opened if (content := opened.extractfile(member))]


def answers(model: str, rows: list[dict[str, Any]], num_first: int, words: int, mark: Path) -> list[dict[str, Any]]:
    """What each row was answered, and when. Rows from `num_first` on wait for the file `mark`, which an answer to an earlier one makes."""
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    prompt = bench_prompt("caption", words)
    system, user = prompt.render({"alt": None, "domain": ANY_DOMAIN})
    settings = {"max_tokens": prompt.decoding.max_tokens, "temperature": 0.0, "structured_outputs": {"json": dict(prompt.answer_schema)}}
    request = Request(user, system, images=(PillowImage.new("RGB", (8, 8)),))
    text = texts_of([request], AutoTokenizer.from_pretrained(model))[user]

    def asked(row: dict[str, Any]) -> dict[str, Any]:
        while row["number"] >= num_first and not mark.exists():
            time.sleep(0.01)
        image = PillowImage.open(io.BytesIO(row["content"])).convert("RGB")
        return {"number": row["number"], "prompt": text, "multimodal_data": {"image": image}, "sampling_params": settings}

    def answered(row: dict[str, Any]) -> dict[str, Any]:
        mark.touch()
        return {"number": row["number"], "text": row["generated_text"], "ended": time.time()}

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    config = vLLMEngineProcessorConfig(
        model_source=model,
        engine_kwargs={
            "max_model_len": 4096,
            "max_num_seqs": 16,
            "enforce_eager": True,
            "enable_prefix_caching": False,
            "enable_chunked_prefill": False,
            "mm_processor_cache_gb": 0,
            "limit_mm_per_prompt": {"image": 1},
        },
        batch_size=_BATCH,
        concurrency=1,
        accelerator_type=None,
        placement_group_config={"bundles": [{"CPU": 1}]},
        log_engine_metrics=False,
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
    )
    process = build_processor(config, preprocess=asked, postprocess=answered)
    numbered = [{"number": number, **row} for number, row in enumerate(rows)]
    done: list[dict[str, Any]] = process(ray.data.from_items(numbered, override_num_blocks=-(-len(rows) // _BATCH))).take_all()
    return done


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
