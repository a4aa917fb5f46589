"""What a model knows of a data set: retrieval, region classification, hard negatives, each beside its blind control. Prints nothing."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from stages.train.config import Stage2, TrainError
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.evaluation.features import Encoder, Seen, SeenRegion
from stages.train.evaluation.half_truth import half_truths
from stages.train.evaluation.scores import choice_figures, first_wins, retrieval_figures, unmeasured, wins

MAX_CANDIDATES = 1000
_NUM_NEGATIVES = 10


def evaluate(encoder: Encoder, dataset: ExportedDataset) -> dict[str, Any]:
    """The figures of `fgdata eval` on an exported data set. Deterministic: all images, all usable boxes, of their negatives the ten
    that are hardest to tell.

    Raises: TrainError where no image can be read.
    """
    settings = Stage2(max_boxes=10_000, region_text="short", short_prefix="")
    seen = encoder.see(dataset.read_all(), SampleMaker(settings, **encoder.model.image_settings, hardest_first=True))
    if not seen.image_ND:
        raise TrainError(f"{dataset.root}: no readable image with a text")
    return {
        "long": _retrieval(encoder, seen, seen.long, is_long=True),
        "short": _retrieval(encoder, seen, seen.short, is_long=False),
        "region_top1": _region_top1(encoder, seen),
        "hard_negative_top1": hard_negative_top1(encoder, seen.regions, seen.region_ND),
        **half_truths(encoder, seen),
        "images": {"seen": len(seen.image_ND), "unreadable": seen.num_unreadable},
    }


def hard_negative_top1(encoder: Encoder, regions: Sequence[SeenRegion], region_ND: Sequence[Float32[np.ndarray, " D"]]) -> dict[str, Any]:
    """FG-OVD's protocol: a box's expression against its first ten negatives (fewer where it has fewer).

    `by_type`: the same boxes against their negatives of one type alone. Blind: each box's feature replaced by the mean of all.
    """
    kept = [number for number, region in enumerate(regions) if region.negatives]
    if not kept:
        return {**unmeasured("no box with negatives"), "by_type": {}}
    # an expression that stands among its own negatives can never win
    possible = sum(regions[number].positive not in {text for text, _ in regions[number].negatives[:_NUM_NEGATIVES]} for number in kept)
    feature_ND = np.stack([region_ND[number] for number in kept])
    mean_D = feature_ND.mean(0)
    items: dict[str | None, list[tuple[bool, bool, int]]] = {}
    for feature_D, region in zip(feature_ND, (regions[number] for number in kept), strict=True):
        negatives = region.negatives[:_NUM_NEGATIVES]
        text_KD = encoder.texts([region.positive, *(text for text, _ in negatives)], of_box=True)
        for kind in (None, *dict.fromkeys(kind for _, kind in negatives)):
            rows = [0, *(number + 1 for number, (_, other) in enumerate(negatives) if kind in (None, other))]
            hits = first_wins(feature_D, text_KD[rows]), first_wins(mean_D, text_KD[rows])
            items.setdefault(kind, []).append((*hits, region.image))
    figures = {kind: _choice(rows) for kind, rows in items.items()}
    return {
        **figures[None],
        "can_be_right": possible,
        "by_type": {kind: figures[kind] for kind in sorted(kind for kind in figures if kind)},
    }


def _choice(items: Sequence[tuple[bool, bool, int]]) -> dict[str, Any]:
    hits, blind, clusters = zip(*items, strict=True)
    return choice_figures(np.asarray(hits), np.asarray(blind), clusters)


def _retrieval(encoder: Encoder, seen: Seen, texts: Sequence[str | None], is_long: bool) -> dict[str, Any]:
    kept = [number for number, text in enumerate(texts) if text]
    if not kept:
        return {"i2t_r1": None, "i2t_r1_why": "no such captions", "t2i_r1": None, "t2i_r1_why": "no such captions", "images": 0}
    image_ND = np.stack([seen.image_ND[number] for number in kept])
    names = [texts[number] or "" for number in kept]
    return retrieval_figures(image_ND, encoder.texts(names, is_long), names)


def _region_top1(encoder: Encoder, seen: Seen) -> dict[str, Any]:
    """A box among the data set's expressions: the right one is its own. Blind: each box's feature replaced by the mean of all.

    Candidates are the distinct short expressions of the data set; of more than 1,000 the commonest, and the box's own with them.
    """
    if not seen.regions:
        return unmeasured("no box with an expression")
    counts = Counter(region.positive for region in seen.regions)
    common = [text for text, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    place = {text: number for number, text in enumerate(common)}
    own = [place[region.positive] for region in seen.regions]
    candidate_KD, feature_ND = encoder.texts(common, of_box=True), np.stack(seen.region_ND)
    mean_ND = np.repeat(feature_ND.mean(0, keepdims=True), len(feature_ND), 0)
    hits, blind = (_wins_among_common(features, candidate_KD, own) for features in (feature_ND, mean_ND))
    figures = choice_figures(hits, blind, [region.image for region in seen.regions])
    return {**figures, "candidates": min(len(common), MAX_CANDIDATES), "can_be_right": len(own)}


def _wins_among_common(
    feature_ND: Float32[np.ndarray, "N D"], candidate_KD: Float32[np.ndarray, "K D"], own: Sequence[int]
) -> Bool[np.ndarray, " N"]:
    hits = np.zeros(len(own), bool)
    is_common = np.asarray(own) < MAX_CANDIDATES
    common_KD = candidate_KD[:MAX_CANDIDATES]
    if is_common.any():
        hits[is_common] = wins(feature_ND[is_common], common_KD, [number for number in own if number < MAX_CANDIDATES])
    for item in np.flatnonzero(~is_common):
        hits[item] = first_wins(feature_ND[item], np.concatenate([candidate_KD[own[item] : own[item] + 1], common_KD]))
    return hits
