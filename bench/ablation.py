"""What each part of the data adds: small towers from scratch on the demo's corpus, row by row, seed by seed.

    python -m bench.ablation --out DIR [--seeds 3] [--jobs 2]

Rows: short captions; + long captions; + regional; + hard; and apart from those the last one with the published weight. All of a seed
share initial weights, order of the images and number of steps. The data is made by the real stages and engines (`fgdata demo`'s
configuration): training scenes of seed 0, held-out scenes of seed 1000. Data and finished trainings are kept in DIR, so that the command
goes on where it stopped. Writes DIR/ablation.json.
"""

import argparse
import json
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from bench.measure import machine, versions

ROWS: dict[str, dict[str, float]] = {
    "short": {"weight_long": 0.0, "weight_regional": 0.0, "weight_hard": 0.0},
    "+long": {"weight_regional": 0.0, "weight_hard": 0.0},
    "+regional": {"weight_hard": 0.0},
    "+hard": {},
}
VARIANTS: dict[str, dict[str, float]] = {"+hard@0.5": {"weight_hard": 0.5}}  # the published weight
RECIPE: dict[str, Any] = {
    "batch_size": 32,
    "steps": 400,
    "lr": 1e-3,
    "min_lr_share": 0.02,
    "warmup_steps": 50,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,  # without it the losses rose at the end of the warm-up, in one row threefold
    "weight_regional": 0.1,
    "weight_hard": 2.0,  # published: 0.5, for a checkpoint that sees already; ../docs/ablation.md has both
    "max_negatives": 24,  # all that the demo releases for a box
    "precision": "bf16",
    "workers": 0,
    "shuffle_buffer": 512,
    "short_prefix": "",
    "checkpoint_every": 1_000_000,
    "log_every": 25,
}
FIGURES = (
    "long_i2t_r1",
    "long_i2t_r1_gain_over_blind",
    "region_top1",
    "region_top1_gain_over_blind",
    "hard_negative_top1",
    "hard_negative_top1_gain_over_blind",
)
_TRAIN_SEED, _HELD_OUT_SEED = 0, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=1500, help="Training scenes.")
    parser.add_argument("--held-out", type=int, default=240, help="Held-out scenes.")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at a time, one thread each.")
    parser.add_argument("--data", type=Path, help="Folder with train/ and held-out/, exported data sets: they are not made.")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    if arguments.data:
        data = {name: arguments.data.absolute() / name for name in ("train", "held-out")}
    else:
        data = {
            "train": make_data(out / "data" / "train", arguments.scenes, _TRAIN_SEED),
            "held-out": make_data(out / "data" / "held-out", arguments.held_out, _HELD_OUT_SEED),
        }
    tasks = [(out, data, row, seed) for seed in range(arguments.seeds) for row in (*ROWS, *VARIANTS)]
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        figures = list(pool.map(train_row, tasks))
    report = summary(tasks, figures)
    (out / "ablation.json").write_text(json.dumps({**described(data), **report}, indent=1) + "\n", encoding="utf-8")
    print(table(report))


def make_data(folder: Path, num_scenes: int, seed: int) -> Path:
    """The exported data set of that many scenes, made by the demo's run; nothing is done where it is there."""
    from pipeline.demo.run import run_demo

    run_demo(folder, num_scenes, seed, "transformers", None)
    return folder / "dataset"


def train_row(task: tuple[Path, dict[str, Path], str, int]) -> dict[str, Any]:
    """Train a row from a seed and evaluate it on the held-out scenes; the figures of `fgdata eval`, kept beside the model."""
    out, data, row, seed = task
    folder = out / "runs" / f"{row.lstrip('+')}-{seed}"
    kept = folder / "figures.json"
    if kept.is_file():
        figures: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return figures
    import torch
    from transformers.utils import logging

    from bench.ablation_model import save_towers
    from stages.train.config import Stage2
    from stages.train.data.shards import ExportedDataset
    from stages.train.evaluation.evaluate import evaluate
    from stages.train.evaluation.features import Encoder
    from stages.train.loop import Job, Trainer
    from stages.train.model.clip import load_model

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    params = Stage2.model_validate({**RECIPE, **(ROWS | VARIANTS)[row], "seed": seed})
    trainer = Trainer(Job(str(save_towers(folder / "towers", seed)), None, False, str(data["train"]), folder, params))
    figures = evaluate(Encoder(*load_model(str(trainer.train()))), ExportedDataset(str(data["held-out"])))
    kept.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def summary(tasks: list[tuple[Path, dict[str, Path], str, int]], figures: list[dict[str, Any]]) -> dict[str, Any]:
    """`rows` as ../docs/ablation.md shows them: mean, standard deviation and values of each figure over the seeds; `variants` alike."""

    def row_of(name: str) -> dict[str, Any]:
        mine = [flat(found) for (_, _, row, _), found in zip(tasks, figures, strict=True) if row == name]
        return {"name": name, "seeds": len(mine), **{figure: spread([one[figure] for one in mine]) for figure in FIGURES}}

    return {"rows": [row_of(name) for name in ROWS], "variants": [row_of(name) for name in VARIANTS]}


def flat(figures: dict[str, Any]) -> dict[str, float]:
    """The ablation's figures of one model."""
    long, region, hard = figures["long"], figures["region_top1"], figures["hard_negative_top1"]
    return {
        "long_i2t_r1": long["i2t_r1"],
        "long_i2t_r1_gain_over_blind": long["i2t_r1"] - long["i2t_r1_blind"],
        "region_top1": region["value"],
        "region_top1_gain_over_blind": region["gain_over_blind"],
        "hard_negative_top1": hard["value"],
        "hard_negative_top1_gain_over_blind": hard["gain_over_blind"],
    }


def spread(values: list[float]) -> dict[str, Any]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 4), "std": round(deviation, 4), "values": [round(value, 4) for value in values]}


def described(data: dict[str, Path]) -> dict[str, Any]:
    """What the figures were made with."""
    totals = {name: json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["totals"] for name, folder in data.items()}
    return {"machine": machine(), "versions": versions("fgdata", "torch", "transformers"), "recipe": RECIPE, "data": totals}


def table(report: dict[str, Any]) -> str:
    """The rows for people: mean and standard deviation over the seeds."""
    lines = ["| row | " + " | ".join(FIGURES) + " |", "|---" * (len(FIGURES) + 1) + "|"]
    for row in (*report["rows"], *report["variants"]):
        cells = [f"{row[figure]['mean']:.3f} +- {row[figure]['std']:.3f}" for figure in FIGURES]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
