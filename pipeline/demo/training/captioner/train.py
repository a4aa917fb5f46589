"""Trains the demo's captioner from scratch on one CPU thread: first the eye on windows, then captions.

    python -m pipeline.demo.training.captioner.train --out training/captioner --export pipeline/demo/checkpoints/captioner

Resumable: what is in --out goes on. Each step's data is a function of its number, so a rerun sees the same.
"""

import random
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.demo.training.captioner.captions import Sample, read, samples_of, see, speak
from pipeline.demo.training.captioner.data import CLASSES, held_out_windows, windows
from pipeline.demo.training.captioner.eye import Eye, by_side, look, new_eye
from pipeline.demo.training.captioner.model import export, new_captioner, new_processor
from pipeline.demo.training.captioner.scores import evaluate
from pipeline.demo.training.eye_training import EyeTraining, Plan, arguments
from pipeline.demo.training.vocabulary import train_tokenizer

WINDOWS_A_STEP = {2: 64, 3: 36, 4: 8}
NUM_WHOLE, NUM_REGIONS = 12, 6
NUM_WHOLE_JOINT, NUM_REGIONS_JOINT = 6, 6
DENSE_SHARE = 0.2
FRESH = (4, 2)
REMEMBERED = {"replay": 4000, "joint": 480}  # the eye moves in joint steps, so their tokens go stale
HELD_OUT_SCENES = 48
DENSE_SLOTS = tuple(f"dense_{slot}" for slot in ("object", *CLASSES))
FIGURES = ("json", "precision", "recall", "count", *CLASSES, "region_colour", "region_pattern", "region_material", "region_exact")


class CaptionerTraining(EyeTraining):
    """The eye alone on windows; the text model listens to it; then remembered tokens; then everything together."""

    plans = {
        "eye": Plan(1e-3, 0.0, 0.25, every=200, steps=1000),
        "listen": Plan(4e-4, 1.5e-3, 0.0, every=150, steps=80),
        "replay": Plan(0.0, 1.5e-3, 0.0, every=300, steps=600),
        "joint": Plan(3e-4, 1e-3, 0.6, every=150, steps=1150),
    }
    average_decay = 0.998
    counted = "images"
    figures_told = (*DENSE_SLOTS, *FIGURES)

    def __init__(self, out: Path, curve: Path) -> None:
        torch.manual_seed(0)
        tokenizer = train_tokenizer()
        model = new_captioner(tokenizer)
        self.memory: list[tuple[Sample, torch.Tensor]] = []
        super().__init__(model, new_eye(model.model.vision_model, model.model.connector), tokenizer, out, curve)

    def enter(self, stage: str) -> None:
        super().enter(stage)
        self.seen, self.memory = 0, []

    def backward(self) -> float:
        return {"eye": self._eye, "listen": self._shielded, "replay": self._replayed, "joint": self._joint}[self.stage]()

    def held_out_figures(self) -> dict[str, float]:
        figures = dense_figures(self.eye)
        if self.stage != "eye":
            figures |= evaluate(self.model, new_processor(self.tokenizer), HELD_OUT_SCENES, HELD_OUT_SCENES)
        return figures

    def _eye(self) -> float:
        """Windows about some hundred toys, the small ones most often."""
        cuts = [window for place in range(24) for window in windows(self.step % 900, self.step * 24 + place)]
        total = 0.0
        for side, group in by_side(cuts).items():
            group = random.Random(self.step).sample(group, min(len(group), WINDOWS_A_STEP[side]))
            with torch.autocast("cpu", torch.bfloat16):
                loss = look(self.eye, group).loss * (len(group) / sum(WINDOWS_A_STEP.values()))
            loss.backward()
            total += float(loss.item())
            self.seen += len(group)
        return total

    def _shielded(self) -> float:
        """Whole inputs: the eye learns from its readers alone while the text model, still wild, learns to listen."""
        samples = self._fresh(NUM_WHOLE, NUM_REGIONS)
        with torch.autocast("cpu", torch.bfloat16):
            tokens = see(self.eye, samples)
            caption_loss = speak(self.model, self.tokenizer, tokens.detach(), samples)
            (caption_loss + 0.3 * read(self.eye, tokens, samples).loss).backward()
        return float(caption_loss.item())

    def _replayed(self) -> float:
        """The eye rests: a few fresh inputs and many remembered ones, of which only the tokens were kept."""
        fresh = self._fresh(*FRESH)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            tokens = see(self.eye, fresh)
        caption_loss = self._speak_with_memory(tokens, fresh, NUM_WHOLE + NUM_REGIONS - len(fresh))
        caption_loss.backward()
        return float(caption_loss.item())

    def _joint(self) -> float:
        """Whole inputs through everything, and as many remembered ones; the readers keep a fifth of a say."""
        samples = self._fresh(NUM_WHOLE_JOINT, NUM_REGIONS_JOINT)
        with torch.autocast("cpu", torch.bfloat16):
            tokens = see(self.eye, samples)
            dense_loss = read(self.eye, tokens, samples).loss
        caption_loss = self._speak_with_memory(tokens, samples, len(samples))
        (caption_loss + DENSE_SHARE * dense_loss).backward()
        return float(caption_loss.item())

    def _fresh(self, num_whole: int, num_regions: int) -> list[Sample]:
        self.seen += num_whole + num_regions
        return samples_of(self.batch_number, num_whole, num_regions)

    def _speak_with_memory(self, tokens: torch.Tensor, samples: list[Sample], num_remembered: int) -> torch.Tensor:
        """The caption loss of these samples and of remembered ones; remembers these for later, without pixels."""
        chosen = random.Random(self.step).sample(self.memory, min(len(self.memory), num_remembered))
        kept = [
            (replace(sample, pixels=sample.pixels[:0].copy()), row.detach().clone()) for sample, row in zip(samples, tokens, strict=True)
        ]
        self.memory = [*self.memory, *kept][-REMEMBERED[self.stage] :]
        rows = torch.cat([tokens, *(row[None] for _, row in chosen)])
        with torch.autocast("cpu", torch.bfloat16):
            return speak(self.model, self.tokenizer, rows, [*samples, *(sample for sample, _ in chosen)])


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
    options = arguments(__doc__, CaptionerTraining, "pipeline/demo/curves/captioner.csv")
    torch.set_num_threads(1)
    training = CaptionerTraining(options.out, options.curve)
    training.train(options.steps)
    if options.export:
        training.load_average()
        export(training.model, new_processor(training.tokenizer), options.export)


if __name__ == "__main__":
    main()
