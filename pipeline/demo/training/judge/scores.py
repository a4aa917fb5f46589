"""How well the judge judges: verdicts in both orders on held-out crops against what is true of them.

    python -m pipeline.demo.training.judge.scores pipeline/demo/checkpoints/judge

Asks every value of every slot about every toy, of boxes as good as a detector's, and what cannot be told of nothing.
"""

import argparse
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, Idefics3ForConditionalGeneration

from pipeline.demo.training.captioner.eye import Eye
from pipeline.demo.training.judge.answers import Speller, see, tell
from pipeline.demo.training.judge.data import ANSWERS, OUTLINED_SHARE, VALUES, Choice, Crop, Question, choice_of, crops_of, truth_of
from pipeline.demo.training.judge.model import judge_tokenizer, new_eye
from pipeline.demo.world import two_valued_scene

Outcome = tuple[str, str, str]


@dataclass
class Verdicts:
    """How often each verdict (true, false, unsure) came where each answer was true, by type: counts[type, answer, verdict]."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    by_size: Counter[Outcome] = field(default_factory=Counter)
    same_in_both_orders: int = 0
    asked: int = 0
    choices: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def share(self, kind: str, answer: str, verdict: str) -> float:
        total = sum(self.counts[kind, answer, other] for other in ("true", "false", "unsure"))
        return self.counts[kind, answer, verdict] / max(1, total)

    def figures(self) -> dict[str, float]:
        """For each type: what a true and a false value's verdicts are, in shares; and how often the order changed the answer."""
        shares = {}
        for kind in VALUES:
            shares[f"{kind}_false_given_true"] = self.share(kind, "yes", "false")
            shares[f"{kind}_true_given_false"] = self.share(kind, "no", "true")
            shares[f"{kind}_unsure_given_true"] = self.share(kind, "yes", "unsure")
            shares[f"{kind}_unsure_given_false"] = self.share(kind, "no", "unsure")
        nothing = sum(count for (_, answer, _), count in self.counts.items() if answer == "cannot_tell")
        unsure = sum(self.counts[kind, "cannot_tell", "unsure"] for kind in VALUES)
        return shares | {
            "decided_given_nothing": (nothing - unsure) / max(1, nothing),
            "choice_wrong": 1 - sum(num for (_, right), num in self.choices.items() if right) / max(1, self.choices.total()),
            "order_sensitive": 1 - self.same_in_both_orders / max(1, self.asked),
        }


def verdict_of(answers: tuple[str, str]) -> str:
    """true or false where both orders agree on yes or no, else unsure."""
    if answers[0] != answers[1]:
        return "unsure"
    return {"yes": "true", "no": "false"}.get(answers[0], "unsure")


@lru_cache(maxsize=4)
def held_out_crops(seed: int, num_scenes: int, outlined_share: float = OUTLINED_SHARE, two_valued_share: float = 0.0) -> list[Crop]:
    """Crops of scenes that no training sees."""
    scenes = [two_valued_scene(seed, index, two_valued_share) for index in range(num_scenes)]
    return [crop for scene in scenes for crop in crops_of(random.Random(f"held/{seed}/{scene.index}"), scene, outlined_share)]


def every_question(crop: Crop) -> list[Question]:
    """Each value of each slot in both orders; of nothing, asked by the noun car."""
    noun = crop.toy.noun if crop.toy is not None else "car"
    return [
        Question(kind, value, noun, order, truth_of(crop.toy, noun, kind, value))
        for kind, words in VALUES.items()
        for value in words
        for order in (0, 1)
    ]


def every_choice(crop: Crop) -> list[Choice]:
    """Of all values of each slot in both orders, the world's and its reverse."""
    noun = crop.toy.noun if crop.toy is not None else "car"
    return [choice_of(crop.toy, noun, kind, options) for kind, words in VALUES.items() for options in (words, words[::-1])]


def judge(model: Idefics3ForConditionalGeneration, eye: Eye, speller: Speller, crops: list[Crop]) -> Verdicts:
    """The verdicts of greedy answers, read where the answer forks."""
    verdicts = Verdicts()
    for first in range(0, len(crops), 24):
        batch = crops[first : first + 24]
        questions, choices = [every_question(crop) for crop in batch], [every_choice(crop) for crop in batch]
        with torch.no_grad():
            seen = see(eye, batch)
            answered, chosen = tell(model, speller, seen, questions), tell(model, speller, seen, choices)
        verdicts.choices.update(zip((choice.type for of_crop in choices for choice in of_crop), chosen.is_right_Q.tolist(), strict=True))
        answers = iter([ANSWERS[place] for place in answered.logits_Q3.argmax(-1).tolist()])
        for crop, asked in zip(batch, questions, strict=True):
            for question in asked[::2]:
                pair = (next(answers), next(answers))
                verdict = verdict_of(pair)
                verdicts.counts[question.type, question.answer, verdict] += 1
                verdicts.by_size[crop.toy.size if crop.toy is not None else "nothing", question.answer, verdict] += 1
                verdicts.same_in_both_orders += pair[0] == pair[1]
                verdicts.asked += 1
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1001)
    parser.add_argument("--outlined", type=float, default=OUTLINED_SHARE, help="share of the crops in which the box is outlined")
    parser.add_argument("--two-valued", type=float, default=0.0, help="share of the toys that have two values of a slot")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = AutoModelForImageTextToText.from_pretrained(args.checkpoint).eval()
    verdicts = judge(
        model, new_eye(model), Speller(judge_tokenizer()), held_out_crops(args.seed, args.scenes, args.outlined, args.two_valued)
    )
    for name, value in verdicts.figures().items():
        print(f"{name:28} {value:.4f}")
    for (kind, is_right), count in sorted(verdicts.choices.items()):
        print(f"choice of {kind:9} {'right' if is_right else 'wrong':8} {count}")
    for (size, answer, verdict), count in sorted(verdicts.by_size.items()):
        print(f"{size:8} {answer:12} {verdict:8} {count}")


if __name__ == "__main__":
    main()
