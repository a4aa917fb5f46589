"""How far the first sentence of a long caption alone finds its image, by a model that sees it, beside the whole caption and the rest."""

import heapq
from typing import Any

import numpy as np
from jaxtyping import Float32

from schemas.audit import FIRST_SENTENCE_LEAST, FIRST_SENTENCE_MOST, FirstSentence, Retrieval
from schemas.names import rank
from schemas.text import sentences
from stages.train.config import Stage2
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.evaluation.features import Encoder
from stages.train.evaluation.scores import share, wins


def first_sentence_by_model(encoder: Encoder, dataset: ExportedDataset, name: str) -> FirstSentence:
    """Share of the images that are found first among all asked about, by the long texts' head. `name`: what the model is called.

    Of more than 2,000 images with a caption of several sentences those with the smallest ranks.
    """
    several = ((rank(key), place) for place, key, long in dataset.long_captions() if len(sentences(long or "")) > 1)
    chosen = sorted(place for _, place in heapq.nsmallest(FIRST_SENTENCE_MOST, several))
    if len(chosen) < FIRST_SENTENCE_LEAST:
        return _unmeasured(len(chosen), name)
    # without a prefix or a change, and no boxes: the captions as they stand
    settings = Stage2(max_boxes=1, region_text="short", short_prefix="")
    seen = encoder.see(dataset.read(chosen), SampleMaker(settings, **encoder.model.image_settings))
    captions = [text for text in seen.long if text]
    if len(captions) < FIRST_SENTENCE_LEAST:
        return _unmeasured(len(captions), name)
    image_ID = np.stack([feature_D for feature_D, text in zip(seen.image_ND, seen.long, strict=True) if text])
    parts = [sentences(text) for text in captions]
    recalls: dict[str, Any] = {
        "whole": _recall(encoder, image_ID, captions),
        "first": _recall(encoder, image_ID, [of_image[0] for of_image in parts]),
        "rest": _recall(encoder, image_ID, [" ".join(of_image[1:]) for of_image in parts]),
    }
    letters = sum(len(of_image[0]) / len(text.strip()) for of_image, text in zip(parts, captions, strict=True)) / len(captions)
    return FirstSentence(
        images=len(captions), model=name, chance=round(1 / len(captions), 6), share_of_letters=round(letters, 4), **recalls
    )


def _recall(encoder: Encoder, image_ID: Float32[np.ndarray, "I D"], texts: list[str]) -> Retrieval:
    own_I = np.arange(len(texts))
    recall = share(wins(encoder.texts(texts, is_long=True), image_ID, own_I), own_I.tolist())
    return Retrieval(r1=round(recall.value, 6), r1_low=round(recall.low, 6), r1_high=round(recall.high, 6))


def _unmeasured(num: int, name: str) -> FirstSentence:
    why = f"{num} readable images have a long caption of several sentences; {FIRST_SENTENCE_LEAST} are needed"
    return FirstSentence(images=num, model=name, whole_why=why, first_why=why, rest_why=why)
