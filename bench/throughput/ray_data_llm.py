"""The caption's questions by ray.data.llm, in a process and a Ray of its own: `python -m bench.throughput.ray_data_llm MODEL TAR WORDS`.

Its stages for chat templates and pictures import what vLLM 0.32 has moved (Ray 2.60), so that prompts are made here, once, and images are
decoded in its own workers. Prints images a second from when its engine gets the first question to the last answer: the engine's start
is not counted, nor the pictures that are decoded meanwhile. All questions are in flight at once, so that a clock that starts with the
first answers would leave out most of the work.
"""

import io
import json
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from transformers import AutoTokenizer

from bench.throughput.inputs import bench_prompt
from bench.throughput.ways import texts_of
from stages.engines.base import Request
from stages.words.domain import ANY_DOMAIN

_BATCH = 8


def main(model: str, tar: Path, words: int) -> None:
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    prompt = bench_prompt("caption", words)
    system, user = prompt.render({"alt": None, "domain": ANY_DOMAIN})
    settings = {"max_tokens": prompt.decoding.max_tokens, "temperature": 0.0, "structured_outputs": {"json": dict(prompt.answer_schema)}}

    request = Request(user, system, images=(PillowImage.new("RGB", (8, 8)),))
    text = texts_of([request], AutoTokenizer.from_pretrained(model))[user]

    def asked(row: dict[str, Any]) -> dict[str, Any]:
        image = PillowImage.open(io.BytesIO(row["content"])).convert("RGB")
        return {"prompt": text, "multimodal_data": {"image": image}, "sampling_params": settings}

    def answered(row: dict[str, Any]) -> dict[str, Any]:
        return {"text": row["generated_text"], "ended": time.time(), "took_s": row["time_taken_llm"]}

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
    with tarfile.open(tar) as opened:
        rows = [{"key": member.name, "content": content.read()} for member in opened if (content := opened.extractfile(member))]
    answered_rows = process(ray.data.from_items(rows, override_num_blocks=-(-len(rows) // _BATCH))).take_all()
    began = min(row["ended"] - row["took_s"] for row in answered_rows)
    print(json.dumps({"images_s": len(answered_rows) / (max(row["ended"] for row in answered_rows) - began), "images": len(answered_rows)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
