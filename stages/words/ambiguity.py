"""Which two values one thing may have at once: synonyms, broader words, perceptual neighbours, values of different kinds.

The guard of every negative, written, computed or mined: a value that may be true beside a true one refutes nothing.
Words and values only; knows no edit, no image, no engine.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from stages.words.lexicon import TINTS, TYPES_OF_VALUE, types_of
from stages.words.nouns import singular
from stages.words.related_words import CANONICAL, RELATED, SHADED
from stages.words.scales import AXES, MIXING, OPPOSED
from stages.words.values import Value

_SHADES = {
    **dict.fromkeys(("light", "pale", "soft", "pastel", "lighter", "paler"), "light"),
    **dict.fromkeys(("dark", "deep", "darker", "deeper"), "dark"),
}
_TINTS = TINTS - TYPES_OF_VALUE["colour"] - set(_SHADES)  # "hot" of hot pink, "sky" of sky blue
# Bare shades and what they are plainly not.
_NEVER = {
    "dark": frozenset("white cream beige yellow pink peach".split()),
    "light": frozenset("black navy maroon charcoal".split()),
}
_OF_MANY_SCALES = ("size", "state", "shape")  # values that are known exclude each other where they are of one scale alone
_FILLERS = frozenset("very bright vivid vibrant slightly mostly partly fully plain-looking coloured colored colour color".split())


@lru_cache(maxsize=1 << 17)
def may_be_both_true(kind: str, a: str, b: str) -> bool:
    """Whether a thing of which `a` is true may also be called `b`. Symmetric; two unknown words that differ: False.

    "red" and "orange" (neighbours), "wood" and "wooden" (synonyms), "dark blue" and "blue" (one is broader), "tall" and
    "wide" (not of one scale) may; "red" and "blue", "small" and "large" may not.
    """
    return _are_both(_may_be_both, kind, a, b)


def is_ruled_out(kind: str, value: str, known: Iterable[Value]) -> bool:
    """Whether a known value of this type contradicts `value`, and none says as much as `value` does, or nearly.

    `known` are values that are true of the thing or of its parts. Of two things of one type that are both known ("a red
    car with white wheels"), neither rules out the other. A value of another scale says nothing: "tall" neither allows nor
    rules out "wide".
    """
    known = list(known)
    return any(one.type == kind and not may_be_both_true(kind, one.value, value) for one in known) and not is_allowed(kind, value, known)


def is_allowed(kind: str, value: str, known: Iterable[Value]) -> bool:
    """Whether some known value of this type says as much as `value` does, or nearly: then `value` is no negative.

    A bare shade names no colour: a mushroom with a pale stem may still be called red wrongly.
    """
    said = [one.value for one in known if one.type == kind and (one.value not in _SHADES or value in _SHADES)]
    return any(_say_nearly_the_same(kind, one, value) for one in said)


def says_the_same(kind: str, a: str, b: str) -> bool:
    """Whether two values are one word, synonyms, or one is the other with a word more; near shades are not the same."""
    these, those = (set(canonical_value(kind, one.lower()).split()) for one in (a, b))
    return these <= those or those <= these


def is_same_noun(a: str, b: str) -> bool:
    """Whether two nouns are one word, its plural or a synonym; a broader word is another noun."""
    return canonical_noun(a.lower()) == canonical_noun(b.lower())


def canonical_noun(noun: str) -> str:
    """The word that stands for a noun, its plural and its synonyms."""
    return _canonical("object", noun)


def canonical_value(kind: str, value: str) -> str:
    """What stands for a value and its synonyms: "deep grey" and "dark gray" have one."""
    if kind == "colour":
        return " ".join(part for one in _parts(value) for part in _shaded(one) if part)
    return " ".join(_canonical(kind, one) for one in _parts(value))


def is_listed(kind: str, value: str) -> bool:
    """Whether the lists of this type know a value, whatever other types know it: gold is a colour and a material."""
    words, synonyms, pairs = value.lower().split(), CANONICAL.get(kind, {}), RELATED.get(kind, ())
    return any(
        word in synonyms or word in synonyms.values() or any(word in pair for pair in pairs) for word in (value.lower(), *words[-1:])
    )


def contradictions(own: Sequence[Value], other: Sequence[Value]) -> list[Value]:
    """The values of `other` that are false of a thing of which `own` is all that is known: those that `own` rules out."""
    return [one for one in other if is_ruled_out(one.type, one.value, own)]


def _are_both(of: Callable[[str, str, str], bool], kind: str, a: str, b: str) -> bool:
    """Whether this holds of two values with several parts: "white" is covered by "red and white"."""
    first, second = _parts(a), _parts(b)
    if not first or not second:
        return not first and not second
    covered = (all(any(of(kind, one, other) for other in those) for one in these) for these, those in ((first, second), (second, first)))
    return any(covered)


@lru_cache(maxsize=1 << 17)
def _say_nearly_the_same(kind: str, a: str, b: str) -> bool:
    return _are_both(_is_near, kind, a, b)


def _may_be_both(kind: str, a: str, b: str) -> bool:
    axes = AXES.get(kind, {})
    first, second = _canonical(kind, a), _canonical(kind, b)
    if frozenset((first, second)) in OPPOSED.get(kind, ()):
        return False
    is_of_one_scale = first in axes and axes[first] == axes.get(second)
    if kind in _OF_MANY_SCALES and not is_of_one_scale and not (_is_outline(first) and _is_outline(second)):
        return any(one in axes or kind in types_of(one) for one in (first, second)) or _is_near(kind, a, b)
    return _is_near(kind, a, b)


def _is_outline(shape: str) -> bool:
    """Whether this is the form of a whole: a thing has one."""
    axes = AXES["shape"]
    return axes[shape] == axes["round"] if shape in axes else shape.endswith("-shaped")


def _is_near(kind: str, a: str, b: str) -> bool:
    """Whether one of the two says nearly what the other does: a synonym, a broader word, a near shade."""
    if kind == "colour":
        return _are_near_colours(a, b)
    first, second = _canonical(kind, a), _canonical(kind, b)
    if first == second or set(first.split()) <= set(second.split()) or set(second.split()) <= set(first.split()):
        return True
    if frozenset((first, second)) in OPPOSED.get(kind, ()):
        return False
    if any(frozenset(pair) in RELATED.get(kind, ()) for pair in ((first, second), (first.split()[-1], second.split()[-1]))):
        return True
    return kind in MIXING and bool({first, second} & MIXING[kind])


def _are_near_colours(a: str, b: str) -> bool:
    (shade, base), (other_shade, other_base) = _shaded(a), _shaded(b)
    for bare, other, other_is in ((base, other_base, other_shade), (other_base, base, shade)):
        if bare in _NEVER:
            return (other_is or other) == bare if other_is or other in _NEVER else other not in _NEVER[bare]
    if base == other_base:
        return {shade, other_shade} != {"light", "dark"}
    names = {base, *SHADED.get(f"{shade} {base}", ())}
    other_names = {other_base, *SHADED.get(f"{other_shade} {other_base}", ())}
    if base in other_names or other_base in names:
        return True
    if {"light white", "dark black"} & {f"{shade} {other_base}", f"{other_shade} {base}"}:
        return True
    if names & other_names:
        return True
    # What a shade is also called is related to nothing further: dark green is olive, and olive is near brown, but dark green is not.
    return {shade, other_shade} != {"light", "dark"} and frozenset((base, other_base)) in RELATED["colour"]


def _shaded(colour: str) -> tuple[str, str]:
    """("dark", "red") of "deep red"; the shade is empty where none is said."""
    words = colour.split()
    rest = [word for word in words if word not in _SHADES]
    if not rest:
        return "", _SHADES[words[-1]]
    shade = next((_SHADES[word] for word in words[:-1] if word in _SHADES), "")
    return shade, _canonical("colour", " ".join(rest))


def _canonical(kind: str, value: str) -> str:
    table = CANONICAL.get(kind, {})
    if value in table:
        return table[value]
    words = [table.get(word, word) for word in value.split()]
    if kind == "object" and words:
        one = singular(value.split()[-1])
        words[-1] = table.get(one, one)
    return " ".join(words)


@lru_cache(maxsize=65536)
def _parts(value: str) -> tuple[str, ...]:
    """The values that a value is made of: "red and white" has two; fillers and articles are left out."""
    parts = re.split(r"\s*(?:,|/|&|-?\band\b-?)\s*", value.lower())
    cleaned = []
    for part in (mixed for one in parts for mixed in _mixed(one)):
        words = [re.sub(r"[-_](?:colou?red|toned|tinted|patterned)$|^off-(?!white)", "", word) for word in part.split()]
        words = [word for word in words if word not in _FILLERS and word not in ("a", "an", "the")] or words
        cleaned.append(" ".join(words))
    return tuple(part for part in cleaned if part)


def _mixed(value: str) -> list[str]:
    """The colours that one value joins: "blue-green" and "lime green" are near both; "sky blue" is a blue."""
    words = [word for word in re.split(r"[ -]", value) if word not in _TINTS]
    shades = [word for word in words if word in _SHADES]
    colours = [word for word in words if word not in _SHADES]
    if value in CANONICAL["colour"] or not colours or not all(is_listed("colour", word) for word in colours):
        return [value]
    return [" ".join((*shades[:1], colour)) for colour in colours]
