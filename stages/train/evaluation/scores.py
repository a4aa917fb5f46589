"""Top-1 figures from features: who wins, how sure that is, and what a blind reader reaches. Pure numpy; knows no model and no files.

Axes: Q queries, K candidates, D features; I items, C their clusters (images).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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


def wins(query_QD: Floats, candidate_KD: Floats, own_Q: Sequence[int]) -> Bools:
    """Whether each query is more similar to its own candidate than to every other, by more than a tie."""
    own = np.asarray(own_Q, np.int64)
    found = np.zeros(len(own), bool)
    for first in range(0, len(own), _ROWS):
        rows = slice(first, first + _ROWS)
        score_QK = query_QD[rows] @ candidate_KD.T
        index_Q = np.arange(len(score_QK))
        mine_Q = score_QK[index_Q, own[rows]].copy()
        score_QK[index_Q, own[rows]] = -np.inf
        found[rows] = mine_Q > score_QK.max(1, initial=-np.inf) + TIE
    return found


def first_wins(query_D: Floats, candidate_KD: Floats) -> bool:
    """Whether the first candidate is more similar than every other, by more than a tie."""
    score_K = candidate_KD @ query_D
    return bool(score_K[0] > score_K[1:].max(initial=-np.inf) + TIE)


def share(hits_I: Bools, clusters_I: Sequence[int], seed: int = 0) -> Share:
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


def choice_figures(hits_I: Bools, blind_I: Bools, clusters_I: Sequence[int]) -> dict[str, Any]:
    """`value` with its interval, beside what the same texts reach when the image says nothing."""
    found, blind = share(hits_I, clusters_I), float(blind_I.mean())
    return {
        "value": found.value,
        "value_low": found.low,
        "value_high": found.high,
        "blind": blind,
        "gain_over_blind": found.value - blind,
        "items": len(hits_I),
    }


def retrieval_figures(image_ID: Floats, text_ID: Floats) -> dict[str, Any]:
    """R@1 of texts by image and of images by text, over all pairs. Equal texts tie, and a tie is not right."""
    own = range(len(image_ID))
    mean_ID = np.repeat(image_ID.mean(0, keepdims=True), len(image_ID), 0)
    figures: dict[str, Any] = {"images": len(image_ID)}
    for name, hits, blind in (
        ("i2t_r1", wins(image_ID, text_ID, own), wins(mean_ID, text_ID, own)),
        ("t2i_r1", wins(text_ID, image_ID, own), wins(text_ID, mean_ID, own)),
    ):
        found = share(hits, own)
        figures |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_blind": float(blind.mean())}
    return figures


def unmeasured(why: str) -> dict[str, Any]:
    """What stands in place of a choice's figures where there is nothing to measure."""
    return {"value": None, "value_why": why, "items": 0}
