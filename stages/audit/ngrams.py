"""The trained probe: logistic regression on which words and word pairs a text has. Knows texts and folds, no verdict."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stages.audit.folds import Folds
from stages.audit.layout import Bools, Floats, Ints, Layout
from stages.words.lexicon import types_of

TOKEN = r"\b\w+\b"  # noqa: S105  # a pattern, not a secret
_ARTICLES = ("a", "an", "the")
_MIN_COUNT = 2
_C = 0.3
_MAX_TEACHERS = 300_000
_GUESS = 1e-6


@dataclass(frozen=True)
class Words:
    """`counts`: texts x n-grams, 1 where the text has it (CSR). `is_single`: n-grams of one word, articles left out.

    `guess`: see `cross_fit`. `names`: the column of each n-gram.
    """

    counts: Any
    is_single: Bools
    guess: Floats
    names: Mapping[str, int]

    @cached_property
    def singles(self) -> Any:
        """The columns of single words; articles are a probe of their own."""
        return self.counts[:, np.flatnonzero(self.is_single)].tocsr()


def read_words(texts: tuple[str, ...]) -> Words:
    """The words and word pairs of each text, lower-cased."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer

    if not any(_has_word(text) for text in texts):
        return Words(csr_array((len(texts), 0), dtype=np.float64), np.zeros(0, dtype=bool), np.zeros(0), {})
    reader = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=TOKEN, dtype=np.float64)
    counts = csr_array(reader.fit_transform(texts))
    names = [str(name) for name in reader.get_feature_names_out()]
    guess = np.array([zlib.crc32(name.encode()) / 2**32 - 0.5 for name in names])
    return Words(
        counts, np.array([" " not in name and name not in _ARTICLES for name in names]), guess, {name: i for i, name in enumerate(names)}
    )


@dataclass(frozen=True)
class Pairs:
    """(positive, negative) pairs as rows of options, each with its item; an item's pairs weigh one together, on average one each."""

    positive: Ints
    negative: Ints
    item: Ints
    weight: Floats


def pairs_of(layout: Layout, order: Ints | None = None) -> Pairs:
    """The pairs of a layout. `order`: rows of options, each item's positive first; for other labels than the true ones."""
    order = np.arange(len(layout.options)) if order is None else order
    negative = np.flatnonzero(~layout.is_positive)
    item = layout.item_of[negative]
    num_negatives = layout.sizes[item] - 1
    scale = len(negative) / max(layout.num_items, 1)
    return Pairs(order[layout.starts[item]], order[negative], item, scale / num_negatives)


def fit(rows: Any, pairs: Pairs, teaching: Bools, weight: Floats | None = None) -> Floats:
    """Weight of each n-gram: above 0 speaks for the positive. `rows`: options x n-grams; `teaching`: which pairs.

    Each pair stands in both orders, C is 0.3, there is no intercept, n-grams of fewer than two of the texts are left out.
    Of more than 300,000 pairs a random part teaches.
    """
    from scipy.sparse import diags_array
    from sklearn.linear_model import LogisticRegression

    weights = np.zeros(rows.shape[1])
    chosen = np.flatnonzero(teaching)
    if len(chosen) > _MAX_TEACHERS:
        chosen = np.sort(np.random.default_rng(len(chosen)).choice(chosen, _MAX_TEACHERS, replace=False))
    positive, negative = pairs.positive[chosen], pairs.negative[chosen]
    seen = np.unique(np.concatenate([positive, negative]))
    columns = np.flatnonzero(rows[seen].sum(axis=0) >= _MIN_COUNT)
    if len(positive) < 2 or len(columns) == 0:
        return weights
    # A pair and its mirror have the same loss where there is no intercept: one of them with twice the C is both.
    signs = np.where(np.arange(len(positive)) % 2 == 0, 1.0, -1.0)
    differences = diags_array(signs) @ (rows[positive] - rows[negative])[:, columns]
    model = LogisticRegression(C=2 * _C, fit_intercept=False, max_iter=1000)
    model.fit(differences.tocsr(), signs, sample_weight=(pairs.weight if weight is None else weight)[chosen])
    weights[columns] = model.coef_[0]
    return weights


def cross_fit(words: Words, layout: Layout, folds: Folds, order: Ints | None = None) -> Floats:
    """Score of each option (in the layout's order) by a model that was taught on the other folds.

    Pairs that tell of an asked item are no part of the teaching: those in which its positive is the negative of another item,
    and, where its noun is to be unseen, those that set its noun against another. They would teach that what is asked of is false.
    Weights start from tiny ones that differ by n-gram: where the other folds teach nothing the probe guesses, which is chance, and
    does not call everything a tie, which would be none right. Texts with the same words still tie.
    """
    order = np.arange(len(layout.options)) if order is None else order
    rows = words.counts[layout.options]
    pairs = pairs_of(layout, order)
    scores = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        told = _tells_of(asked, words, layout, folds, pairs, order)
        weights = fit(rows, pairs, teaching[pairs.item] & ~told) + _GUESS * words.guess
        here = asked[layout.item_of]
        scores[here] = rows[order[here]] @ weights
    return scores


def _tells_of(asked: Bools, words: Words, layout: Layout, folds: Folds, pairs: Pairs, order: Ints) -> Bools:
    """Which pairs hold the text that is an asked item's positive, or, with unseen nouns, differ in an asked item's noun."""
    texts = layout.options[order]
    of_pair = layout.options[pairs.positive], layout.options[pairs.negative]
    asked_texts = np.unique(texts[layout.starts[:-1][asked]])
    told = np.isin(of_pair[0], asked_texts) | np.isin(of_pair[1], asked_texts)
    if folds.unseen_nouns:
        nouns = {layout.nouns[item].split()[-1].lower() for item in np.flatnonzero(asked) if layout.nouns[item]}
        columns = [words.names[noun] for noun in sorted(nouns) if noun in words.names and not types_of(noun)]
        counts = words.counts[:, columns].tocsr()
        told |= abs(counts[of_pair[0]] - counts[of_pair[1]]).sum(axis=1) > 0
    return np.asarray(told)


def _has_word(text: str) -> bool:
    return any(letter.isalnum() or letter == "_" for letter in text)
