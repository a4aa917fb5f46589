"""Who is asked while who teaches: folds that share neither image nor positive, or no head noun. Knows no probe."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from stages.audit.layout import Bools, Ints, Layout, components, image_labels, item_labels, reciprocal_labels

NUM_FOLDS = 5
_GIANT = 0.35  # a component that holds more of the items cannot be one fold of five


@dataclass(frozen=True)
class Folds:
    """`splits`: (teaching, asked) masks over items; each item is asked once. `how`: joined, crossed or positives.

    `unseen_nouns`: the asked items' head nouns are not to be learned of from the negatives of others either.
    """

    splits: tuple[tuple[Bool[np.ndarray, " items"], Bool[np.ndarray, " items"]], ...]
    how: str
    unseen_nouns: bool = False


def image_folds(layout: Layout, rng: np.random.Generator | None = None) -> Folds | str:
    """Folds in which no image, no positive and no reciprocal pair is on both sides; or why there can be none.

    Items joined through any of the three stay together (`joined`). Where that chains most of the set into one piece, images and
    texts are dealt into folds apart, and each cell of the two is asked of what shares neither with it (`crossed`). Where images
    alone chain, texts alone are kept apart (`positives`). Where reciprocal pairs alone chain, as in a closed world in which every
    edit of a text is the text of another image, they are not kept together: `ngrams.cross_fit` then leaves out of the teaching what
    tells of an asked text. With `rng` groups of one size are dealt in random order.
    """
    everything = np.arange(layout.num_items)
    images, mutual = image_labels(layout), reciprocal_labels(layout)
    texts = components(layout.num_items, [(everything, layout.meanings), mutual])
    if texts.size and np.bincount(texts).max() > _GIANT * layout.num_items:
        texts, mutual = components(layout.num_items, [(everything, layout.meanings)]), (everything[:0], everything[:0])
    if texts.size == 0 or texts.max() == 0:
        return "all items share one positive text: nothing is left to learn from"
    joined = components(layout.num_items, [images, (everything, layout.meanings), mutual])
    if np.bincount(joined).max() <= _GIANT * layout.num_items:
        return Folds(_splits(_deal(joined, rng)), "joined")
    by_image = components(layout.num_items, [images])
    if np.bincount(by_image).max() > _GIANT * layout.num_items:
        return Folds(_splits(_deal(texts, rng)), "positives")
    return Folds(_crossed(_deal(by_image, rng), _deal(texts, rng)), "crossed")


def noun_folds(layout: Layout) -> Folds | str:
    """Folds in which no head noun and no positive is on both sides; or why there can be none.

    Where texts of several nouns (long captions, whose items are the nouns that are edited) chain most of the set into one piece, nouns and
    texts are dealt into folds apart, as in `image_folds`.
    """
    if not any(layout.nouns):
        return "no item names its noun"
    everything = np.arange(layout.num_items)
    named = [item for item, noun in enumerate(layout.nouns) if noun]
    by_noun, by_text = (named, [layout.nouns[item] for item in named]), (everything, layout.meanings)
    groups, nouns = components(layout.num_items, [by_noun, by_text]), components(layout.num_items, [by_noun])
    limit = _GIANT * layout.num_items
    if np.bincount(groups).max() > limit and np.bincount(nouns).max() <= limit:
        texts = components(layout.num_items, [by_text])
        return Folds(_crossed(_deal(nouns, None), _deal(texts, None)), "crossed", unseen_nouns=True)
    if groups.max() == 0:
        return "all items share one noun: nothing is left to learn from"
    return Folds(_splits(_deal(groups, None)), "joined", unseen_nouns=True)


def clusters(layout: Layout) -> Int64[np.ndarray, " {layout.num_items}"]:
    """Which items count together in the bootstrap: those of one image; without an image those of one positive; those that say the same.

    A name that more than 35 % of the items have names no image.
    """
    shared = Counter(image for images in layout.images for image in set(images))
    names = [tuple(image for image in images if shared[image] <= _GIANT * layout.num_items) for images in layout.images]
    bare = [item for item, images in enumerate(names) if not images]
    named = [item for item, images in enumerate(names) if images]
    texts = (bare, layout.meanings[bare])
    of_images = [(item, image) for item in named for image in names[item]]
    same = (np.arange(layout.num_items), item_labels(layout))
    joined = components(layout.num_items, [([item for item, _ in of_images], [image for _, image in of_images]), texts, same])
    if joined.size and np.bincount(joined).max() > _GIANT * layout.num_items:  # texts that recur on many images chain them
        joined = components(layout.num_items, [(named, [names[item][0] for item in named]), texts])
    return joined


def _deal(groups: Ints, rng: np.random.Generator | None) -> Ints:
    """A fold for each item: the largest group first, each to the fold that has the fewest items."""
    sizes = np.bincount(groups)
    dealt = np.arange(len(sizes)) if rng is None else rng.permutation(len(sizes))
    load = np.zeros(min(NUM_FOLDS, len(sizes)), dtype=np.int64)
    fold_of = np.zeros(len(sizes), dtype=np.int64)
    for group in dealt[np.argsort(-sizes[dealt], kind="stable")]:
        fold_of[group] = load.argmin()
        load[fold_of[group]] += sizes[group]
    return np.asarray(fold_of[groups])


def _splits(folds: Ints) -> tuple[tuple[Bools, Bools], ...]:
    return tuple((folds != fold, folds == fold) for fold in np.unique(folds))


def _crossed(left: Ints, right: Ints) -> tuple[tuple[Bools, Bools], ...]:
    cells = np.unique(np.stack([left, right]), axis=1)
    return tuple(((left != a) & (right != b), (left == a) & (right == b)) for a, b in cells.T)
