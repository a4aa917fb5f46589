"""Prompts and batches for the demo's detector. Knows the world and the tokenizer, nothing of models or losses.

Axes: B image, N toy, L token, P pixel row or column.
"""

import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import BertTokenizer

from pipeline.demo.draw import draw
from pipeline.demo.world import (
    BACKGROUNDS,
    COLOURS,
    MATERIALS,
    NOUNS,
    NUMBERS,
    PARTS,
    PATTERNS,
    POSITIONS,
    SIDE_PX,
    SIZES_PX,
    Scene,
    Toy,
    scene,
)

CLS_ID, SEP_ID, DOT_ID, QUESTION_ID = 101, 102, 1012, 1029  # hard-coded in transformers' Grounding DINO
VOCABULARY_SIZE = 1152
CHANNEL_MEAN, CHANNEL_STD = 0.5, 0.25
WORD_SETS = (tuple(SIZES_PX), COLOURS, PATTERNS, MATERIALS, NOUNS)
UNKNOWN_WORD = "orange"  # stands for every word outside the vocabulary: all of them read as [UNK]
_EXTRA_WORDS = "a an the toy toys stand stands on at in of and with there is are it"


@dataclass(frozen=True)
class Prompt:
    """Phrases in the order of the prompt, and for each toy the indices of the phrases that fit it."""

    phrases: tuple[str, ...]
    fitting: tuple[tuple[int, ...], ...]

    @property
    def text(self) -> str:
        return " ".join(f"{phrase} ." for phrase in self.phrases)


@dataclass(frozen=True)
class Batch:
    """Pixels are normalised; boxes are centre x, centre y, width, height as shares of the image."""

    pixel_BCPP: torch.Tensor
    token_BL: torch.Tensor
    mask_BL: torch.Tensor
    boxes_N4: list[torch.Tensor]  # every toy of each image
    attributes_N5: list[torch.Tensor]  # indices into WORD_SETS
    target_NL: list[torch.Tensor]  # 1 at the tokens of the phrases that fit; a row of zeros: no phrase fits


def vocabulary() -> dict[str, int]:
    """Every word of the demo by id; free ids hold [unusedN], ids 0, 101, 102, 1012 and 1029 are as in BERT."""
    texts = [*BACKGROUNDS, *POSITIONS, *PARTS.values(), *NUMBERS, *(word for words in WORD_SETS for word in words), _EXTRA_WORDS]
    words = sorted({word for text in texts for word in text.split()})
    fixed = {"[PAD]": 0, "[UNK]": 100, "[CLS]": CLS_ID, "[SEP]": SEP_ID, "[MASK]": 103, ".": DOT_ID, "?": QUESTION_ID, ",": 1010}
    table = {identity: word for word, identity in fixed.items()}
    free = (identity for identity in range(1030, VOCABULARY_SIZE))
    table.update({next(free): word for word in words})
    return {table.get(identity, f"[unused{identity}]"): identity for identity in range(VOCABULARY_SIZE)}


def tokenizer(scratch: Path) -> BertTokenizer:
    """The demo's own word-level tokenizer, lower case; `scratch` receives its vocabulary file."""
    scratch.mkdir(parents=True, exist_ok=True)
    table = vocabulary()
    (scratch / "vocabulary.json").write_text(json.dumps(table))
    made: BertTokenizer = BertTokenizer(vocab=table, do_lower_case=True, model_max_length=256)
    return made


def values(toy: Toy) -> tuple[str, str, str, str, str]:
    """Size, colour, pattern, material and noun: the words of its phrase after the article."""
    return (toy.size, toy.colour, toy.pattern, toy.material, toy.noun)


def phrase_of(words: tuple[str | None, ...]) -> str:
    return " ".join(["a", *(word for word in words if word)])


def fits(words: tuple[str | None, ...], toy: Toy) -> bool:
    return all(word is None or word == value for word, value in zip(words, values(toy), strict=True))


def near_miss(words: tuple[str, ...], rng: random.Random) -> tuple[str, ...]:
    """`words` with one of its five words exchanged for another of its kind."""
    slot = rng.randrange(5)
    other = rng.choice([word for word in WORD_SETS[slot] if word != words[slot]])
    return (*words[:slot], other, *words[slot + 1 :])


def sample_prompt(shown: Scene, rng: random.Random) -> Prompt:
    """1 to 8 phrases: toys of the scene, a fifth of them with a word dropped, and up to 3 that fit nothing.

    A prompt in use is one phrase; the more there are here, the more a step teaches.
    """
    is_short = rng.random() < 0.2
    num_present = 1 if is_short else rng.randint(min(2, len(shown.toys)), len(shown.toys))
    num_absent = 0 if is_short else rng.choice((1, 2, 2, 3))
    wanted: list[tuple[str | None, ...]] = []
    for toy in rng.sample(shown.toys, num_present):
        words: list[str | None] = list(values(toy))
        if rng.random() < 0.2:
            words[0 if rng.random() < 0.6 else rng.randrange(4)] = None
        wanted.append(tuple(words))
    if is_short and rng.random() < 0.5:
        wanted, num_absent = [], 1
    texts: dict[str, tuple[str | None, ...] | None] = {_with_part(words, rng): words for words in wanted}
    for _ in range(num_absent):
        phrase, absent = _absent(shown, rng)
        texts.setdefault(phrase, absent)
    order = rng.sample(sorted(texts), len(texts))
    parsed = [texts[phrase] for phrase in order]
    fitting = tuple(tuple(index for index, words in enumerate(parsed) if words is not None and fits(words, toy)) for toy in shown.toys)
    return Prompt(tuple(order), fitting)


def _with_part(words: tuple[str | None, ...], rng: random.Random) -> str:
    """The phrase, now and then with its noun's part, which is true of every toy of that noun."""
    part = f" with {PARTS[str(words[-1])]}" if rng.random() < 0.05 else ""
    return phrase_of(words) + part


def _absent(shown: Scene, rng: random.Random) -> tuple[str, tuple[str | None, ...] | None]:
    """Scenery in an eighth of the cases, else words that fit no toy, mostly a near miss of one."""
    kind = rng.random()
    if kind < 0.125:
        count = rng.choice(("one toy", *(f"{number} toys" for number in NUMBERS[2:])))
        return rng.choice((count, f"a {rng.choice(BACKGROUNDS)}", f"the {rng.choice(POSITIONS)}")), None
    while True:
        words = near_miss(values(rng.choice(shown.toys)), rng) if kind < 0.9 else tuple(rng.choice(choices) for choices in WORD_SETS)
        if rng.random() < 0.08:
            slot = rng.randrange(5)
            words = (*words[:slot], UNKNOWN_WORD, *words[slot + 1 :])
        if not any(fits(words, toy) for toy in shown.toys):
            return phrase_of(words), words


def boxes_of(shown: Scene) -> torch.Tensor:
    corners = np.array([toy.xyxy for toy in shown.toys], np.float32) / SIDE_PX
    centred = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
    return torch.from_numpy(centred)


def pixels_of(images: list[Image.Image]) -> torch.Tensor:
    """Normalised pixels of 224 x 224 images, as the exported processor makes them."""
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return stacked.permute(0, 3, 1, 2).float().div_(255).sub_(CHANNEL_MEAN).div_(CHANNEL_STD)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image after one lossy coding: corpora hold JPEGs."""
    coded = io.BytesIO()
    image.save(coded, "JPEG", quality=quality)
    return Image.open(coded).convert("RGB")


def make_batch(scenes: list[Scene], images: list[Image.Image], prompts: list[Prompt], words: BertTokenizer) -> Batch:
    encoded = words([prompt.text for prompt in prompts], padding=True, return_tensors="pt")
    token_BL, mask_BL = encoded["input_ids"], encoded["attention_mask"]
    targets = [token_targets(token_BL[row], prompt) for row, prompt in enumerate(prompts)]
    attributes = [
        torch.tensor([[kinds.index(word) for kinds, word in zip(WORD_SETS, values(toy), strict=True)] for toy in shown.toys])
        for shown in scenes
    ]
    return Batch(pixels_of(images), token_BL, mask_BL, [boxes_of(shown) for shown in scenes], attributes, targets)


def token_targets(token_L: torch.Tensor, prompt: Prompt) -> torch.Tensor:
    """1 where toy n is named by the phrase that holds token l; dots and special tokens are 0."""
    is_dot_L = token_L == DOT_ID
    phrase_L = torch.cumsum(is_dot_L, 0)
    is_word_L = ~is_dot_L & (token_L != CLS_ID) & (token_L != SEP_ID) & (token_L != 0)
    target_NL = torch.zeros(len(prompt.fitting), len(token_L))
    for row, fitting in enumerate(prompt.fitting):
        for index in fitting:
            target_NL[row, (phrase_L == index) & is_word_L] = 1
    return target_NL


def training_batch(seed: int, step: int, size: int, words: BertTokenizer) -> Batch:
    """Batch `step` of a training: scenes of `seed` (< 1000), the same for the same arguments."""
    rng = random.Random(f"detector/{seed}/{step}")
    scenes = [scene(seed, step * size + row) for row in range(size)]
    images = [draw(shown) for shown in scenes]
    coded = [as_jpeg(image, rng.randint(80, 96)) if rng.random() < 0.25 else image for image in images]
    return make_batch(scenes, coded, [sample_prompt(shown, rng) for shown in scenes], words)
