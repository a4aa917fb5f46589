"""The items of an audit as flat arrays: distinct, in an order that does not depend on the input's, and what ties them together.

Knows nothing of probes.
"""

import marshal
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from schemas.audit import AuditItem
from stages.audit.form.sameness import bare_form, is_plain, numbered
from stages.audit.texts import Texts

# Arrays of one axis.
Ints: TypeAlias = Int64[np.ndarray, " _"]
Floats: TypeAlias = Float64[np.ndarray, " _"]
Bools: TypeAlias = Bool[np.ndarray, " _"]
_Texts: TypeAlias = tuple[str, tuple[str, ...]]  # positive, negatives
_About: TypeAlias = tuple[str | None, str | None, tuple[str | None, ...]]  # image, noun, types


@dataclass(frozen=True)
class Layout:
    """Distinct items over distinct texts.

    `options[starts[i]:starts[i + 1]]` are item i's texts, the positive first; `item_of` names each option's item; `types` each
    option's type as a place in `kinds` (0 for positives and where none is known). `images` and `nouns`: which images each item occurs
    on, its noun. `says`: a number for each text, equal where two say the same in another form.
    """

    texts: Texts
    says: Int64[np.ndarray, " texts"]
    options: Int64[np.ndarray, " options"]
    starts: Int64[np.ndarray, " starts"]
    item_of: Int64[np.ndarray, " options"]
    types: Int64[np.ndarray, " options"]
    kinds: tuple[str, ...]
    images: tuple[tuple[str, ...], ...]
    nouns: tuple[str, ...]

    @property
    def num_items(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Int64[np.ndarray, " {self.num_items}"]:
        """Options of each item."""
        return np.diff(self.starts)

    @property
    def positives(self) -> Int64[np.ndarray, " {self.num_items}"]:
        """The text of each item's positive."""
        return np.asarray(self.options[self.starts[:-1]])

    @property
    def meanings(self) -> Int64[np.ndarray, " {self.num_items}"]:
        """What each item's positive says, whatever its form."""
        return np.asarray(self.says[self.positives])

    @property
    def is_positive(self) -> Bool[np.ndarray, " {len(self.options)}"]:
        mask = np.zeros(len(self.options), dtype=bool)
        mask[self.starts[:-1]] = True
        return mask


SELF_NEGATIVE, REPEATED, NO_CHOICE = "negative_is_positive", "repeated_negative", "all_options_equal"


def lay_out(items: Iterable[AuditItem]) -> tuple[Layout, dict[str, int]]:
    """The distinct (positive, negatives) items, one that occurs on several images knowing them all; and what was dropped, by reason.

    An item's options are its distinct texts: a negative that is its positive could only tie with it, and one that stands there twice
    would make it look harder than it is. Texts are the same where they differ in form alone (stages/audit/form/sameness.py). Items of
    which no negative is left are left out.
    """
    dropped: Counter[str] = Counter()
    flat, packed = _merged(items, dropped)
    images, nouns = marshal.loads(packed)  # noqa: S302  # packed right here
    return replace(flat, images=images, nouns=nouns), {why: num for why, num in sorted(dropped.items()) if num}


def _merged(items: Iterable[AuditItem], dropped: Counter[str]) -> tuple[Layout, bytes]:
    """The layout without images and nouns, and these packed: made anew when the items are gone, they do not lie strewn among them."""
    merged: dict[_Texts, _About] = {}
    images: defaultdict[_Texts, set[str]] = defaultdict(set)  # of items that occur on several
    same: dict[Any, Any] = {}  # most items have the types, nouns and images of others
    for given in items:
        item = _distinct(given, dropped)
        if item is None:
            continue
        texts = (item.positive, item.negatives)
        about: _About = (
            same.setdefault(item.image, item.image),
            same.setdefault(item.noun, item.noun),
            same.setdefault(item.types, item.types),
        )
        first = merged.setdefault(texts, about)
        if first is not about:
            images[texts].update(image for image in (first[0], item.image) if image is not None)
    order = sorted(merged)
    of_item = [tuple(sorted(images[texts])) if texts in images else _images(merged[texts][0]) for texts in order]
    flat = _flat(((*texts, *merged[texts][1:]) for texts in order), of_item)
    return replace(flat, images=(), nouns=()), marshal.dumps((flat.images, flat.nouns))


def _images(image: str | None) -> tuple[str, ...]:
    return (image,) if image else ()


def _distinct(item: AuditItem, dropped: Counter[str]) -> AuditItem | None:
    """The item with each other text once; None where all of its options say one thing."""
    texts = (item.positive, *item.negatives)
    own, *others = texts if is_plain(*texts) else map(bare_form, texts)
    kept = {text: place for place, text in reversed([*enumerate(others)])}  # the first place of each
    if len(kept) == len(item.negatives) and own not in kept:
        return item
    num_own = others.count(own)
    kept.pop(own, None)
    dropped[SELF_NEGATIVE] += num_own
    dropped[REPEATED] += len(item.negatives) - num_own - len(kept)
    if not kept:
        dropped[NO_CHOICE] += 1
        return None
    places = sorted(kept.values())
    types = tuple(item.types[place] for place in places) if item.types else ()
    return item.model_copy(update={"negatives": tuple(item.negatives[place] for place in places), "types": types})


def item_labels(layout: Layout) -> Any:
    """A label for each item, equal of items that say the same, whatever the form of their texts and the order of their negatives."""
    mixed = _mixed(layout.says[layout.options])
    first = layout.starts[:-1]
    mixed[first] = _mixed(mixed[first])  # the positive is told from the others
    return np.add.reduceat(mixed, first) if layout.num_items else mixed


def _mixed(numbers: Any) -> Any:
    """Numbers of 64 bits that sums of do not meet by chance.

    Source: G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def lay_out_as_given(items: Sequence[AuditItem]) -> Layout:
    """The items one by one in their order, equal ones too."""
    return _flat(((item.positive, item.negatives, item.noun, item.types) for item in items), [_images(item.image) for item in items])


def _flat(items: Iterable[tuple[str, tuple[str, ...], str | None, tuple[str | None, ...]]], images: Sequence[tuple[str, ...]]) -> Layout:
    number: dict[str, int] = {}
    options, nouns = array("q"), list[str]()
    kinds: dict[str, int] = {"": 0}
    types = array("q")
    starts = [0]
    for positive, negatives, noun, kinds_of in items:
        options.extend([number.setdefault(text, len(number)) for text in (positive, *negatives)])
        types.extend([0, *(kinds.setdefault(kind or "", len(kinds)) for kind in kinds_of or ("",) * len(negatives))])
        nouns.append(noun or "")
        starts.append(len(options))
    bounds = np.array(starts, dtype=np.int64)
    return Layout(
        texts=Texts(number),
        says=numbered(number),
        options=np.array(options, dtype=np.int64),
        starts=bounds,
        item_of=np.repeat(np.arange(len(starts) - 1, dtype=np.int64), np.diff(bounds)),
        types=np.array(types, dtype=np.int64),
        kinds=tuple(kinds),
        images=tuple(images),
        nouns=tuple(nouns),
    )


def subset(layout: Layout, wanted: Bool[np.ndarray, " {len(layout.options)}"]) -> Layout:
    """The options that are wanted, of the items that keep their positive and a negative; texts keep their numbers."""
    num_wanted = np.add.reduceat(wanted.astype(np.int64), layout.starts[:-1]) if layout.num_items else np.zeros(0, dtype=np.int64)
    whole = (num_wanted >= 2) & wanted[layout.starts[:-1]]
    keep = wanted & whole[layout.item_of]
    kept_items = np.flatnonzero(whole)
    sizes = num_wanted[kept_items]
    return Layout(
        texts=layout.texts,
        says=layout.says,
        options=layout.options[keep],
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        item_of=np.repeat(np.arange(len(kept_items), dtype=np.int64), sizes),
        types=layout.types[keep],
        kinds=layout.kinds,
        images=tuple(layout.images[i] for i in kept_items),
        nouns=tuple(layout.nouns[i] for i in kept_items),
    )


def components(num_items: int, labels: Sequence[tuple[Any, Any]]) -> Int64[np.ndarray, " {num_items}"]:
    """Component of each item, where items that share a label are joined. `labels`: several lists of (item, label), each its own kind."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns, num_nodes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], num_items
    for of, values in labels:
        if len(of):
            _, inverse = np.unique(np.asarray(values), return_inverse=True)
            rows.append(np.asarray(of, dtype=np.int64))
            columns.append(inverse.astype(np.int64) + num_nodes)
            num_nodes += int(inverse.max()) + 1
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(num_nodes, num_nodes))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[:num_items], return_inverse=True)[1].astype(np.int64)


def image_labels(layout: Layout) -> tuple[list[int], list[str]]:
    """(item, image) for each image of each item."""
    pairs = [(item, image) for item, images in enumerate(layout.images) for image in images]
    return [item for item, _ in pairs], [image for _, image in pairs]


def reciprocal_labels(layout: Layout) -> tuple[Int64[np.ndarray, " ties"], Int64[np.ndarray, " ties"]]:
    """(item, pair of texts) for the pairs of which each text is the positive somewhere and the other its negative."""
    negative = ~layout.is_positive
    items, other = layout.item_of[negative], layout.says[layout.options[negative]]
    own = layout.meanings[items]
    pair = np.minimum(own, other) * len(layout.texts) + np.maximum(own, other)
    forward = own < other
    both = np.intersect1d(pair[forward], pair[own > other])
    mutual = np.isin(pair, both)
    return items[mutual], pair[mutual]
