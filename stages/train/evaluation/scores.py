"""Top-1 figures from features: who wins, how sure that is, and what a blind reader reaches. Pure numpy; knows no model and no files.

Axes: Q queries, K candidates, D features; I items, C their clusters (images).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float32, Int

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
# Equal texts get features that differ in the last bits: a margin within this is a tie, and ties are never right.
TIE = 1e-5
_RESAMPLES = 1000
_ROWS = 1024


@dataclass(frozen=True)
class Share:
    """A share of items, 0..1, with its 95 % bootstrap interval; items of one image are drawn together."""

    value: float
    low: float
    high: float


def wins(
    query_QD: Float32[np.ndarray, "Q D"], candidate_KD: Float32[np.ndarray, "K D"], own_Q: Sequence[int] | Int[np.ndarray, " Q"]
) -> Bool[np.ndarray, " Q"]:
    """Whether each query is more similar to its own candidate than to every other, by more than a tie."""
    own = np.asarray(own_Q, np.int64)
    is_won = np.zeros(len(own), bool)
    for first in range(0, len(own), _ROWS):
        rows = slice(first, first + _ROWS)
        score_QK = query_QD[rows] @ candidate_KD.T
        index_Q = np.arange(len(score_QK))
        mine_Q = score_QK[index_Q, own[rows]].copy()
        score_QK[index_Q, own[rows]] = -np.inf
        is_won[rows] = mine_Q > score_QK.max(1, initial=-np.inf) + TIE
    return is_won


def first_wins(query_D: Float32[np.ndarray, " D"], candidate_KD: Float32[np.ndarray, "K D"]) -> bool:
    """Whether the first candidate is more similar than every other, by more than a tie."""
    score_K = candidate_KD @ query_D
    return bool(score_K[0] > score_K[1:].max(initial=-np.inf) + TIE)


def share(hits_I: Bool[np.ndarray, " I"], clusters_I: Sequence[int], seed: int = 0) -> Share:
    """The share of hits; the interval resamples clusters. At least one item."""
    _, cluster_I = np.unique(np.asarray(clusters_I), return_inverse=True)
    num_clusters = int(cluster_I.max()) + 1
    hits_C = np.bincount(cluster_I, hits_I, num_clusters)
    items_C = np.bincount(cluster_I, minlength=num_clusters)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(_RESAMPLES):
        drawn_C = np.bincount(rng.integers(0, num_clusters, num_clusters), minlength=num_clusters)
        values.append(float(drawn_C @ hits_C) / float(drawn_C @ items_C))
    low, high = np.quantile(values, (0.025, 0.975))
    return Share(float(hits_I.mean()), float(low), float(high))


def choice_figures(hits_I: Bool[np.ndarray, " I"], blind_I: Bool[np.ndarray, " I"], clusters_I: Sequence[int]) -> dict[str, Any]:
    """`value` with its interval, beside what the same texts reach when the image says nothing."""
    right, blind = share(hits_I, clusters_I), float(blind_I.mean())
    return {
        "value": right.value,
        "value_low": right.low,
        "value_high": right.high,
        "blind": blind,
        "gain_over_blind": right.value - blind,
        "items": len(hits_I),
    }


def retrieval_figures(
    image_ID: Float32[np.ndarray, "I D"], text_ID: Float32[np.ndarray, "I D"], texts: Sequence[str] | None = None
) -> dict[str, Any]:
    """R@1 of texts by image and of images by text. Equal texts are one candidate, and each of their images is right for them.

    `texts`: what the features are of; without it all count as different. `can_be_right`: items whose right answer no wrong one equals
    in its feature. A tie is not right.
    """
    names = list(texts) if texts is not None else list(range(len(text_ID)))
    first = {name: number for number, name in reversed(list(enumerate(names)))}
    distinct = sorted(first.values())
    place = {names[number]: turn for turn, number in enumerate(distinct)}
    own_I = np.array([place[name] for name in names])
    candidate_KD = text_ID[distinct]
    mean_ID = np.repeat(image_ID.mean(0, keepdims=True), len(image_ID), 0)
    figures: dict[str, Any] = {"images": len(image_ID), "texts": len(distinct)}
    for name, hits, blind, possible in (
        ("i2t_r1", wins(image_ID, candidate_KD, own_I), wins(mean_ID, candidate_KD, own_I), ~_is_doubled(candidate_KD)[own_I]),
        ("t2i_r1", finds(text_ID, image_ID, own_I), finds(text_ID, mean_ID, own_I), _has_an_image_alone(image_ID, own_I)),
    ):
        recall = share(hits, range(len(hits)))
        figures |= {name: recall.value, f"{name}_low": recall.low, f"{name}_high": recall.high, f"{name}_blind": float(blind.mean())}
        figures[f"{name}_can_be_right"] = int(possible.sum())
    return figures


def finds(
    query_ID: Float32[np.ndarray, "I D"], image_ID: Float32[np.ndarray, "I D"], label_I: Int[np.ndarray, " I"]
) -> Bool[np.ndarray, " I"]:
    """Whether each item's query is more similar to some image of its label than to every image of another, by more than a tie."""
    is_found = np.zeros(len(query_ID), bool)
    for first in range(0, len(query_ID), _ROWS):
        rows = slice(first, first + _ROWS)
        score_QI = query_ID[rows] @ image_ID.T
        is_own_QI = label_I[rows, None] == label_I[None, :]
        best_Q = np.where(is_own_QI, score_QI, -np.inf).max(1)
        is_found[rows] = best_Q > np.where(is_own_QI, -np.inf, score_QI).max(1, initial=-np.inf) + TIE
    return is_found


def _is_doubled(feature_ND: Float32[np.ndarray, "N D"]) -> Bool[np.ndarray, " N"]:
    """Whether another row has the same feature: of each other no query can tell them."""
    _, number_N, counts = np.unique(np.round(feature_ND, 5), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(counts[number_N.ravel()] > 1)


def _has_an_image_alone(image_ID: Float32[np.ndarray, "I D"], label_I: Int[np.ndarray, " I"]) -> Bool[np.ndarray, " I"]:
    """Whether some image of the item's label has a feature that no image of another label has."""
    _, number_I = np.unique(np.round(image_ID, 5), axis=0, return_inverse=True)
    labels: dict[int, set[int]] = {}
    for number, label in zip(number_I.ravel().tolist(), label_I.tolist(), strict=True):
        labels.setdefault(number, set()).add(label)
    alone = {label for number, label in zip(number_I.ravel().tolist(), label_I.tolist(), strict=True) if len(labels[number]) == 1}
    return np.array([label in alone for label in label_I.tolist()])


def unmeasured(why: str) -> dict[str, Any]:
    """What stands in place of a choice's figures where there is nothing to measure."""
    return {"value": None, "value_why": why, "items": 0}
