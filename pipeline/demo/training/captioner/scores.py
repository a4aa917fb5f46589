"""How well the captioner sees: its greedy answers on held-out scenes against what is true there.

    python -m pipeline.demo.training.captioner.scores pipeline/demo/checkpoints/captioner

Knows answers and scenes; knows nothing of training.
"""

import argparse
import json
import re
from collections import Counter
from dataclasses import dataclass, field

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, Idefics3ForConditionalGeneration, Idefics3Processor

from pipeline.demo.draw import draw
from pipeline.demo.training.vocabulary import WHOLE_PROMPT, region_prompt
from pipeline.demo.world import COLOURS, MATERIALS, NOUNS, PATTERNS, POSITIONS, SIZES_PX, Toy, scene
from stages.regions.focus import Focus

SLOTS = ("noun", "colour", "pattern", "material", "size", "position")
REGION_SLOTS = ("colour", "pattern", "material")
_SENTENCE = re.compile(
    rf"At the ({'|'.join(POSITIONS)}) there is a ({'|'.join(SIZES_PX)}) ({'|'.join(COLOURS)}) ({'|'.join(PATTERNS)}) "
    rf"({'|'.join(MATERIALS)}) ({'|'.join(NOUNS)})\."
)
_ORDER = ("position", "size", "colour", "pattern", "material", "noun")


@dataclass
class Score:
    """Counts over held-out answers; shares are of all that was asked."""

    parsed: int = 0
    answers: int = 0
    stated: int = 0
    true: int = 0
    right: Counter[str] = field(default_factory=Counter)
    matched: int = 0
    counted: int = 0
    scenes: int = 0
    regions: int = 0

    def figures(self) -> dict[str, float]:
        """Precision and recall over the six slots, and each slot's share among matched objects and regions."""
        right = sum(self.right[slot] for slot in SLOTS)
        shares = {slot: self.right[slot] / max(1, self.matched) for slot in SLOTS[:-1]}
        regions = {f"region_{slot}": self.right[f"region_{slot}"] / max(1, self.regions) for slot in (*REGION_SLOTS, "exact")}
        return {
            "json": self.parsed / max(1, self.answers),
            "precision": right / max(1, 6 * self.stated),
            "recall": right / max(1, 6 * self.true),
            "count": self.counted / max(1, self.scenes),
            **shares,
            **regions,
        }


def said_of(long_caption: str) -> list[dict[str, str]]:
    """The objects that a long caption describes, as slot words."""
    return [dict(zip(_ORDER, words, strict=True)) for words in _SENTENCE.findall(long_caption)]


def score_whole(score: Score, answer: str, toys: tuple[Toy, ...]) -> None:
    """Adds one whole-image answer; objects match by position."""
    score.answers += 1
    score.scenes += 1
    score.true += len(toys)
    try:
        sentences = said_of(json.loads(answer)["long"])
    except (ValueError, KeyError, TypeError):
        return
    score.parsed += 1
    score.stated += len(sentences)
    score.counted += len(sentences) == len(toys)
    by_position = {toy.position: toy for toy in toys}
    for words in sentences:
        toy = by_position.pop(words["position"], None)
        if toy is not None:
            score.matched += 1
            score.right.update(slot for slot in SLOTS if words[slot] == getattr(toy, slot))


def score_region(score: Score, answer: str, toy: Toy) -> None:
    """Adds one region answer."""
    score.answers += 1
    score.regions += 1
    try:
        value = json.loads(answer)
        values = {item["type"]: item["value"] for item in value["attributes"]}
        is_exact = (value["short"], value["long"]) == (toy.expression, toy.long_expression)
    except (ValueError, KeyError, TypeError):
        return
    score.parsed += 1
    score.right.update(f"region_{slot}" for slot in REGION_SLOTS if values.get(slot) == getattr(toy, slot))
    score.right["region_exact"] += is_exact


def answers(
    model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, images: list[Image.Image], prompts: list[str], batch: int = 32
) -> list[str]:
    """Greedy answers in the model's own precision, through the chat template and the shipped processor."""
    decoded: list[str] = []
    processor.tokenizer.padding_side = "left"
    for first in range(0, len(images), batch):
        texts = [
            processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}], add_generation_prompt=True
            )
            for prompt in prompts[first : first + batch]
        ]
        inputs = processor(text=texts, images=[[image] for image in images[first : first + batch]], padding=True, return_tensors="pt")
        with torch.no_grad():
            out = model.generate(**inputs, do_sample=False, max_new_tokens=200)
        decoded += processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return decoded


def evaluate(
    model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, num_scenes: int, num_regions: int | None = None, seed: int = 1000
) -> dict[str, float]:
    """Figures of free-running greedy answers on scenes of a held-out seed and on their regions."""
    model.eval()
    score = Score()
    truths = [scene(seed, index) for index in range(num_scenes)]
    painted = [draw(truth) for truth in truths]
    for truth, answer in zip(truths, answers(model, processor, painted, [WHOLE_PROMPT] * num_scenes), strict=True):
        score_whole(score, answer, truth.toys)
    regions = [(image, toy) for image, truth in zip(painted, truths, strict=True) for toy in truth.toys][:num_regions]
    crops = [Focus().crop(image, toy.xyxy) for image, toy in regions]
    texts = answers(model, processor, crops, [region_prompt(toy.noun) for _, toy in regions])
    for (_, toy), answer in zip(regions, texts, strict=True):
        score_region(score, answer, toy)
    model.train()
    return score.figures()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1001)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = AutoModelForImageTextToText.from_pretrained(args.checkpoint)
    figures = evaluate(model, AutoProcessor.from_pretrained(args.checkpoint), args.scenes, seed=args.seed)
    print({name: round(value, 4) for name, value in figures.items()})


if __name__ == "__main__":
    main()
