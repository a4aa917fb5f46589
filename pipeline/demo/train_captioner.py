"""Trains the demo's captioner from scratch on one CPU thread: first the eye on windows, then captions.

    python -m pipeline.demo.train_captioner --out training/captioner --export pipeline/demo/checkpoints/captioner

Resumable: what is in --out goes on. Each step's data is a function of its number, so a rerun sees the same.
"""

import argparse
import csv
import random
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from pipeline.demo.captioner_captions import Sample, read, samples_of, see, speak
from pipeline.demo.captioner_data import CLASSES, held_out_windows, windows
from pipeline.demo.captioner_eval import evaluate
from pipeline.demo.captioner_eye import Eye, by_side, look, new_eye
from pipeline.demo.captioner_model import export, new_captioner, new_processor
from pipeline.demo.vocabulary import train_tokenizer

WINDOWS_A_STEP = {2: 64, 3: 36, 4: 8}
NUM_WHOLE, NUM_REGIONS = 12, 6
NUM_WHOLE_JOINT, NUM_REGIONS_JOINT = 6, 6
DENSE_SHARE = 0.2
FRESH = (4, 2)
REMEMBERED = {"replay": 4000, "joint": 480}  # the eye moves in joint steps, so their tokens go stale
DENSE_SLOTS = tuple(f"dense_{slot}" for slot in ("object", *CLASSES))
FIGURES = ("json", "precision", "recall", "count", *CLASSES, "region_colour", "region_pattern", "region_material", "region_exact")
COLUMNS = ("stage", "step", "images", "minutes", "loss", *DENSE_SLOTS, *FIGURES)


@dataclass(frozen=True)
class Plan:
    """How long and how fast a stage learns; the rates of eye and text fall over the last share of the steps."""

    eye_peak: float
    text_peak: float
    annealed_share: float
    every: int
    steps: int = 0


PLANS = {
    "eye": Plan(1e-3, 0.0, 0.25, 200),
    "listen": Plan(4e-4, 1.5e-3, 0.0, 150),
    "replay": Plan(0.0, 1.5e-3, 0.0, 300),
    "joint": Plan(3e-4, 1e-3, 0.6, 150),
}


@dataclass
class Run:
    """The state that a kill must not lose: weights, their moving average, the optimizer, and how far it came."""

    model: Idefics3ForConditionalGeneration
    eye: Eye
    tokenizer: PreTrainedTokenizerFast
    optimizer: torch.optim.AdamW
    average: dict[str, torch.Tensor]
    out: Path
    curve: Path
    stage: str = "eye"
    step: int = 0
    images: int = 0
    minutes: float = 0.0
    memory: list[tuple[Sample, torch.Tensor]] = field(default_factory=list)


def weights_of(model: Idefics3ForConditionalGeneration, eye: Eye) -> nn.ModuleDict:
    """Captioner and readers under one state dict; the vision tower is shared."""
    return nn.ModuleDict({"model": model, "norm": eye.norm, "readers": eye.readers})


def new_run(out: Path, curve: Path) -> Run:
    """A run from `out`, or from scratch when nothing is there."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
    model = new_captioner(tokenizer)
    eye = new_eye(model.model.vision_model, model.model.connector)
    seeing = {id(parameter) for parameter in eye.parameters()}
    groups = [
        {"params": list(eye.parameters()), "peak": 1e-3},
        {"params": [parameter for parameter in model.parameters() if id(parameter) not in seeing], "peak": 1e-3},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.02, betas=(0.9, 0.98))
    average = {name: value.clone() for name, value in weights_of(model, eye).state_dict().items()}
    run = Run(model, eye, tokenizer, optimizer, average, out, curve)
    file = out / "state.pt"
    if file.exists():
        saved = torch.load(file)
        weights_of(model, eye).load_state_dict(saved["weights"])
        optimizer.load_state_dict(saved["optimizer"])
        run.average = saved["average"]
        run.stage, run.step, run.images, run.minutes = saved["at"]
    return run


def save(run: Run) -> None:
    run.out.mkdir(parents=True, exist_ok=True)
    state = {
        "weights": weights_of(run.model, run.eye).state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "average": run.average,
        "at": (run.stage, run.step, run.images, run.minutes),
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
    keep = min(0.998, (run.step + 1) / (run.step + 10))
    with torch.no_grad():
        for name, value in weights_of(run.model, run.eye).state_dict().items():
            run.average[name].lerp_(value, 1 - keep)


def eye_step(run: Run) -> float:
    """Windows about some hundred toys, the small ones most often; the loss."""
    found = [window for place in range(24) for window in windows(run.step % 900, run.step * 24 + place)]
    total = 0.0
    for side, group in by_side(found).items():
        group = random.Random(run.step).sample(group, min(len(group), WINDOWS_A_STEP[side]))
        with torch.autocast("cpu", torch.bfloat16):
            loss = look(run.eye, group).loss * (len(group) / sum(WINDOWS_A_STEP.values()))
        loss.backward()
        total += float(loss.item())
        run.images += len(group)
    return total


def fresh_samples(run: Run, num_whole: int, num_regions: int) -> list[Sample]:
    """Samples that no other step of any stage has."""
    run.images += num_whole + num_regions
    return samples_of(100_000 * list(STEPS).index(run.stage) + run.step, num_whole, num_regions)


def shielded_step(run: Run) -> float:
    """Whole inputs: the eye learns from its readers alone while the text model, still wild, learns to listen."""
    samples = fresh_samples(run, NUM_WHOLE, NUM_REGIONS)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = see(run.eye, samples)
        caption_loss = speak(run.model, run.tokenizer, tokens.detach(), samples)
        (caption_loss + 0.3 * read(run.eye, tokens, samples).loss).backward()
    return float(caption_loss.item())


def replayed_step(run: Run) -> float:
    """The eye rests: a few fresh inputs and many remembered ones, of which only the tokens were kept."""
    fresh = fresh_samples(run, *FRESH)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        tokens = see(run.eye, fresh)
    caption_loss = speak_with_memory(run, tokens, fresh, NUM_WHOLE + NUM_REGIONS - len(fresh))
    caption_loss.backward()
    return float(caption_loss.item())


def joint_step(run: Run) -> float:
    """Whole inputs through everything, and as many remembered ones; the readers keep a fifth of a say."""
    samples = fresh_samples(run, NUM_WHOLE_JOINT, NUM_REGIONS_JOINT)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = see(run.eye, samples)
        dense_loss = read(run.eye, tokens, samples).loss
    caption_loss = speak_with_memory(run, tokens, samples, len(samples))
    (caption_loss + DENSE_SHARE * dense_loss).backward()
    return float(caption_loss.item())


def speak_with_memory(run: Run, tokens: torch.Tensor, samples: list[Sample], num_remembered: int) -> torch.Tensor:
    """The caption loss of these samples and of remembered ones; remembers these for later, without pixels."""
    chosen = random.Random(run.step).sample(run.memory, min(len(run.memory), num_remembered))
    kept = [(replace(sample, pixels=sample.pixels[:0].copy()), row.detach().clone()) for sample, row in zip(samples, tokens, strict=True)]
    run.memory = [*run.memory, *kept][-REMEMBERED[run.stage] :]
    rows = torch.cat([tokens, *(row[None] for _, row in chosen)])
    with torch.autocast("cpu", torch.bfloat16):
        return speak(run.model, run.tokenizer, rows, [*samples, *(sample for sample, _ in chosen)])


STEPS = {"eye": eye_step, "listen": shielded_step, "replay": replayed_step, "joint": joint_step}


def rate(step: int, steps: int, peak: float, annealed_share: float) -> float:
    """Warm up for 50 steps, hold, and fall to a fiftieth over the last share of the steps."""
    left = (steps - step) / max(1.0, annealed_share * steps)
    return peak * min(1.0, (step + 1) / 50, max(0.02, left))


def train(run: Run, plan: Plan) -> None:
    """Steps of one stage until its end, with held-out figures and a save now and then."""
    begun, before, losses = time.monotonic(), run.minutes, list[float]()
    while run.step < plan.steps:
        losses.append(STEPS[run.stage](run))
        rates = [rate(run.step, plan.steps, peak, plan.annealed_share) for peak in (plan.eye_peak, plan.text_peak)]
        advance(run, (rates[0], rates[1]))
        run.minutes = before + (time.monotonic() - begun) / 60
        if run.step % 25 == 0:
            print(run.stage, run.step, run.images, f"{run.minutes:.1f} min", f"{sum(losses[-25:]) / 25:.4f}", flush=True)
        if run.step % plan.every == 0 or run.step == plan.steps:
            save(run)
            log(run, sum(losses) / len(losses), num_scenes=48)
            losses.clear()


def log(run: Run, loss: float, num_scenes: int) -> None:
    """Appends the averaged weights' held-out figures to the curve."""
    both = weights_of(run.model, run.eye)
    own = {name: value.clone() for name, value in both.state_dict().items()}
    both.load_state_dict(run.average)
    figures = dense_figures(run.eye)
    if run.stage != "eye":
        figures |= evaluate(run.model, new_processor(run.tokenizer), num_scenes, num_scenes)
    both.load_state_dict(own)
    is_new = not run.curve.exists()
    row = {"stage": run.stage, "step": run.step, "images": run.images, "minutes": f"{run.minutes:.1f}", "loss": f"{loss:.4f}"}
    with run.curve.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row | {name: f"{value:.4f}" for name, value in figures.items()})
    print(row, {name: round(value, 3) for name, value in figures.items()}, flush=True)


def dense_figures(eye: Eye) -> dict[str, float]:
    """Per-token accuracies on held-out windows, weighted by the windows of each side."""
    totals = dict.fromkeys(DENSE_SLOTS, 0.0)
    weights = dict.fromkeys(DENSE_SLOTS, 0)
    for group in by_side(held_out_windows()).values():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            accuracies = look(eye, group).accuracies
        for slot, value in accuracies.items():
            totals[f"dense_{slot}"] += value * len(group)
            weights[f"dense_{slot}"] += len(group)
    return {slot: totals[slot] / weights[slot] for slot in DENSE_SLOTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the resumable state")
    parser.add_argument("--curve", type=Path, default=Path("pipeline/demo/curves/captioner.csv"), help="CSV that figures are appended to")
    parser.add_argument("--steps", nargs=4, type=int, default=[1000, 80, 600, 1150], metavar=tuple(STEPS), help="steps of each stage")
    parser.add_argument("--export", type=Path, help="write the averaged weights there as a plain checkpoint when done")
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = new_run(args.out, args.curve)
    for stage, steps in zip(STEPS, args.steps, strict=True):
        if list(STEPS).index(run.stage) > list(STEPS).index(stage):
            continue
        if run.stage != stage:
            run.stage, run.step, run.images, run.memory = stage, 0, 0, []
        train(run, replace(PLANS[stage], steps=steps))
    if args.export:
        weights_of(run.model, run.eye).load_state_dict(run.average)
        export(run.model, new_processor(train_tokenizer()), args.export)


if __name__ == "__main__":
    main()
