"""A stage's questions by ray.data.llm, in a process and a Ray of its own: `bench.throughput.ray_data_llm STAGE MODEL TAR TAR WORDS`.

Its stages for chat templates and pictures import what vLLM 0.32 has moved (Ray 2.60), so that prompts are made here, once, and images are
decoded in its own workers. The first tar warms it up: the questions about the second wait until its engine has given an answer, as it
starts while they would be decoded. Prints images a second from then to the last answer, and the answers' tokens.
"""

import io
import itertools
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
from bench.throughput.ways import BLANK, Job, texts_of
from stages.engines.base import Request
from stages.engines.grammar import schema_grammar

_BATCH = 32  # its default


def main(stage: str, model: str, warm_up: Path, tar: Path, words: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = Job(stage, bench_prompt(stage, words), [warm_up, tar], Path(folder))
        questions: dict[str, Request] = {}
        first = [*itertools.islice(itertools.cycle(rows_of(job, warm_up, questions)), _BATCH)]
        rows = [{"number": number, **row} for number, row in enumerate([*first, *rows_of(job, tar, questions)])]
        texts = texts_of([*questions.values()], AutoTokenizer.from_pretrained(model))
        done = answers(model, rows, len(first), asked_as(questions, texts), Path(folder) / "is-up")
    timed = [row for row in done if row["number"] >= len(first)]
    seconds = max(row["ended"] for row in timed) - min(row["ended"] for row in done if row["number"] < len(first))
    images = len({row["key"] for row in timed})
    print(
        json.dumps({"images_s": images / seconds, "images": images, "answers": len(timed), "tokens": sum(row["tokens"] for row in timed)})
    )


def rows_of(job: Job, tar: Path, questions: dict[str, Request]) -> list[dict[str, Any]]:
    """One row a question, with the image's bytes where it is shown. Puts each distinct question into `questions` by its text."""
    rows = []
    with tarfile.open(tar) as opened:
        for member in opened:
            content = opened.extractfile(member)
            assert content is not None, "only files are in it"
            key, data = member.name.removesuffix(".jpg"), content.read()
            for request in job.requests(key, None if job.name == "hard_negative" else BLANK):
                rows.append({"key": key, "user": request.user, "content": data if request.images else None})
                questions[request.user] = request
    return rows


def asked_as(questions: dict[str, Request], texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    """User text -> prompt and sampling parameters, with the grammar that the stage's engine is given."""
    return {
        user: {
            "prompt": texts[user],
            "sampling_params": {
                "max_tokens": request.decoding.max_tokens,
                "temperature": request.decoding.temperature,
                "structured_outputs": {"grammar": schema_grammar(request.answer_schema or {})},
            },
        }
        for user, request in questions.items()
    }


def answers(
    model: str, rows: list[dict[str, Any]], num_first: int, questions: dict[str, dict[str, Any]], mark: Path
) -> list[dict[str, Any]]:
    """When each row was answered. Rows from `num_first` on wait for the file `mark`, which an answer to an earlier one makes."""
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    def asked(row: dict[str, Any]) -> dict[str, Any]:
        while row["number"] >= num_first and not mark.exists():
            time.sleep(0.01)
        asked = {"number": row["number"], "key": row["key"], **questions[row["user"]]}
        if row["content"] is not None:
            asked["multimodal_data"] = {"image": PillowImage.open(io.BytesIO(row["content"])).convert("RGB")}
        return asked

    def answered(row: dict[str, Any]) -> dict[str, Any]:
        mark.touch()
        return {"number": row["number"], "key": row["key"], "tokens": row["num_generated_tokens"], "ended": time.time()}

    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)  # places for its stages, of which two wait for the mark
    config = vLLMEngineProcessorConfig(
        model_source=model,
        engine_kwargs={
            "max_model_len": 4096,
            "max_num_seqs": 16,
            "enforce_eager": True,
            "enable_prefix_caching": False,
            "mm_processor_cache_gb": 0,
            "limit_mm_per_prompt": {"image": 1},
        },
        batch_size=_BATCH,
        concurrency=1,
        accelerator_type=None,
        placement_group_config={"bundles": [{"CPU": 1}]},
        log_engine_metrics=False,
        chat_template_stage=False,
    )
    process = build_processor(config, preprocess=asked, postprocess=answered, preprocess_map_kwargs={"concurrency": 2})
    # A full batch of its own block first: one that held both would wait for the mark that its own rows are to make.
    parts = [ray.data.from_items(part, override_num_blocks=-(-len(part) // _BATCH)) for part in (rows[:num_first], rows[num_first:])]
    done: list[dict[str, Any]] = process(parts[0].union(parts[1])).take_all()
    return done


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
