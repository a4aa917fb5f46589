"""How the captioner and the judge are trained: stages with rates of their own for eye and text, a moving average of the weights, a state
that survives a kill, a curve. Knows no data and no losses.
"""

import argparse
import csv
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from pipeline.demo.training.captioner.eye import Eye


@dataclass(frozen=True)
class Plan:
    """How long and how fast a stage learns; the rates of eye and text fall over the last share of the steps."""

    eye_peak: float
    text_peak: float
    annealed_share: float
    every: int
    steps: int

    def rates(self, step: int) -> tuple[float, float]:
        """Of eye and text: warm up for 50 steps, hold, and fall to a fiftieth over the last share of the steps."""
        left = (self.steps - step) / max(1.0, self.annealed_share * self.steps)
        share = min(1.0, (step + 1) / 50, max(0.02, left))
        return self.eye_peak * share, self.text_peak * share


class EyeTraining(ABC):
    """One model and its eye under training. What a kill must not lose is in `out`; a run begins with what is there."""

    plans: ClassVar[dict[str, Plan]]  # by stage, in order
    average_decay: ClassVar[float]
    counted: ClassVar[str]  # what `seen` counts: a column of the curve
    figures_told: ClassVar[tuple[str, ...]]  # the curve's other columns

    def __init__(
        self, model: Idefics3ForConditionalGeneration, eye: Eye, tokenizer: PreTrainedTokenizerFast, out: Path, curve: Path
    ) -> None:
        self.model, self.eye, self.tokenizer, self.out, self.curve = model, eye, tokenizer, out, curve
        self.stage, self.step, self.seen, self.minutes = next(iter(self.plans)), 0, 0, 0.0
        self.weights = nn.ModuleDict({"model": model, "norm": eye.norm, "readers": eye.readers})  # the vision tower is shared
        seeing = {id(parameter) for parameter in eye.parameters()}
        speaking = [parameter for parameter in model.parameters() if id(parameter) not in seeing]
        self.optimizer = torch.optim.AdamW(
            [{"params": eye.parameters()}, {"params": speaking}], lr=1e-3, weight_decay=0.02, betas=(0.9, 0.98)
        )
        self.average = {name: value.clone() for name, value in self.weights.state_dict().items()}
        if (out / "state.pt").exists():
            self._resume(out / "state.pt")

    @abstractmethod
    def backward(self) -> float:
        """One batch of the stage, its gradients left in place; the loss. The data is a function of stage and step."""

    @abstractmethod
    def held_out_figures(self) -> dict[str, float]:
        """What the model that stands in `weights` reaches on scenes that no step sees."""

    @property
    def batch_number(self) -> int:
        """One that no other step of any stage has."""
        return 100_000 * list(self.plans).index(self.stage) + self.step

    def enter(self, stage: str) -> None:
        """Begin a stage."""
        self.stage, self.step = stage, 0

    def train(self, steps: list[int]) -> None:
        """All that is left, to these numbers of steps of each stage."""
        order = list(self.plans)
        for stage, num_steps in zip(order, steps, strict=True):
            if order.index(self.stage) > order.index(stage):
                continue
            if self.stage != stage:
                self.enter(stage)
            self._train_stage(replace(self.plans[stage], steps=num_steps))

    def load_average(self) -> None:
        """Put the averaged weights in the model's place."""
        self.weights.load_state_dict(self.average)

    def _train_stage(self, plan: Plan) -> None:
        begun, before, losses = time.monotonic(), self.minutes, list[float]()
        while self.step < plan.steps:
            losses.append(self.backward())
            self._advance(plan)
            self.minutes = before + (time.monotonic() - begun) / 60
            if self.step % 25 == 0:
                print(self.stage, self.step, self.seen, f"{self.minutes:.1f} min", f"{sum(losses[-25:]) / 25:.4f}", flush=True)
            if self.step % plan.every == 0 or self.step == plan.steps:
                self._save()
                self._log(sum(losses) / len(losses))
                losses.clear()

    def _advance(self, plan: Plan) -> None:
        """One optimizer step, then the moving average."""
        for group, rate in zip(self.optimizer.param_groups, plan.rates(self.step), strict=True):
            group["lr"] = rate
        nn.utils.clip_grad_norm_([parameter for group in self.optimizer.param_groups for parameter in group["params"]], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(self.average_decay, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.weights.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)

    def _log(self, loss: float) -> None:
        """Append the averaged weights' held-out figures to the curve."""
        own = {name: value.clone() for name, value in self.weights.state_dict().items()}
        self.load_average()
        figures = self.held_out_figures()
        self.weights.load_state_dict(own)
        row = {"stage": self.stage, "step": self.step, self.counted: self.seen, "minutes": f"{self.minutes:.1f}", "loss": f"{loss:.4f}"}
        is_new = not self.curve.exists()
        with self.curve.open("a", newline="") as file:
            writer = csv.DictWriter(file, (*row, *self.figures_told))
            if is_new:
                writer.writeheader()
            writer.writerow(row | {name: f"{value:.4f}" for name, value in figures.items()})
        print(row, {name: round(value, 4) for name, value in figures.items()}, flush=True)

    def _save(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "weights": self.weights.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "at": (self.stage, self.step, self.seen, self.minutes),
        }
        torch.save(state, self.out / "state.pt.part")
        (self.out / "state.pt.part").replace(self.out / "state.pt")

    def _resume(self, file: Path) -> None:
        saved = torch.load(file)
        self.weights.load_state_dict(saved["weights"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average = saved["average"]
        self.stage, self.step, self.seen, self.minutes = saved["at"]


def arguments(description: str | None, kind: type[EyeTraining], curve: str) -> argparse.Namespace:
    """The command line of both trainings: out, curve, steps, export."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the resumable state")
    parser.add_argument("--curve", type=Path, default=Path(curve), help="CSV that figures are appended to")
    parser.add_argument("--begin", type=Path, help="an earlier checkpoint whose weights are taken over first")
    default = [plan.steps for plan in kind.plans.values()]
    parser.add_argument("--steps", nargs=len(default), type=int, default=default, metavar=tuple(kind.plans), help="steps of each stage")
    parser.add_argument("--export", type=Path, help="write the averaged weights there as a plain checkpoint when done")
    return parser.parse_args()
