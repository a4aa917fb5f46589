"""One caption step of the captioner: samples of scenes and crops, and the loss of their answers and of their tokens.

Knows the model and the data; knows no schedule and no files. Axes: B images, T image tokens, L text positions.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from pipeline.demo.draw import draw
from pipeline.demo.training.captioner.data import cells_of, crop_of, jittered, packed_scene, thinned_scene
from pipeline.demo.training.captioner.eye import PATCHES, Dense, Eye, pixels_of
from pipeline.demo.training.captioner.model import NUM_IMAGE_TOKENS
from pipeline.demo.training.vocabulary import (
    END,
    FAKE,
    GLOBAL,
    IGNORED,
    IMAGE,
    PAD,
    WHOLE_PROMPT,
    prompt_text,
    region_answer,
    region_prompt,
    whole_answer,
)
from pipeline.demo.world import NUMBERS, PATTERNS, scene

NUMBER_WEIGHT, PATTERN_WEIGHT = 10.0, 3.0
_SPELT_IMAGE = f"{FAKE}{GLOBAL}{IMAGE * NUM_IMAGE_TOKENS}{FAKE}"


@dataclass(frozen=True)
class Sample:
    """One image with its prompt, its answer and what its tokens show."""

    pixels: np.ndarray
    cells: np.ndarray
    prompt: str
    answer: str


def whole_sample(seed: int, index: int) -> Sample:
    """A scene of the world, or in two of five a thinned one, whose counts are flatter."""
    rng = random.Random(f"whole/{seed}/{index}")
    truth = scene(seed, index) if rng.random() < 0.6 else thinned_scene(seed, index)
    if len(truth.toys) >= len(NUMBERS):
        truth = scene(seed, index)
    return Sample(np.asarray(draw(truth)), cells_of(truth.toys), prompt_text(WHOLE_PROMPT, True), whole_answer(truth))


def region_samples(seed: int, index: int, num: int) -> list[Sample]:
    """Focal crops of `num` toys of a scene, packed in two of five; the boxes are jittered as a detector's would be."""
    rng = random.Random(f"regions/{seed}/{index}")
    truth = scene(seed, index) if rng.random() < 0.6 else packed_scene(seed, index)
    painted = draw(truth)
    samples = []
    for toy in rng.sample(truth.toys, min(num, len(truth.toys))):
        crop, window = crop_of(painted, jittered(rng, toy.xyxy))
        samples.append(Sample(crop, cells_of(truth.toys, window), prompt_text(region_prompt(toy.noun), True), region_answer(toy)))
    return samples


def samples_of(step: int, num_whole: int, num_regions: int) -> list[Sample]:
    """The samples of a step; a function of the step alone. Training seeds stay under 1000."""
    seed, first = step % 900, step * 64
    samples = [whole_sample(seed, first + place) for place in range(num_whole)]
    place = 0
    while len(samples) < num_whole + num_regions:
        samples += region_samples(seed, first + 32 + place, 2)
        place += 1
    return samples[: num_whole + num_regions]


def encoded(tokenizer: PreTrainedTokenizerFast, samples: list[Sample]) -> tuple[Tensor, Tensor]:
    """Ids (B, L), padded on the right, and the labels: the id at answer positions, IGNORED elsewhere."""
    rows, lengths = [], []
    for sample in samples:
        prompt = tokenizer(sample.prompt.replace(IMAGE, _SPELT_IMAGE))["input_ids"]
        rows.append(prompt + tokenizer(sample.answer + END)["input_ids"])
        lengths.append(len(prompt))
    width = max(len(row) for row in rows)
    ids_BL = torch.full((len(rows), width), tokenizer.vocab[PAD])
    labels_BL = torch.full((len(rows), width), IGNORED)
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        ids_BL[place, : len(row)] = torch.tensor(row)
        labels_BL[place, length : len(row)] = torch.tensor(row[length:])
    return ids_BL, labels_BL


def see(eye: Eye, samples: list[Sample]) -> Tensor:
    """(B, T, D) tokens of whole inputs."""
    pixels = pixels_of([sample.pixels for sample in samples])
    return eye.tokens(pixels, torch.arange(PATCHES**2).expand(len(samples), -1))


def read(eye: Eye, tokens_BTD: Tensor, samples: list[Sample]) -> Dense:
    """What the readers make of the tokens."""
    return eye.dense(tokens_BTD, torch.from_numpy(np.stack([sample.cells for sample in samples])).flatten(1, 2))


def speak(model: Idefics3ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, tokens_BTD: Tensor, samples: list[Sample]) -> Tensor:
    """Cross-entropy of the answers, teacher-forced, averaged over their tokens; number and pattern words count more.

    The number is one token in eighty: unweighted, it was right in three scenes of five when all else was .95.
    The pattern is the slot that is learned last.
    """
    ids_BL, labels_BL = encoded(tokenizer, samples)
    embedded = model.model.inputs_merger(ids_BL, model.get_input_embeddings()(ids_BL), tokens_BTD)
    hidden_BLD = model.model.text_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    wanted = labels_BL[:, 1:] != IGNORED
    targets = labels_BL[:, 1:][wanted]
    weights = torch.ones(model.config.text_config.vocab_size)
    weights[[tokenizer.vocab[number.capitalize()] for number in NUMBERS[1:]]] = NUMBER_WEIGHT
    weights[[tokenizer.vocab[f"\u0120{pattern}"] for pattern in PATTERNS]] = PATTERN_WEIGHT
    return nn.functional.cross_entropy(model.lm_head(hidden_BLD[:, :-1][wanted]).float(), targets, weight=weights)
