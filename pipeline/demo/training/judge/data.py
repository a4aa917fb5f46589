"""Training data of the demo's judge: crops about toys and about nothing, and questions with their true answers.

Knows the world and the image processor's arithmetic; knows no model. The seeds are its own: 900 to 999.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.demo.draw import draw
from pipeline.demo.training.captioner.data import Box, jittered, packed_scene, square
from pipeline.demo.world import ASPECTS, COLOURS, MATERIALS, NOUNS, PATTERNS, SIDE_PX, SIZES_PX, Scene, Toy, scene, two_valued_scene
from stages.regions.crops import focal_crop
from stages.regions.outline import outlined_crop

CROP_SCALE, CROP_MIN_SIDE_PX = 1.3, 24
JUDGE_PX = 64
CANNOT_TELL = "cannot_tell"
VALUES = {"colour": COLOURS, "pattern": PATTERNS, "material": MATERIALS, "object": NOUNS}
ANSWERS = ("yes", "no", "cannot_tell")
ORDERS = ("yes, no or cannot_tell", "no, yes or cannot_tell")
NOTHING_SHARE = 0.14
OUTLINED_SHARE = 0.5
TWO_VALUED_SHARE = 0.3
TWO_VALUED_TOYS = 0.5
FAINT = 0.12  # a toy of which less is in the box is not what the question means


@dataclass(frozen=True)
class Question:
    """Whether a value is true of a crop's toy, and the true answer."""

    type: str
    value: str
    noun: str
    order: int
    answer: str

    @property
    def text(self) -> str:
        asked = f"Is the toy a {self.value}?" if self.type == "object" else f"Is the {self.type} of the {self.noun} {self.value}?"
        return f"{asked} {ORDERS[self.order]}"

    @property
    def written_answer(self) -> str:
        """The answer as the judge writes it."""
        return answer_text(self.answer)


@dataclass(frozen=True)
class Choice:
    """Which of some values are true of a crop's toy, and those that are, in the world's order; none: it cannot be told."""

    type: str
    options: tuple[str, ...]
    noun: str
    ticked: tuple[str, ...]

    @property
    def text(self) -> str:
        asked = "Which is the toy?" if self.type == "object" else f"Which is the {self.type} of the {self.noun}?"
        return f"{asked} {', '.join(json.dumps(option) for option in self.options)} or {json.dumps(CANNOT_TELL)}"

    @property
    def written_answer(self) -> str:
        return json.dumps({"answer": list(self.ticked or (CANNOT_TELL,))})


Asked = Question | Choice


@dataclass(frozen=True)
class Crop:
    """What the judge sees, (64, 64, 3) uint8, and the toy that it is about; None where there is none."""

    pixels: np.ndarray
    toy: Toy | None


def answer_text(answer: str) -> str:
    return json.dumps({"answer": answer})


def truth_of(toy: Toy | None, noun: str, kind: str, value: str) -> str:
    """The true answer: an attribute of another noun than the toy's cannot be told."""
    if toy is None or (kind != "object" and noun != toy.noun):
        return CANNOT_TELL
    return "yes" if value in toy.values(kind) else "no"


def choice_of(toy: Toy | None, noun: str, kind: str, options: Sequence[str]) -> Choice:
    """The question which of these options are true, with its true answer."""
    ticked = tuple(value for value in VALUES[kind] if value in options and truth_of(toy, noun, kind, value) == "yes")
    return Choice(kind, tuple(options), noun, ticked)


def questions_of(rng: random.Random, toy: Toy | None, num: int) -> list[Asked]:
    """`num` questions, every other one a choice. Yes and no alike often; one in fifteen about a noun that is not there."""
    questions: list[Asked] = []
    for place in range(num):
        kind = rng.choice(tuple(VALUES))
        noun = toy.noun if toy is not None and rng.random() < 0.93 else rng.choice(NOUNS)
        questions.append(_choice(rng, toy, noun, kind) if place % 2 else _question(rng, toy, noun, kind))
    return questions


def _question(rng: random.Random, toy: Toy | None, noun: str, kind: str) -> Question:
    value = rng.choice(VALUES[kind])
    if toy is not None:
        own = toy.values(kind)
        value = rng.choice(own) if rng.random() < 0.5 else rng.choice([word for word in VALUES[kind] if word not in own] or own)
    return Question(kind, value, noun, rng.randrange(2), truth_of(toy, noun, kind, value))


def _choice(rng: random.Random, toy: Toy | None, noun: str, kind: str) -> Choice:
    """Of all values or fewer, in any order; now and then no true one is among them."""
    words = VALUES[kind]
    options = rng.sample(words, len(words) if rng.random() < 0.6 else rng.randint(2, len(words)))
    own = toy.values(kind)[0] if toy is not None else options[0]
    if own not in options and rng.random() < 0.85:
        options[rng.randrange(len(options))] = own
    return choice_of(toy, noun, kind, options)


def crop_about(painted: Image.Image, xyxy: Box, *, outline: bool = False) -> np.ndarray:
    """The crop that the stage verify cuts, with the box outlined or not, as the judge's image processor squares it."""
    if outline:
        shown = outlined_crop(painted, xyxy, scale=CROP_SCALE, min_side_px=CROP_MIN_SIDE_PX, upscale_side_px=None).crop
    else:
        shown = focal_crop(painted, xyxy, scale=CROP_SCALE, min_side_px=CROP_MIN_SIDE_PX)
    return np.asarray(square(shown, JUDGE_PX))


def empty_box(rng: random.Random, truth: Scene) -> Box | None:
    """A box of a toy's size that holds almost nothing of any toy; None where a few draws found none."""
    for _ in range(20):
        longer = rng.uniform(*rng.choice(tuple(SIZES_PX.values())))
        width, height = (longer * share for share in rng.choice(tuple(ASPECTS.values())))
        left, top = rng.uniform(2, SIDE_PX - 2 - width), rng.uniform(2, SIDE_PX - 2 - height)
        box = (left, top, left + width, top + height)
        if all(_held(box, toy.xyxy) < FAINT for toy in truth.toys):
            return box
    return None


def _held(box: Box, other: Box) -> float:
    """The shared area over the smaller of the two."""
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / min((box[2] - box[0]) * (box[3] - box[1]), (other[2] - other[0]) * (other[3] - other[1]))


def crops_of(rng: random.Random, truth: Scene, outlined_share: float = OUTLINED_SHARE) -> list[Crop]:
    """A crop about each toy, its box as good as a detector's, and now and then one about nothing."""
    painted = draw(truth)
    crops = []
    for toy in truth.toys:
        box = jittered(rng, toy.xyxy, rng.choice((0.0, 0.05, 0.05, 0.1)))
        crops.append(Crop(crop_about(painted, box, outline=rng.random() < outlined_share), toy))
        if rng.random() < NOTHING_SHARE / (1 - NOTHING_SHARE):
            empty = empty_box(rng, truth)
            if empty is not None:
                crops.append(Crop(crop_about(painted, empty, outline=rng.random() < outlined_share), None))
    return crops


def training_crops(step: int, num: int) -> list[Crop]:
    """The crops of a step, a function of the step alone: scenes of the world, full ones, and ones with two-valued toys."""
    rng = random.Random(f"judge/{step}")
    crops: list[Crop] = []
    place = 0
    while len(crops) < num:
        seed, index, drawn = 900 + step % 100, step * 128 + place, rng.random()
        if drawn < TWO_VALUED_SHARE:
            truth = two_valued_scene(seed, index, TWO_VALUED_TOYS)
        else:
            truth = packed_scene(seed, index) if rng.random() < 0.5 else scene(seed, index)
        crops += crops_of(rng, truth)
        place += 1
    return crops[:num]
