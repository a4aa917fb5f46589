"""Probes that count words: those that no positive has, values that are commoner on one side (both counted on the other folds), and
what the options of one item have in common.
"""

from typing import Any

import numpy as np

from stages.audit.folds import Folds
from stages.audit.layout import Bools, Floats, Layout
from stages.audit.ngrams import Words
from stages.audit.rules import best_of

_SMOOTHING = 0.5


def vocabulary_scores(words: Words, layout: Layout, folds: Folds) -> Floats:
    """By how many words of an option no positive of the other folds has; fewer, or more, speak for it as those folds teach.

    Counted against other folds' positives for positives too: against its own it would never have such a word.
    """
    singles = words.singles
    own = singles[layout.positives]
    unknown = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        known = own[teaching].sum(axis=0) > 0
        here = asked[layout.item_of]
        unknown[here] = (singles @ (~known).astype(np.float64))[layout.options[here]]
    return best_of([unknown], layout, folds)


def marginal_scores(words: Words, layout: Layout, folds: Folds) -> Floats:
    """Mean over an option's values of log(share among positives' values / share among negatives' values).

    A value is a word, no article, that not all options of the item have, and that is a value on both sides: what only one side says is
    vocabulary's to find, and shares, not counts, keep more words (length) from looking like other words.
    """
    if words.singles.shape[1] == 0:
        return np.zeros(len(layout.options))
    own, other, values = _values(words, layout)
    scores = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        ratios, is_known = _log_ratios(own[teaching].sum(axis=0), other[teaching].sum(axis=0))
        here = asked[layout.item_of]
        total, count = values[here] @ ratios, values[here] @ is_known.astype(np.float64)
        scores[here] = np.divide(total, count, out=np.zeros(len(total)), where=count > 0)
    return scores


def consensus_scores(words: Words, layout: Layout) -> Floats:
    """What an option shares with the other options of its item: words and word pairs in common, over the root of its own number.

    Edits of one text have their parent in their middle. Nothing is learned, so no folds are needed.
    """
    rows = words.counts[layout.options]
    own = np.asarray(rows.sum(axis=1)).ravel()
    shared = np.asarray(rows.multiply((_gathered(layout) @ rows).tocsr()[layout.item_of]).sum(axis=1)).ravel() - own
    return np.asarray(np.divide(shared, np.sqrt(own), out=np.zeros(len(own)), where=own > 0))


def _gathered(layout: Layout) -> Any:
    """Items x options: 1 where the option is the item's."""
    from scipy.sparse import csr_array

    num_options = len(layout.options)
    return csr_array((np.ones(num_options), (layout.item_of, np.arange(num_options))), shape=(layout.num_items, num_options))


def _values(words: Words, layout: Layout) -> tuple[Any, Any, Any]:
    """(items x words) how much of each word is the positive's alone, the negatives' alone; (options x words) which are values."""
    rows = words.singles[layout.options]
    total = (_gathered(layout) @ rows).tocsr()
    everywhere = total.copy()
    everywhere.data = (total.data == np.repeat(layout.sizes, np.diff(total.indptr))).astype(np.float64)
    everywhere.eliminate_zeros()
    values = rows - rows.multiply(everywhere[layout.item_of])
    values.eliminate_zeros()
    positive = values[layout.starts[:-1]]
    negatives = (total - rows[layout.starts[:-1]]).tocsr()
    negatives.data /= np.repeat(layout.sizes - 1, np.diff(negatives.indptr))
    own = (positive - positive.multiply(negatives)).tocsr()
    other = (negatives - negatives.multiply(rows[layout.starts[:-1]])).tocsr()
    return own, other, values.tocsr()


def _log_ratios(own: Floats, other: Floats) -> tuple[Floats, Bools]:
    is_known = (own > 0) & (other > 0)
    shares = []
    for counts in (own, other):
        smooth = counts[is_known] + _SMOOTHING
        shares.append(smooth / smooth.sum() if smooth.size else smooth)
    ratios = np.zeros(len(own))
    ratios[is_known] = np.log(shares[0]) - np.log(shares[1])
    return ratios, is_known
