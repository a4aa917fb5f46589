"""Trains the demo's judge from scratch on one CPU thread: first its eye on crops, then its answers.

    python -m pipeline.demo.training.judge.train --out training/judge --export pipeline/demo/checkpoints/judge

Resumable: what is in --out goes on. Each step's data is a function of its number, so a rerun sees the same.
"""

import random
from pathlib import Path

import torch

from pipeline.demo.training.captioner.model import export
from pipeline.demo.training.eye_training import EyeTraining, Plan, arguments
from pipeline.demo.training.judge.answers import Speller, read, see, tell
from pipeline.demo.training.judge.data import VALUES, questions_of, training_crops
from pipeline.demo.training.judge.model import READERS, begin_from, judge_processor, judge_tokenizer, new_eye, new_judge
from pipeline.demo.training.judge.scores import held_out_crops, judge

CROPS = {"eye": 128, "listen": 64, "joint": 64}
QUESTIONS = 4
SEEN_SHARE = 0.5
HELD_OUT_SEED, HELD_OUT_SCENES = 1000, 120
OUTCOMES = ("false_given_true", "true_given_false", "unsure_given_true", "unsure_given_false")
FIGURES = tuple(f"{kind}_{name}" for kind in VALUES for name in OUTCOMES)


class JudgeTraining(EyeTraining):
    """The eye alone on crops; the text model listens to it; then both."""

    plans = {
        "eye": Plan(1e-3, 0.0, 0.3, every=100, steps=500),
        "listen": Plan(0.0, 1.5e-3, 0.0, every=100, steps=200),
        "joint": Plan(5e-4, 1e-3, 0.6, every=150, steps=900),
    }
    average_decay = 0.995
    counted = "crops"
    figures_told = (
        *(f"seen_{slot}" for slot in READERS),
        *FIGURES,
        "decided_given_nothing",
        "order_sensitive",
        "choice_wrong",
        "two_valued_choice_wrong",
    )

    def __init__(self, out: Path, curve: Path, begin: Path | None = None) -> None:
        tokenizer = judge_tokenizer()
        model = new_judge(tokenizer)
        if begin is not None:
            begin_from(model, tokenizer, begin)
        self.speller = Speller(tokenizer)
        super().__init__(model, new_eye(model), tokenizer, out, curve)

    def backward(self) -> float:
        """The eye learns from its readers alone until the text model, at first wild, has learnt to listen."""
        crops = training_crops(self.batch_number, CROPS[self.stage])
        self.seen += len(crops)
        with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(self.stage != "listen"):
            tokens = see(self.eye, crops)
            seen = read(self.eye, tokens, crops)
        if self.stage == "eye":
            seen.loss.backward()
            return float(seen.loss.item())
        rng = random.Random(f"questions/{self.batch_number}")
        asked = [questions_of(rng, crop.toy, QUESTIONS) for crop in crops]
        with torch.autocast("cpu", torch.bfloat16):
            answered = tell(self.model, self.speller, tokens, asked)
        (answered.loss if self.stage == "listen" else answered.loss + SEEN_SHARE * seen.loss).backward()
        return answered.verdict

    def held_out_figures(self) -> dict[str, float]:
        crops = held_out_crops(HELD_OUT_SEED, HELD_OUT_SCENES)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            figures = {f"seen_{slot}": value for slot, value in read(self.eye, see(self.eye, crops), crops).accuracies.items()}
            if self.stage != "eye":
                figures |= judge(self.model, self.eye, self.speller, crops).figures()
                two = judge(self.model, self.eye, self.speller, held_out_crops(HELD_OUT_SEED, HELD_OUT_SCENES // 2, two_valued_share=0.5))
                figures["two_valued_choice_wrong"] = two.figures()["choice_wrong"]
        return figures


def main() -> None:
    options = arguments(__doc__, JudgeTraining, "pipeline/demo/curves/judge.csv")
    torch.set_num_threads(1)
    training = JudgeTraining(options.out, options.curve, options.begin)
    training.train(options.steps)
    if options.export:
        training.load_average()
        export(training.model, judge_processor(judge_tokenizer()), options.export)


if __name__ == "__main__":
    main()
