"""Probes that count words: those that no positive has, values that are commoner on one side (both counted on the other folds), and
what the options of one item have in common.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float64

from stages.audit.folds import Folds
from stages.audit.layout import Bools, Floats, Ints, Layout
from stages.audit.ngrams import Words, text_scores
from stages.audit.rules import best_of

_SMOOTHING = 0.5
_OPTIONS_AT_ONCE = 50_000


def vocabulary_scores(words: Words, layout: Layout, folds: Folds) -> Float64[np.ndarray, " {len(layout.options)}"]:
    """By how many words of an option no positive of the other folds has; fewer, or more, speak for it as those folds teach.

    Counted against other folds' positives for positives too: against its own it would never have such a word.
    """
    own = words.singles(layout.positives)
    columns = np.flatnonzero(words.is_single)
    unknown = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        news = np.zeros(len(words.is_single))
        news[columns] = own[teaching].sum(axis=0) == 0
        is_asked = asked[layout.item_of]
        unknown[is_asked] = text_scores(words.counts, news)[layout.options[is_asked]]
    return best_of([unknown], layout, folds)


def marginal_scores(words: Words, layout: Layout, folds: Folds) -> Float64[np.ndarray, " {len(layout.options)}"]:
    """Mean over an option's values of log(share among positives' values / share among negatives' values).

    A value is a word, no article, that not all options of the item have, and that is a value on both sides: what only one side says is
    vocabulary's to find, and shares, not counts, keep more words (length) from looking like other words.
    """
    if not words.is_single.any():
        return np.zeros(len(layout.options))
    own, other, values = _values(words, layout)
    scores = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        ratios, is_known = _log_ratios(own[teaching].sum(axis=0), other[teaching].sum(axis=0))
        is_asked = asked[layout.item_of]
        total, count = values[is_asked] @ ratios, values[is_asked] @ is_known.astype(np.float64)
        scores[is_asked] = np.divide(total, count, out=np.zeros(len(total)), where=count > 0)
    return scores


def consensus_scores(words: Words, layout: Layout) -> Float64[np.ndarray, " {len(layout.options)}"]:
    """What an option shares with the other options of its item: words and word pairs in common, over the root of its own number.

    Edits of one text have their parent in their middle. Nothing is learned, so no folds are needed.
    """
    scores = np.zeros(len(layout.options))
    for first, last in _runs(layout):
        options = slice(layout.starts[first], layout.starts[last])
        rows = words.counts[layout.options[options]]
        others = _in_item(rows, layout.item_of[options]) - 1
        shared = np.add.reduceat(np.append(others, 0), np.minimum(rows.indptr[:-1], len(others))) * (np.diff(rows.indptr) > 0)
        scores[options] = shared / np.sqrt(np.maximum(np.diff(rows.indptr), 1))
    return scores


def _runs(layout: Layout) -> Iterator[tuple[int, int]]:
    """Items in runs of about as many options: from the first up to, and without, the last."""
    firsts = np.searchsorted(layout.starts, np.arange(0, max(len(layout.options), 1), _OPTIONS_AT_ONCE))
    bounds = [*dict.fromkeys(firsts[firsts < layout.num_items].tolist()), layout.num_items]
    return pairwise(bounds)


def _in_item(rows: Any, item_of: Ints) -> Ints:
    """For each entry of options x words how many options of its item have the word: in memory as much as the entries take."""
    keys = np.repeat(item_of, np.diff(rows.indptr)) * rows.shape[1] + rows.indices
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse])


def _values(words: Words, layout: Layout) -> tuple[Any, Any, Any]:
    """(items x words) how much of each word is the positive's alone, the negatives' alone; (options x words) which are values."""
    from scipy.sparse import vstack

    runs = [_values_of_run(words, layout, first, last) for first, last in _runs(layout)]
    own, other, values = (vstack(parts).tocsr() for parts in zip(*runs, strict=True))
    return own, other, values


def _values_of_run(words: Words, layout: Layout, first: int, last: int) -> tuple[Any, Any, Any]:
    from scipy.sparse import csr_array

    options = slice(layout.starts[first], layout.starts[last])
    rows = words.singles(layout.options[options])
    item_of, sizes = layout.item_of[options], layout.sizes[first:last]
    firsts = layout.starts[first:last] - layout.starts[first]
    values = rows.copy()
    values.data = (_in_item(rows, item_of) != np.repeat(layout.sizes[item_of], np.diff(rows.indptr))).astype(np.float64)
    values.eliminate_zeros()
    num = rows.shape[0]
    gathered = csr_array((np.ones(num), (item_of - first, np.arange(num))), shape=(last - first, num))
    positive = rows[firsts]
    negatives = ((gathered @ rows).tocsr() - positive).tocsr()
    negatives.data /= np.repeat(sizes - 1, np.diff(negatives.indptr))
    own_values = values[firsts]
    return (own_values - own_values.multiply(negatives)).tocsr(), (negatives - negatives.multiply(positive)).tocsr(), values


def _log_ratios(own: Floats, other: Floats) -> tuple[Floats, Bools]:
    is_known = (own > 0) & (other > 0)
    shares = []
    for counts in (own, other):
        smooth = counts[is_known] + _SMOOTHING
        shares.append(smooth / smooth.sum() if smooth.size else smooth)
    ratios = np.zeros(len(own))
    ratios[is_known] = np.log(shares[0]) - np.log(shares[1])
    return ratios, is_known
