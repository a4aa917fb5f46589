"""What an estimate is worth beside the measured whole: `python -m bench.estimate --out DIR [--scenes 300] [--sample 48] [--whole FOLDER]`.

The demo's corpus and configuration are written, `fgdata estimate` is asked from the sample, then all scenes are run. DIR/estimate.json:
`ratios.questions`, `tokens`, `bytes`, `elapsed` (estimated over measured), the same stage by stage in `stages`, and whether the measured
lay within the bounds. `--whole`: a demo folder of an earlier run (`fgdata demo --images N`), whose tables are measured instead of run; its
time is another day's and is left out.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.measure import spread, write_report
from pipeline.api import Job, open_job
from pipeline.demo.corpus import write_corpus
from pipeline.demo.run import config_text
from pipeline.storage import Storage

_SEED = 1000  # as `fgdata demo`
_BARS = {"questions": 0.10, "tokens": 0.10, "bytes": 0.10, "elapsed": 0.25}


def measured(job: Job) -> dict[str, dict[str, float]]:
    """Stage -> questions, tokens and bytes of a finished run, all images together."""
    state = job.state()
    stages: dict[str, dict[str, float]] = {}
    for node in state.graph:
        sizes = {entry.path: entry.size_bytes for entry in job.ledger.workdir.files(f"{node.name}/{node.fingerprint}")}
        sums = stages.setdefault(node.name, {"questions": 0.0, "tokens": 0.0, "bytes": 0.0})
        for _, table in state.current_tables(node.name):
            assert table is not None, f"{node.name} is not complete"
            sums["bytes"] += sizes[table.path]
            for row in job.ledger.read(table, node.row_type):
                usage = getattr(row, "usage", None)
                if usage is not None:
                    sums["questions"] += usage.attempts
                    sums["tokens"] += usage.prompt_tokens + usage.completion_tokens
        if node.scope == "shard" and job.config.export_to is not None:
            entries = [entry for entry in Storage(job.config.export_to).walk() if not entry.path.startswith(".")]
            sums["bytes"] = float(sum(entry.size_bytes for entry in entries))
    return stages


def estimated_figures(content: dict[str, Any]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """The same of an estimate, each with its bounds."""
    images = content["images"]
    stages = {}
    for stage in content["stages"]:
        of_all = {"questions": ("questions_per_image", images), "tokens": ("tokens_per_image", images), "bytes": ("bytes", 1)}
        stages[stage["name"]] = {
            name: (float(stage[key] or 0) * factor, float(stage[f"{key}_low"] or 0) * factor, float(stage[f"{key}_high"] or 0) * factor)
            for name, (key, factor) in of_all.items()
        }
    return stages


def compared(estimate: dict[str, Any], whole: dict[str, dict[str, float]]) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """Ratios of the sums, and of each stage: ratio and whether the measured lies within the bounds."""
    ratios: dict[str, float] = {}
    by_stage: dict[str, dict[str, Any]] = {}
    estimated = estimated_figures(estimate)
    for name in ("questions", "tokens", "bytes"):
        ratios[name] = sum(figures[name][0] for figures in estimated.values()) / sum(figures[name] for figures in whole.values())
    for stage, figures in whole.items():
        by_stage[stage] = {
            name: {"ratio": round(mid / value, 4), "is_within": low <= value <= high}
            for name, value in figures.items()
            if value
            for mid, low, high in [estimated[stage][name]]
        }
    return ratios, by_stage


def fgdata(*words: str | Path) -> dict[str, Any]:
    """A command's JSON."""
    answer = subprocess.run([sys.executable, "-m", "pipeline.cli", *map(str, words), "--json"], stdout=subprocess.PIPE, check=True)
    content: dict[str, Any] = json.loads(answer.stdout)
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--sample", type=int, default=48)
    parser.add_argument("--whole", type=Path)
    arguments = parser.parse_args()
    folder = arguments.out / "estimated"
    folder.mkdir(parents=True, exist_ok=True)
    write_corpus(folder / "corpus", arguments.scenes, _SEED)
    config = folder / "config.yaml"
    config.write_text(config_text("transformers"), encoding="utf-8")
    estimate = fgdata("estimate", config, "--sample", str(arguments.sample))
    elapsed: dict[str, float] = {}
    if arguments.whole is None:
        outcome = fgdata("run", config)
        elapsed = {"elapsed": estimate["elapsed_s"] / outcome["seconds"]}
    job = open_job(config if arguments.whole is None else arguments.whole / "config.yaml")
    ratios, stages = compared(estimate, measured(job))
    ratios |= elapsed
    missed = [name for name, ratio in ratios.items() if abs(ratio - 1) > _BARS[name]]
    path = write_report(
        arguments.out,
        "estimate",
        1,
        ("torch", "transformers"),
        ratios={name: spread([ratio]) for name, ratio in ratios.items()},
        stages=stages,
        sample=arguments.sample,
        scenes=arguments.scenes,
        missed=missed,
        estimate=estimate,
    )
    print("\n".join(f"{name:<10} {ratio:.3f} of the measured{'  missed' if name in missed else ''}" for name, ratio in ratios.items()))
    print(path)


if __name__ == "__main__":
    main()
