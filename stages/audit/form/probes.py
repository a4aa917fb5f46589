"""Probes that learn by form: `surface` by what is no word, `order` by where words stand. Asked of a sample of a large set.

Know no verdict.
"""

import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64

from stages.audit.folds import image_folds
from stages.audit.form.traits import halves, traits
from stages.audit.layout import Bools, Floats, Ints, Layout, subset
from stages.audit.ngrams import Words, cross_fit
from stages.audit.tokens import tokens_of

_GUESS = 1e-9  # texts of one form are guessed: a tie, which is never right, would hide a leak of the others
MOST_ITEMS = 2_500  # of more a sample is asked: its interval is no wider than 0.02 to each side


def sampled_options(layout: Layout, seed: int) -> Bool[np.ndarray, " {len(layout.options)}"]:
    """The options of at most 2,500 items."""
    if layout.num_items <= MOST_ITEMS:
        return np.ones(len(layout.options), dtype=bool)
    chosen = np.zeros(layout.num_items, dtype=bool)
    chosen[np.random.default_rng(seed).choice(layout.num_items, MOST_ITEMS, replace=False)] = True
    return np.asarray(chosen[layout.item_of])


def surface_scores(layout: Layout, seed: int) -> Float64[np.ndarray, " {len(layout.options)}"] | str:
    """Scores by length, marks, capitals, digits and odd characters together; NaN where no item is asked; or why there are none.

    A capitalised word counts by its name only where it stands without the capital too: of a German noun it would be the word that tells.
    """

    def named(texts: Sequence[str]) -> Iterable[Iterable[str]]:
        lower = set[str]() if all(text.islower() for text in texts) else {word for text in texts for word in text.split() if word.islower()}
        return (traits(text, lower) for text in texts)

    return _scores(layout, seed, named)


def order_scores(layout: Layout, seed: int) -> Float64[np.ndarray, " {len(layout.options)}"] | str:
    """Scores by the half of a text in which each word stands, taught by negatives that have the words of their positive."""

    def named(texts: Sequence[str]) -> Iterable[Iterable[str]]:
        return (halves(tokens_of(text)) for text in texts)

    return _scores(layout, seed, named, _has_the_words_of_its_positive)


_Named = Callable[[Sequence[str]], Iterable[Iterable[str]]]


def _scores(layout: Layout, seed: int, named: _Named, teaches: Callable[[Layout, Sequence[str]], Bools] | None = None) -> Floats | str:
    asked = sampled_options(layout, seed)
    part = subset(layout, asked)
    folds = image_folds(part)
    if isinstance(folds, str):
        return folds
    part, texts = _with_own_texts(part)
    scores = np.full(len(layout.options), np.nan)
    kept = np.ones(len(part.options), dtype=bool) if teaches is None else teaches(part, texts)
    guesses = np.array([zlib.crc32(text.encode(errors="surrogatepass")) / 2**32 - 0.5 for text in texts])
    scores[asked] = cross_fit(_columns(named(texts)), part, folds, teaches=kept) + _GUESS * guesses[part.options]
    return scores


def _with_own_texts(layout: Layout) -> tuple[Layout, list[str]]:
    """The layout with its own texts numbered from 0, and these."""
    used, options = np.unique(layout.options, return_inverse=True)
    wanted = np.zeros(len(layout.texts), dtype=bool)
    wanted[used] = True
    texts = [text for text, is_wanted in zip(layout.texts, wanted.tolist(), strict=True) if is_wanted]
    return replace(layout, options=options.astype(np.int64), says=layout.says[used]), texts


def _columns(named: Iterable[Iterable[str]]) -> Words:
    """Texts x names, 1 where a text has it."""
    from scipy.sparse import csr_array

    number: dict[str, int] = {}
    columns, ends = array("i"), [0]
    for names in named:
        columns.extend(sorted({number.setdefault(name, len(number)) for name in names}))
        ends.append(len(columns))
    order = sorted(number)
    place = np.empty(len(number), dtype=np.int32)
    place[[number[name] for name in order]] = np.arange(len(number), dtype=np.int32)
    counts = csr_array(
        (np.ones(len(columns), dtype=np.int8), place[np.array(columns, dtype=np.int64)], ends), shape=(len(ends) - 1, len(number))
    )
    guess = np.array([zlib.crc32(name.encode(errors="surrogatepass")) / 2**32 - 0.5 for name in order])
    return Words(counts, np.zeros(len(number), dtype=bool), guess, {name: i for i, name in enumerate(order)})


def _has_the_words_of_its_positive(layout: Layout, texts: Sequence[str]) -> Bools:
    bags: dict[tuple[str, ...], int] = {}
    bag_of: Ints = np.array([bags.setdefault(tuple(sorted(tokens_of(text))), len(bags)) for text in texts], dtype=np.int64)[layout.options]
    return np.asarray(bag_of == bag_of[layout.starts[:-1]][layout.item_of])
