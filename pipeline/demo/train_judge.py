"""Trains the demo's judge from scratch on one CPU thread: first its eye on crops, then its answers.

    python -m pipeline.demo.train_judge --out training/judge --export pipeline/demo/checkpoints/judge

Resumable: what is in --out goes on. Each step's data is a function of its number, so a rerun sees the same.
"""

import argparse
import csv
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from pipeline.demo.captioner_eye import Eye
from pipeline.demo.captioner_model import export
from pipeline.demo.judge_answers import Speller, read, see, tell
from pipeline.demo.judge_data import VALUES, questions_of, training_crops
from pipeline.demo.judge_eval import held_out_crops, judge
from pipeline.demo.judge_model import READERS, judge_processor, judge_tokenizer, new_eye, new_judge

CROPS = {"eye": 128, "listen": 64, "joint": 64}
QUESTIONS = 3
SEEN_SHARE = 0.5
HELD_OUT_SEED, HELD_OUT_SCENES = 1000, 120
OUTCOMES = ("false_given_true", "true_given_false", "unsure_given_true", "unsure_given_false")
FIGURES = tuple(f"{kind}_{name}" for kind in VALUES for name in OUTCOMES)
COLUMNS = (
    "stage",
    "step",
    "crops",
    "minutes",
    "loss",
    *(f"seen_{slot}" for slot in READERS),
    *FIGURES,
    "decided_given_nothing",
    "order_sensitive",
)


@dataclass(frozen=True)
class Plan:
    """How long and how fast a stage learns; the rates of eye and text fall over the last share of the steps."""

    eye_peak: float
    text_peak: float
    annealed_share: float
    every: int
    steps: int = 0


PLANS = {
    "eye": Plan(1e-3, 0.0, 0.3, 100),
    "listen": Plan(0.0, 1.5e-3, 0.0, 100),
    "joint": Plan(5e-4, 1e-3, 0.6, 150),
}


@dataclass
class Run:
    """The state that a kill must not lose: weights, their moving average, the optimizer, and how far it came."""

    model: Idefics3ForConditionalGeneration
    eye: Eye
    tokenizer: PreTrainedTokenizerFast
    speller: Speller
    optimizer: torch.optim.AdamW
    average: dict[str, torch.Tensor]
    out: Path
    curve: Path
    stage: str = "eye"
    step: int = 0
    crops: int = 0
    minutes: float = 0.0


def weights_of(model: Idefics3ForConditionalGeneration, eye: Eye) -> nn.ModuleDict:
    """Judge and readers under one state dict; the vision tower is shared."""
    return nn.ModuleDict({"model": model, "norm": eye.norm, "readers": eye.readers})


def new_run(out: Path, curve: Path) -> Run:
    """A run from `out`, or from scratch when nothing is there."""
    tokenizer = judge_tokenizer()
    model = new_judge(tokenizer)
    eye = new_eye(model)
    seeing = {id(parameter) for parameter in eye.parameters()}
    groups = [
        {"params": list(eye.parameters()), "peak": 1e-3},
        {"params": [parameter for parameter in model.parameters() if id(parameter) not in seeing], "peak": 1e-3},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.02, betas=(0.9, 0.98))
    average = {name: value.clone() for name, value in weights_of(model, eye).state_dict().items()}
    run = Run(model, eye, tokenizer, Speller(tokenizer), optimizer, average, out, curve)
    file = out / "state.pt"
    if file.exists():
        saved = torch.load(file)
        weights_of(model, eye).load_state_dict(saved["weights"])
        optimizer.load_state_dict(saved["optimizer"])
        run.average = saved["average"]
        run.stage, run.step, run.crops, run.minutes = saved["at"]
    return run


def save(run: Run) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    state = {
        "weights": weights_of(run.model, run.eye).state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "average": run.average,
        "at": (run.stage, run.step, run.crops, run.minutes),
    }
    torch.save(state, run.out / "state.pt.part")
    (run.out / "state.pt.part").replace(run.out / "state.pt")


def advance(run: Run, rates: tuple[float, float]) -> None:
    """One optimizer step at the rates of eye and text, then the moving average."""
    for group, rate in zip(run.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    nn.utils.clip_grad_norm_([parameter for group in run.optimizer.param_groups for parameter in group["params"]], 1.0)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.step += 1
    keep = min(0.995, (run.step + 1) / (run.step + 10))
    with torch.no_grad():
        for name, value in weights_of(run.model, run.eye).state_dict().items():
            run.average[name].lerp_(value, 1 - keep)


def step_of(run: Run) -> float:
    """One batch of the run's stage, its gradients left in place; the loss, of the verdicts where there are any.

    The eye learns from its readers alone until the text model, at first wild, has learnt to listen.
    """
    number = 100_000 * list(PLANS).index(run.stage) + run.step
    crops = training_crops(number, CROPS[run.stage])
    run.crops += len(crops)
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(run.stage != "listen"):
        tokens = see(run.eye, crops)
        seen = read(run.eye, tokens, crops)
    if run.stage == "eye":
        seen.loss.backward()
        return float(seen.loss.item())
    rng = random.Random(f"questions/{number}")
    asked = [questions_of(rng, crop.toy, QUESTIONS) for crop in crops]
    with torch.autocast("cpu", torch.bfloat16):
        told = tell(run.model, run.speller, tokens, asked)
    (told.loss if run.stage == "listen" else told.loss + SEEN_SHARE * seen.loss).backward()
    return told.verdict


def rate(step: int, steps: int, peak: float, annealed_share: float) -> float:
    """Warm up for 50 steps, hold, and fall to a fiftieth over the last share of the steps."""
    left = (steps - step) / max(1.0, annealed_share * steps)
    return peak * min(1.0, (step + 1) / 50, max(0.02, left))


def train(run: Run, plan: Plan) -> None:
    """Steps of one stage until its end, with held-out figures and a save now and then."""
    begun, before, losses = time.monotonic(), run.minutes, list[float]()
    while run.step < plan.steps:
        losses.append(step_of(run))
        rates = [rate(run.step, plan.steps, peak, plan.annealed_share) for peak in (plan.eye_peak, plan.text_peak)]
        advance(run, (rates[0], rates[1]))
        run.minutes = before + (time.monotonic() - begun) / 60
        if run.step % 25 == 0:
            print(run.stage, run.step, run.crops, f"{run.minutes:.1f} min", f"{sum(losses[-25:]) / 25:.4f}", flush=True)
        if run.step % plan.every == 0 or run.step == plan.steps:
            save(run)
            log(run, sum(losses) / len(losses))
            losses.clear()


def log(run: Run, loss: float) -> None:
    """Appends the averaged weights' held-out figures to the curve."""
    both = weights_of(run.model, run.eye)
    own = {name: value.clone() for name, value in both.state_dict().items()}
    both.load_state_dict(run.average)
    crops = held_out_crops(HELD_OUT_SEED, HELD_OUT_SCENES)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        figures = {f"seen_{slot}": value for slot, value in read(run.eye, see(run.eye, crops), crops).accuracies.items()}
        if run.stage != "eye":
            figures |= judge(run.model, run.eye, run.speller, crops).figures()
    both.load_state_dict(own)
    is_new = not run.curve.exists()
    row = {"stage": run.stage, "step": run.step, "crops": run.crops, "minutes": f"{run.minutes:.1f}", "loss": f"{loss:.4f}"}
    with run.curve.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row | {name: f"{value:.4f}" for name, value in figures.items()})
    print(row, {name: round(value, 4) for name, value in figures.items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the resumable state")
    parser.add_argument("--curve", type=Path, default=Path("pipeline/demo/curves/judge.csv"), help="CSV that figures are appended to")
    parser.add_argument("--steps", nargs=3, type=int, default=[500, 200, 900], metavar=tuple(PLANS), help="steps of each stage")
    parser.add_argument("--export", type=Path, help="write the averaged weights there as a plain checkpoint when done")
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = new_run(args.out, args.curve)
    for stage, steps in zip(PLANS, args.steps, strict=True):
        if list(PLANS).index(run.stage) > list(PLANS).index(stage):
            continue
        if run.stage != stage:
            run.stage, run.step = stage, 0
        train(run, replace(PLANS[stage], steps=steps))
    if args.export:
        weights_of(run.model, run.eye).load_state_dict(run.average)
        export(run.model, judge_processor(judge_tokenizer()), args.export)


if __name__ == "__main__":
    main()
