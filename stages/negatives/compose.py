"""Negatives made of negatives: several slots changed at once, and a region's edit made in the long caption's own words.

Strings, spans and a generator of random numbers that is handed in; knows no engine and no boxes.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.rows import ATTRIBUTE_TYPES, COMPUTED_TYPES, Edit, Negative
from stages.negatives.edits import replay
from stages.negatives.quotes import occurrences
from stages.words.ambiguity import is_allowed, is_same_noun
from stages.words.values import Value

_TRIES = 20  # draws for each negative that is wanted


@dataclass(frozen=True)
class Place:
    """Where the long caption names a region: `caption[start:end]`. What else is true of anything of that noun in it,
    and which other nouns it names, so that an edit of the text is false of the whole image."""

    start: int
    end: int
    head: str
    noun_values: tuple[Value, ...] = ()
    other_heads: frozenset[str] = frozenset()


def composed(
    singles: Sequence[Negative], positive: str, level: int, limit: int, draw: random.Random, taken: Iterable[str] = ()
) -> list[Negative]:
    """At most `limit` negatives with `level` slots of different words changed, drawn among all combinations of these.

    Swaps are left out, and so are edits of the object: with another noun there is nothing left to tell apart. A text in
    `taken` is not made again. A computed edit refutes the whole by the boxes alone, and the verdict is its own.
    """
    usable = [single for single in singles if single.level == 1 and len(single.edits) == 1 and single.type not in ("object", "swap")]
    seen = {text.lower() for text in taken} | {positive.lower()}
    made: list[Negative] = []
    for _ in range(_TRIES * limit if len(usable) >= level else 0):
        edits = sorted((single.edits[0] for single in draw.sample(usable, level)), key=lambda edit: edit.start)
        text = "" if any(a.end > b.start for a, b in itertools.pairwise(edits)) else replay(positive, edits)
        if text and text.lower() not in seen:
            seen.add(text.lower())
            made.append(_negative(text, edits, level))
        if len(made) == limit:
            break
    return made


def placed(negative: Negative, caption: str, place: Place) -> Negative | str:
    """A region's single edit made where the caption names it, or the rule that forbids it there."""
    (edit, *others) = negative.edits
    if others:
        return "not_in_caption"
    spans = occurrences(caption[place.start : place.end], edit.old)
    if not spans:
        return "not_in_caption"
    if len(spans) > 1:
        return "ambiguous_span"
    if edit.type in ATTRIBUTE_TYPES and is_allowed(edit.type, edit.new.lower(), place.noun_values):
        return "true_of_another"
    if edit.type == "object" and any(is_same_noun(edit.new, head) for head in place.other_heads):
        return "true_of_another"
    start, end = place.start + spans[0][0], place.start + spans[0][1]
    edits = [Edit(type=edit.type, start=start, end=end, old=edit.old, new=edit.new)]
    return _negative(replay(caption, edits), edits, 1)


def drawn_evenly(negatives: Sequence[Negative], limit: int, draw: random.Random) -> tuple[list[Negative], int]:
    """At most `limit` of these, types in turn so that none crowds out another, and how many were left."""
    shuffled = draw.sample(list(negatives), len(negatives))
    place_in_type: Counter[str] = Counter()
    ranked = []
    for order, candidate in enumerate(shuffled):
        ranked.append((place_in_type[candidate.type], order, candidate))
        place_in_type[candidate.type] += 1
    ranked.sort(key=lambda entry: entry[:2])
    return [candidate for _, _, candidate in ranked[:limit]], max(0, len(ranked) - limit)


def _negative(text: str, edits: list[Edit], level: int) -> Negative:
    if any(edit.type in COMPUTED_TYPES for edit in edits):
        return Negative(text=text, edits=edits, type=edits[0].type, level=level, source="geometry", verdict="false")
    return Negative(text=text, edits=edits, type=edits[0].type, level=level)
