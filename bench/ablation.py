"""What each part of the data and of the losses adds: small towers from scratch on the demo's corpus, row by row, seed by seed.

    python -m bench.ablation --out DIR [--seeds 3] [--jobs 2]

Rows: short captions; + long captions; + regional; + hard negatives; + FG-CLIP 2's text-text term; + its margin and its contrast over all
negatives. All of a seed share initial weights, order of the images and number of steps. The data is made by the real stages and engines
(`fgdata demo`'s configuration): training scenes of seed 0, validation scenes of seed 2000, scored scenes of seed 1000. Weights of the terms
and the number of steps are chosen on the validation scenes, by one seed that is not scored (CHOICES, one after the other); the scored
scenes are looked at once, at the end. Data and finished trainings are kept in DIR, so that the command goes on where it stopped. Writes
DIR/ablation.json.
"""

import argparse
import json
import multiprocessing
import statistics
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import machine, versions

NONE: dict[str, float] = {
    "weight_long": 0.0, "weight_regional": 0.0, "weight_hard": 0.0, "weight_tic": 0.0, "weight_hard_batch": 0.0, "weight_cmr": 0.0,
}  # fmt: skip
# What each row adds to the one before it; None: as it was chosen.
ADDED: dict[str, tuple[str, ...]] = {
    "short": (),
    "+long": ("weight_long",),
    "+regional": ("weight_regional",),
    "+hard": ("weight_hard",),
    "+tic": ("weight_tic",),
    "+cmr": ("weight_cmr", "weight_hard_batch"),
}
PUBLISHED = {
    "weight_long": 1.0, "weight_regional": 0.1, "weight_hard": 0.5, "weight_tic": 0.1, "weight_cmr": 0.2, "weight_hard_batch": 0.3,
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """Values of a setting that are tried in a row on the validation scenes, and the figure that decides."""

    key: str
    values: tuple[float, ...]
    row: str
    figure: str


CHOICES = (
    Choice("steps", (300, 400), "+regional", "region_top1_gain_over_blind"),
    Choice("weight_regional", (0.1, 0.5), "+regional", "region_top1_gain_over_blind"),
    Choice("weight_hard", (0.5, 1.0, 2.0), "+hard", "hard_negative_top1_gain_over_blind"),
    Choice("weight_tic", (0.1, 0.3), "+tic", "region_top1_gain_over_blind"),
    Choice("weight_cmr", (0.2, 0.5), "+cmr", "hard_negative_top1_gain_over_blind"),
)
RECIPE: dict[str, Any] = {
    "batch_size": 32,
    "steps": 400,
    "lr": 1e-3,
    "min_lr_share": 0.02,
    "warmup_steps": 50,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,  # without it the losses rose at the end of the warm-up, in one row threefold
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
    "half_truth",
    "half_truth_gain_over_blind",
)
_SCENE_SEEDS = {"train": 0, "validation": 2000, "held-out": 1000}
_CHOOSING_SEED = 100  # of the trainings that choose; none of them is scored


@dataclass(frozen=True)
class Task:
    """One training: a row with these settings, from a seed, judged on one of the data sets."""

    out: Path
    data: Mapping[str, Path]
    row: str
    seed: int
    settings: Mapping[str, Any]
    judged_on: str

    @property
    def name(self) -> str:
        """Says all that the training depends on, so that a finished one is only taken for the same."""
        return "-".join([self.row.lstrip("+"), str(self.seed), *(f"{key}={value:g}" for key, value in sorted(self.settings.items()))])


def main() -> None:
    arguments = _arguments()
    out = arguments.out.absolute()
    sizes = {"train": arguments.scenes, "validation": arguments.validation, "held-out": arguments.held_out}
    if arguments.data:
        data = {name: arguments.data.absolute() / name for name in sizes}
    else:
        data = {name: make_data(out / "data" / name, size, _SCENE_SEEDS[name]) for name, size in sizes.items()}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, context, max_tasks_per_child=1) as pool:
        base = {**PUBLISHED, "steps": arguments.steps} if arguments.steps else dict(PUBLISHED)
        chosen, tried = base, []
        for choice in () if arguments.as_published else CHOICES:
            if choice.key == "steps" and arguments.steps:
                continue
            tasks = [Task(out, data, choice.row, _CHOOSING_SEED, {**chosen, choice.key: value}, "validation") for value in choice.values]
            scores = [flat(scored)[choice.figure] for scored in pool.map(train_row, tasks)]
            best = choice.values[scores.index(max(scores))]
            tried.append({"key": choice.key, "values": choice.values, choice.figure: scores, "chosen": best})
            chosen = {**chosen, choice.key: int(best) if choice.key == "steps" else best}
        tasks = [Task(out, data, row, seed, chosen, "held-out") for seed in range(arguments.seeds) for row in ADDED]
        figures = list(pool.map(train_row, tasks))
    report = {"chosen": chosen, "choices": tried, **summary(tasks, figures)}
    (out / "ablation.json").write_text(json.dumps({**described(data), **report}, indent=1) + "\n", encoding="utf-8")
    print(table(report))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=1500, help="Training scenes.")
    parser.add_argument("--validation", type=int, default=160, help="Scenes on which weights and steps are chosen.")
    parser.add_argument("--held-out", type=int, default=240, help="Scenes that are scored.")
    parser.add_argument("--steps", type=int, help="Steps of every training; they are not chosen then.")
    parser.add_argument("--as-published", action="store_true", help="Choose nothing: weights as published.")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at a time, one thread each.")
    parser.add_argument("--data", type=Path, help="Folder with train/, validation/ and held-out/, exported data sets: they are not made.")
    return parser.parse_args()


def weights_of(row: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A row's weights: those of all rows up to it."""
    names = list(ADDED)
    added = [key for name in names[: names.index(row) + 1] for key in ADDED[name]]
    return {**NONE, **{key: settings[key] for key in added}}


def make_data(folder: Path, num_scenes: int, seed: int) -> Path:
    """The exported data set of that many scenes, made by the demo's run; nothing is done where it is there."""
    from pipeline.demo.run import run_demo

    run_demo(folder, num_scenes, seed, "transformers", None)
    return folder / "dataset"


def train_row(task: Task) -> dict[str, Any]:
    """Train a row from a seed and evaluate it; the figures of `fgdata eval`, kept beside the model."""
    folder = task.out / "runs" / task.name
    kept = folder / f"{task.judged_on}.json"
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
    from stages.train.model.load import load_model

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    steps = {"steps": task.settings["steps"]} if "steps" in task.settings else {}
    params = Stage2.model_validate({**RECIPE, **steps, **weights_of(task.row, task.settings), "seed": task.seed})
    towers = save_towers(folder / "towers", task.seed)
    trainer = Trainer(Job(str(towers), None, False, str(task.data["train"]), folder, params))
    figures = evaluate(Encoder(*load_model(str(trainer.train()))), ExportedDataset(str(task.data[task.judged_on])))
    kept.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def summary(tasks: list[Task], figures: list[dict[str, Any]]) -> dict[str, Any]:
    """`rows` as ../docs/ablation.md shows them: mean, standard deviation and values of each figure over the seeds."""

    def row_of(name: str) -> dict[str, Any]:
        mine = [flat(figure) for task, figure in zip(tasks, figures, strict=True) if task.row == name]
        return {"name": name, "seeds": len(mine), **{figure: spread([scored[figure] for scored in mine]) for figure in FIGURES}}

    return {"rows": [row_of(name) for name in ADDED]}


def flat(figures: dict[str, Any]) -> dict[str, float]:
    """The ablation's figures of one model."""
    half = figures["half_truth"]
    long, region, hard = figures["long"], figures["region_top1"], figures["hard_negative_top1"]
    return {
        "long_i2t_r1": long["i2t_r1"],
        "long_i2t_r1_gain_over_blind": long["i2t_r1"] - long["i2t_r1_blind"],
        "region_top1": region["value"],
        "region_top1_gain_over_blind": region["gain_over_blind"],
        "hard_negative_top1": hard["value"],
        "hard_negative_top1_gain_over_blind": hard["gain_over_blind"],
        "half_truth": half["value"],
        "half_truth_gain_over_blind": half["gain_over_blind"],
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
    for row in report["rows"]:
        cells = [f"{row[figure]['mean']:.3f} +- {row[figure]['std']:.3f}" for figure in FIGURES]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
