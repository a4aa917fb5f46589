"""Real expressions as negatives of each other: a frame with typed slots, and the edits between two texts of one frame.

Strings and values only; knows no image, no block, no engine.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from schemas.rows import ATTRIBUTE_TYPES, Attribute, Edit, EditType, Negative, RegionCaption
from stages.negatives.edits import replay
from stages.negatives.quotes import noun_spans, occurrences
from stages.words.ambiguity import is_ruled_out
from stages.words.values import Value, values_in

_ARTICLE = re.compile(r"(?<!\w)([Aa])n?(?=\s+<)")


class Slot(NamedTuple):
    """An attribute value where it stands before the head noun: `text[start:end]`."""

    type: EditType
    start: int
    end: int
    value: str


class Expression(NamedTuple):
    """A region's short expression. Texts with one `frame` differ in the values of their slots alone, and in a/an.

    `known` holds the values that are known of the region: those of the text, of its long expression, of its attribute list.
    """

    text: str
    frame: str
    slots: tuple[Slot, ...]
    known: tuple[Value, ...]


@lru_cache(maxsize=65536)
def parse(text: str, head: str, long: str, attributes: tuple[Attribute, ...]) -> Expression | None:
    """The expression with the attribute values before its head noun as slots; None where it has none, or no head noun."""
    nouns = noun_spans(text, head)
    if not nouns:
        return None
    listed = [Value(attribute.type, attribute.value.lower()) for attribute in attributes if attribute.type in ATTRIBUTE_TYPES]
    before = text[: nouns[0][0]]
    slots: list[Slot] = []
    stated = values_in(text[: nouns[0][1]])  # the noun is read too: by it "orange" is known for a colour
    for value in sorted([*listed, *stated], key=lambda value: -len(value.value)):
        for start, end in occurrences(before.lower(), value.value):
            if not any(start < slot.end and slot.start < end for slot in slots):
                slots.append(Slot(value.type, start, end, value.value))  # type: ignore[arg-type]  # an attribute type is an edit type
    if not slots:
        return None
    slots.sort(key=lambda slot: slot.start)
    known = dict.fromkeys([*listed, *(Value(slot.type, slot.value) for slot in slots), *values_in(text), *values_in(long)])
    return Expression(text, _frame(text, slots), tuple(slots), tuple(sorted(known)))


def expression_of(region: RegionCaption) -> Expression | None:
    """A region's short expression with its slots; None where it has no slot."""
    return parse(region.short, region.head, region.long or "", tuple(region.attributes)) if region.short else None


def edits_between(positive: Expression, other: Expression) -> list[Edit]:
    """What makes the other text of the positive: one edit a slot whose value differs. Both have one frame."""
    return [
        Edit(type=a.type, start=a.start, end=a.end, old=positive.text[a.start : a.end], new=other.text[b.start : b.end])
        for a, b in zip(positive.slots, other.slots, strict=True)
        if a.value != b.value
    ]


def level_between(a: Expression, b: Expression) -> int:
    """In how many slots two expressions of one frame differ."""
    return sum(own.value != other.value for own, other in zip(a.slots, b.slots, strict=True))


def exclude_each_other(a: Expression, b: Expression, max_level: int) -> bool:
    """Whether each text is false of the other's region in every slot that differs, as far as values tell, and few slots do.

    True only where the edits give the other's text to the letter.
    """
    if a.text.lower() == b.text.lower() or not 1 <= level_between(a, b) <= max_level:
        return False
    for own, other in zip(a.slots, b.slots, strict=True):
        if own.value == other.value:
            continue
        if not is_ruled_out(own.type, other.value, a.known) or not is_ruled_out(own.type, own.value, b.known):
            return False
    return replay(a.text, edits_between(a, b)) == b.text and replay(b.text, edits_between(b, a)) == a.text


def reciprocal(positive: Expression, others: Sequence[Expression]) -> list[Negative]:
    """The other expressions of a group as negatives of one, in their order."""
    negatives = []
    for other in others:
        edits = edits_between(positive, other)
        negatives.append(Negative(text=other.text, edits=edits, type=edits[0].type, level=len(edits), source="reciprocal"))
    return negatives


def _frame(text: str, slots: Sequence[Slot]) -> str:
    for slot in reversed(slots):
        text = f"{text[: slot.start]}<{slot.type}>{text[slot.end :]}"
    return _ARTICLE.sub(r"\1", text)
