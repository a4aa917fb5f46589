"""Which two values one thing may have at once: synonyms, broader words, perceptual neighbours, values of different kinds.

The guard of every negative, written, computed or mined: a value that may be true beside a true one refutes nothing.
Words and values only; knows no edit, no image, no engine.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from schemas.rows import ATTRIBUTE_TYPES
from stages.words.lexicon import TYPES_OF_VALUE
from stages.words.related_words import AXES, CANONICAL, MIXING, OPPOSED, RELATED, SHADED


class Value(NamedTuple):
    """A value and what it is a value of: an attribute type, `object`, or another edit type."""

    type: str
    value: str


_SHADES = {"light": "light", "pale": "light", "soft": "light", "pastel": "light", "dark": "dark", "deep": "dark"}
_FILLERS = frozenset("very bright vivid vibrant slightly mostly partly fully plain-looking coloured colored colour color".split())
_WORD = re.compile(r"[^\W\d_][\w'-]*")


def may_be_both_true(kind: str, a: str, b: str) -> bool:
    """Whether a thing of which `a` is true may also be called `b`. Symmetric; two unknown words that differ: False.

    "red" and "orange" (neighbours), "wood" and "wooden" (synonyms), "dark blue" and "blue" (one is broader), "tall" and
    "wide" (not of one scale) may; "red" and "blue", "small" and "large" may not.
    """
    first, second = _parts(a), _parts(b)
    if not first or not second:
        return not first and not second
    return _are_covered(kind, first, second) or _are_covered(kind, second, first)


def is_ruled_out(kind: str, value: str, known: Iterable[Value]) -> bool:
    """Whether a known value of this type contradicts `value`, and no known value of any type may be true beside it.

    `known` are values that are true of the thing or of its parts. Of two things of one type that are both known ("a red
    car with white wheels"), neither rules out the other.
    """
    known = list(known)
    return any(one.type == kind for one in known) and not is_allowed(kind, value, known)


def is_allowed(kind: str, value: str, known: Iterable[Value]) -> bool:
    """Whether some known value of this type may be true beside `value`: then `value` is no negative."""
    return any(one.type == kind and may_be_both_true(kind, one.value, value) for one in known)


def is_same_noun(a: str, b: str) -> bool:
    """Whether two nouns are one word, its plural or a synonym; a broader word is another noun."""
    return _canonical("object", a.lower()) == _canonical("object", b.lower())


def contradictions(own: Sequence[Value], other: Sequence[Value]) -> list[Value]:
    """The values of `other` that are false of a thing of which `own` is all that is known: those that `own` rules out."""
    return [one for one in other if is_ruled_out(one.type, one.value, own)]


@lru_cache(maxsize=16384)
def values_in(text: str) -> tuple[Value, ...]:
    """The attribute values that a text states, in order, with their shade: "a dark red wooden box" has two."""
    words = [match.group().lower() for match in _WORD.finditer(text)]
    found = []
    for i, word in enumerate(words):
        shade = words[i - 1] if i and words[i - 1] in _SHADES else ""
        for kind in ATTRIBUTE_TYPES:
            if word in TYPES_OF_VALUE[kind]:
                found.append(Value(kind, f"{shade} {word}" if shade and kind == "colour" else word))
    return tuple(dict.fromkeys(found))


def neighbours(kind: str, value: str, among: Iterable[str]) -> list[str]:
    """Those of `among` that are no negative of `value`."""
    return [one for one in among if may_be_both_true(kind, value, one)]


def _are_covered(kind: str, these: Sequence[str], those: Sequence[str]) -> bool:
    """Whether each of these may be true beside one of those: "white" is covered by "red and white"."""
    return all(any(_may_be_both(kind, one, other) for other in those) for one in these)


def _may_be_both(kind: str, a: str, b: str) -> bool:
    if kind == "colour":
        return _are_near_colours(a, b)
    first, second = _canonical(kind, a), _canonical(kind, b)
    if first == second or set(first.split()) <= set(second.split()) or set(second.split()) <= set(first.split()):
        return True
    if frozenset((first, second)) in OPPOSED.get(kind, ()):
        return False
    if any(frozenset(pair) in RELATED.get(kind, ()) for pair in ((first, second), (first.split()[-1], second.split()[-1]))):
        return True
    if kind in MIXING and {first, second} & MIXING[kind]:
        return True
    axes = AXES.get(kind, {})
    return first in axes and second in axes and axes[first] != axes[second]


def _are_near_colours(a: str, b: str) -> bool:
    (shade, base), (other_shade, other_base) = _shaded(a), _shaded(b)
    if base == other_base:
        return {shade, other_shade} != {"light", "dark"}
    names = {base, *SHADED.get(f"{shade} {base}", ())}
    other_names = {other_base, *SHADED.get(f"{other_shade} {other_base}", ())}
    if base in other_names or other_base in names:
        return True
    if {"light white", "dark black"} & {f"{shade} {other_base}", f"{other_shade} {base}"}:
        return True
    pairs = (frozenset((one, other)) for one in names for other in other_names)
    return any(pair in RELATED["colour"] for pair in pairs) or bool((names & other_names) - {base, other_base})


def _shaded(colour: str) -> tuple[str, str]:
    """("dark", "red") of "deep red"; the shade is empty where none is said."""
    words = colour.split()
    shade = next((_SHADES[word] for word in words[:-1] if word in _SHADES), "")
    rest = [word for word in words if word not in _SHADES] or words
    return shade, _canonical("colour", " ".join(rest))


def _canonical(kind: str, value: str) -> str:
    table = CANONICAL.get(kind, {})
    if value in table:
        return table[value]
    words = [table.get(word, word) for word in value.split()]
    if kind == "object" and words:
        last = words[-1]
        words[-1] = table.get(last[:-1], last[:-1]) if len(last) > 3 and last.endswith("s") and not last.endswith("ss") else last
    return " ".join(words)


@lru_cache(maxsize=65536)
def _parts(value: str) -> tuple[str, ...]:
    """The values that a value is made of: "red and white" has two; fillers and articles are left out."""
    parts = re.split(r"\s*(?:,|/|&|\band\b)\s*", value.lower())
    cleaned = []
    for part in parts:
        words = [re.sub(r"[-_](?:colou?red|patterned)$", "", word) for word in part.split()]
        words = [word for word in words if word not in _FILLERS and word not in ("a", "an", "the")] or words
        cleaned.append(" ".join(words))
    return tuple(part for part in cleaned if part)
