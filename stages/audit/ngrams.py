"""The trained probe: logistic regression on which words and word pairs a text has. Knows texts and folds, no verdict."""

import itertools
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from stages.audit.folds import Folds
from stages.audit.layout import Bools, Floats, Ints, Layout
from stages.audit.tokens import is_unspaced, tokens_of
from stages.words.lexicon import types_of

_ARTICLES = ("a", "an", "the")
_MIN_COUNT = 2
_C = 0.3
_MAX_TEACHERS = 300_000
_GUESS = 1e-6
_TEXTS_AT_ONCE = 25_000


@dataclass(frozen=True)
class Words:
    """`counts`: texts x n-grams, 1 where the text has it (CSR). `is_single`: n-grams of one word, articles left out.

    `guess`: see `cross_fit`. `names`: the column of each n-gram.
    """

    counts: Any
    is_single: Bool[np.ndarray, " ngrams"]
    guess: Float64[np.ndarray, " ngrams"]
    names: Mapping[str, int]

    def singles(self, texts: Ints) -> Any:
        """Of these texts the columns of single words; articles are a probe of their own."""
        return self.counts[texts][:, np.flatnonzero(self.is_single)].astype(np.float64).tocsr()


def read_words(texts: Iterable[str]) -> Words:
    """The words and word pairs of each text, lower-cased; characters where a script puts no spaces between words."""
    number: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    stream, lengths = array("i"), array("i")
    for text in texts:
        tokens_of_text = tokens_of(text)
        stream.extend([number[token] for token in tokens_of_text])
        lengths.append(len(tokens_of_text))
    singles, tokens = [*number], np.frombuffer(stream, dtype=np.int32) if stream else np.zeros(0, dtype=np.int32)
    ends = np.cumsum(np.frombuffer(lengths, dtype=np.int32), dtype=np.int64) if lengths else np.zeros(0, dtype=np.int64)
    parts = [(tokens[first:last], sizes) for first, last, sizes in _blocks(ends)]
    keys = _distinct(np.concatenate([np.zeros(0, dtype=np.int64), *(_distinct(_pair_keys(*part, len(singles))[0]) for part in parts)]))
    names = [*singles, *(f"{singles[key // len(singles)]} {singles[key % len(singles)]}" for key in keys.tolist())]
    order = sorted(range(len(names)), key=names.__getitem__)
    column = np.empty(len(names), dtype=np.int64)
    column[order] = np.arange(len(names))
    names = [names[i] for i in order]
    is_single = np.zeros(len(names), dtype=bool)
    is_single[column[: len(singles)]] = True
    for article in _ARTICLES:
        if article in number:
            is_single[column[number[article]]] = False
    guess = np.array([zlib.crc32(name.encode(errors="surrogatepass")) / 2**32 - 0.5 for name in names])
    return Words(_counted(parts, column, keys, len(singles), len(lengths)), is_single, guess, {name: i for i, name in enumerate(names)})


def _blocks(ends: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Runs of texts: where their tokens begin and end, and how many each text has."""
    for first in range(0, len(ends), _TEXTS_AT_ONCE):
        block = ends[first : first + _TEXTS_AT_ONCE]
        start = int(ends[first - 1]) if first else 0
        yield start, int(block[-1]), np.diff(block, prepend=start)


def _distinct(numbers: Ints) -> Ints:
    """The distinct numbers, ascending. np.unique hashes them, which takes five times as long where nearly all are distinct."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _pair_keys(tokens: Any, sizes: Ints, num_singles: int) -> tuple[Ints, Ints]:
    """The pairs of neighbours in one text, as first * num_singles + second, and the text of each."""
    text = np.repeat(np.arange(len(sizes)), sizes)
    inside = text[1:] == text[:-1]
    return tokens[:-1][inside].astype(np.int64) * num_singles + tokens[1:][inside], text[1:][inside]


def _counted(parts: Sequence[tuple[Any, Ints]], column: Ints, keys: Ints, num_singles: int, num_texts: int) -> Any:
    """Texts x n-grams, 1 where the text has it, run by run of texts, so that few bytes are held twice."""
    from scipy.sparse import csr_array

    most = sum(2 * len(tokens) for tokens, _ in parts)
    own, end, sizes_of_rows = np.empty(most, dtype=np.int32), 0, [np.zeros(1, dtype=np.int64)]
    width = max(len(column), 1)
    for tokens, sizes in parts:
        pairs, text = _pair_keys(tokens, sizes, num_singles)
        text_of = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), text])
        place = _distinct(text_of * width + column[np.concatenate([tokens, num_singles + np.searchsorted(keys, pairs)])])
        own[end : end + len(place)] = place % width
        end += len(place)
        sizes_of_rows.append(np.bincount(place // width, minlength=len(sizes)))
    own = own[:end]
    return csr_array((np.ones(len(own), dtype=np.int8), own, np.cumsum(np.concatenate(sizes_of_rows))), shape=(num_texts, len(column)))


def _column_sums(counts: Any, times: Ints) -> Floats:
    """How often each n-gram occurs where text i is there `times[i]` times."""
    sums = np.zeros(counts.shape[1])
    for first in range(0, counts.shape[0], _TEXTS_AT_ONCE):
        block = times[first : first + _TEXTS_AT_ONCE]
        if block.any():
            sums += counts[first : first + _TEXTS_AT_ONCE].T @ block.astype(np.float64)
    return sums


def text_scores(counts: Any, weights: Float64[np.ndarray, " {counts.shape[1]}"]) -> Float64[np.ndarray, " {counts.shape[0]}"]:
    """Sum of the weights of what each text has, run by run of texts."""
    scores = np.zeros(counts.shape[0])
    for first in range(0, counts.shape[0], _TEXTS_AT_ONCE):
        scores[first : first + _TEXTS_AT_ONCE] = counts[first : first + _TEXTS_AT_ONCE] @ weights
    return scores


@dataclass(frozen=True)
class Pairs:
    """(positive, negative) pairs as rows of options, each with its item; an item's pairs weigh one together, on average one each."""

    positive: Int64[np.ndarray, " pairs"]
    negative: Int64[np.ndarray, " pairs"]
    item: Int64[np.ndarray, " pairs"]
    weight: Float64[np.ndarray, " pairs"]


def pairs_of(layout: Layout, order: Int64[np.ndarray, " {len(layout.options)}"] | None = None) -> Pairs:
    """The pairs of a layout. `order`: rows of options, each item's positive first; for other labels than the true ones."""
    order = np.arange(len(layout.options)) if order is None else order
    negative = np.flatnonzero(~layout.is_positive)
    item = layout.item_of[negative]
    num_negatives = layout.sizes[item] - 1
    scale = len(negative) / max(layout.num_items, 1)
    return Pairs(order[layout.starts[item]], order[negative], item, scale / num_negatives)


def fit(
    words: Words, layout: Layout, pairs: Pairs, teaching: Bool[np.ndarray, " pairs"], weight: Float64[np.ndarray, " pairs"] | None = None
) -> Float64[np.ndarray, " {words.counts.shape[1]}"]:
    """Weight of each n-gram: above 0 speaks for the positive. `teaching`: which pairs.

    Each pair stands in both orders, C is 0.3, there is no intercept, n-grams of fewer than two of the texts are left out.
    Of more than 300,000 pairs a random part teaches.
    """
    from scipy.sparse import diags_array
    from sklearn.linear_model import LogisticRegression

    weights = np.zeros(words.counts.shape[1])
    chosen = np.flatnonzero(teaching)
    if len(chosen) > _MAX_TEACHERS:
        chosen = np.sort(np.random.default_rng(len(chosen)).choice(chosen, _MAX_TEACHERS, replace=False))
    positive, negative = pairs.positive[chosen], pairs.negative[chosen]
    is_seen = np.zeros(len(layout.options), dtype=bool)
    is_seen[positive], is_seen[negative] = True, True
    seen = np.bincount(layout.options[is_seen], minlength=words.counts.shape[0])
    columns = np.flatnonzero(_column_sums(words.counts, seen) >= _MIN_COUNT)
    if len(positive) < 2 or len(columns) == 0:
        return weights
    # A pair and its mirror have the same loss where there is no intercept: one of them with twice the C is both.
    signs = np.where(np.arange(len(positive)) % 2 == 0, 1.0, -1.0)
    differences = words.counts[layout.options[positive]] - words.counts[layout.options[negative]]  # of int8: -1, 0 and 1
    differences = diags_array(signs) @ differences[:, columns]
    model = LogisticRegression(C=2 * _C, fit_intercept=False, max_iter=1000)
    with _blas_threads().limit(limits=1, user_api="blas"):
        model.fit(differences.tocsr(), signs, sample_weight=(pairs.weight if weight is None else weight)[chosen])
    weights[columns] = model.coef_[0]
    return weights


@cache
def _blas_threads() -> Any:
    """Vectors of some thousand numbers: several threads wait for each other, which takes three to four times as long."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def cross_fit(
    words: Words,
    layout: Layout,
    folds: Folds,
    order: Int64[np.ndarray, " {len(layout.options)}"] | None = None,
    teaches: Bool[np.ndarray, " {len(layout.options)}"] | None = None,
) -> Float64[np.ndarray, " {len(layout.options)}"]:
    """Score of each option (in the layout's order) by a model that was taught on the other folds. `teaches`: options that may teach.

    Pairs that tell of an asked item are no part of the teaching: those in which its positive is the negative of another item,
    and, where its noun is to be unseen, those that set its noun against another. They would teach that what is asked of is false.
    Weights start from tiny ones that differ by n-gram: where the other folds teach nothing the probe guesses, which is chance, and
    does not call everything a tie, which would be none right. Texts with the same words still tie.
    """
    order = np.arange(len(layout.options)) if order is None else order
    pairs = pairs_of(layout, order)
    scores = np.zeros(len(layout.options))
    for teaching, asked in folds.splits:
        tells = _tells_of(asked, words, layout, folds, pairs, order)
        tells |= False if teaches is None else ~teaches[pairs.negative]
        weights = fit(words, layout, pairs, teaching[pairs.item] & ~tells) + _GUESS * words.guess
        is_asked = asked[layout.item_of]
        scores[is_asked] = text_scores(words.counts, weights)[layout.options[order[is_asked]]]
    return scores


def _tells_of(asked: Bools, words: Words, layout: Layout, folds: Folds, pairs: Pairs, order: Ints) -> Bools:
    """Which pairs hold the text that is an asked item's positive, or, with unseen nouns, differ in an asked item's noun."""
    meanings = layout.says[layout.options]
    of_pair = layout.options[pairs.positive], layout.options[pairs.negative]
    asked_meanings = np.unique(meanings[order][layout.starts[:-1][asked]])
    tells = np.isin(meanings[pairs.positive], asked_meanings) | np.isin(meanings[pairs.negative], asked_meanings)
    if folds.unseen_nouns:
        nouns = {_name(layout.nouns[item]) for item in np.flatnonzero(asked) if layout.nouns[item]}
        columns = [words.names[noun] for noun in sorted(nouns) if noun in words.names and not types_of(noun)]
        counts = words.counts[:, columns].tocsr()
        tells |= abs(counts[of_pair[0]] - counts[of_pair[1]]).sum(axis=1) > 0
    return np.asarray(tells)


def _name(noun: str) -> str:
    """The n-gram that stands for a noun: its last word, or its last two characters."""
    last = noun.split()[-1].lower() if noun.split() else ""
    return " ".join(tokens_of(last)[-2:]) if is_unspaced(last) else last
