"""Which two values one thing may have at once: synonyms, broader words, perceptual neighbours, values of different kinds.

The guard of every negative, written, computed or mined: a value that may be true beside a true one refutes nothing.
Words and values only; knows no edit, no image, no engine.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from stages.words.lexicon import PURPOSES, TINTS, TYPES_OF_VALUE, types_of
from stages.words.nouns import looks_like_adjective, singular
from stages.words.related_words import BROAD, CANONICAL, RELATED, SHADED
from stages.words.scales import ANSWERS, AXES, CONDITIONS, MIXING, NEAR_BLACK, NEAR_WHITE, OPPOSED, OPPOSING, SHADES_APART, SHADING
from stages.words.values import Value

_SHADES = {
    **dict.fromkeys(("light", "pale", "soft", "pastel", "lighter", "paler", "sky", "baby", "powder"), "light"),
    **dict.fromkeys(("dark", "deep", "darker", "deeper", "midnight", "burnt", "forest", "hunter"), "dark"),
}
_TINTS = TINTS - TYPES_OF_VALUE["colour"] - set(_SHADES)  # "hot" of hot pink, "sky" of sky blue
# Bare shades and what they are plainly not.
_NEVER = {
    "dark": frozenset("white cream beige yellow pink peach orange gold tan silver turquoise cyan mint lime".split()),
    "light": frozenset("black navy maroon charcoal".split()),
}
# A bare shade of these is not bright; before a colour "bright" says nothing of which it is.
_DULL = frozenset("dark darker deep pale paler pastel".split())
_BRIGHT = frozenset("bright vivid vibrant neon electric".split())
_OF_MANY_SCALES = ("size", "state", "shape")  # values that are known exclude each other where they are of one scale alone
_WITH_COMPANY = (*_OF_MANY_SCALES, *MIXING)  # types of which a thing may well have two values at once
_DEGREES = frozenset("freshly newly neatly badly heavily lightly brightly partially half-way visibly well clearly very fast".split())
_COVERED = re.compile(r"(\w+?)[- ](?:covered|coated|encrusted|caked|capped|dusted|strewn|stained|splattered|spattered|streaked|crusted)")
_LOUD, _PALE = frozenset(("neon", "electric")), frozenset("cream creamy beige peach blonde blond".split())
_FILLERS = frozenset(
    "very bright vivid vibrant slightly mostly partly fully plain-looking coloured colored colour color completely entirely totally "
    "tightly firmly extremely perfectly".split()
)


@lru_cache(maxsize=1 << 17)
def may_be_both_true(kind: str, a: str, b: str) -> bool:
    """Whether a thing of which `a` is true may also be called `b`. Symmetric; two unknown words that differ: False.

    "red" and "orange" (neighbours), "wood" and "wooden" (synonyms), "dark blue" and "blue" (one is broader), "tall" and
    "wide" (not of one scale) may; "red" and "blue", "small" and "large" may not.
    """
    return not (kind == "colour" and (_are_dull_and_bright(a, b) or _are_dull_and_bright(b, a))) and _are_both(_may_be_both, kind, a, b)


def is_another_one(kind: str, a: str, b: str) -> bool:
    """Whether one of two values is of a type of which a thing has several, and no list knows it or relates it to the other.

    "parked" may be "rusty" too; "weathered" and "repainted" are taken to exclude each other, since the judge sees them afterwards.
    """
    is_unknown = kind in _WITH_COMPANY and not all(_is_known(kind, value) for value in (a, b))
    if kind == "state" and not CONDITIONS.isdisjoint((_canonical(kind, a), _canonical(kind, b))) and not _are_opposed(kind, a, b):
        return False
    return is_unknown and not _are_both(_is_related, kind, a, b)


def is_ruled_out(kind: str, value: str, known: Iterable[Value]) -> bool:
    """Whether a known value of this type contradicts `value`, and none says as much as `value` does, or nearly.

    `known` are values that are true of the thing or of its parts. Of two things of one type that are both known ("a red
    car with white wheels"), neither rules out the other. A value of another scale says nothing: "tall" neither allows nor
    rules out "wide".
    """
    known = list(known)
    return any(
        known_value.type == kind and not may_be_both_true(kind, known_value.value, value) for known_value in known
    ) and not is_allowed(kind, value, known)


def is_allowed(kind: str, value: str, known: Iterable[Value]) -> bool:
    """Whether some known value of this type says as much as `value` does, or nearly: then `value` is no negative.

    A bare shade names no colour: a mushroom with a pale stem may still be called red wrongly.
    """
    stated = [
        known_value.value for known_value in known if known_value.type == kind and (known_value.value not in _SHADES or value in _SHADES)
    ]
    return any(_say_nearly_the_same(kind, known_value, value) for known_value in stated)


def says_the_same(kind: str, a: str, b: str) -> bool:
    """Whether two values are one word, synonyms, or one is the other with a word more; near shades are not the same."""
    these, those = (set(canonical_value(kind, text.lower()).split()) for text in (a, b))
    return these <= those or those <= these


def is_same_noun(a: str, b: str) -> bool:
    """Whether two nouns are one word, its plural or a synonym; a broader word is another noun."""
    return canonical_noun(a.lower()) == canonical_noun(b.lower())


def exclude_each_other(kind: str, a: str, b: str) -> bool:
    """Whether the lists say that two values of this type are opposites, whatever the thing: coiled and unrolled."""
    first, second = _plain(a.lower()), _plain(b.lower())
    return _are_opposed(kind, first, second) or _are_opposed("state", first, second)


def is_state(word: str) -> bool:
    """Whether the lists know which question this word answers as a state."""
    return bool(_answers_of(word))


def canonical_noun(noun: str) -> str:
    """The word that stands for a noun, its plural and its synonyms."""
    return _canonical("object", noun)


def canonical_value(kind: str, value: str) -> str:
    """What stands for a value and its synonyms: "deep grey" and "dark gray" have one."""
    if kind == "colour":
        return " ".join(part for shaded in _parts(value) for part in _shaded(shaded) if part)
    return " ".join(_canonical(kind, part) for part in _parts(value))


def is_listed(kind: str, value: str) -> bool:
    """Whether the lists of this type know a value, whatever other types know it: gold is a colour and a material."""
    words, synonyms, pairs = value.lower().split(), CANONICAL.get(kind, {}), RELATED.get(kind, ())
    return any(
        word in synonyms or word in synonyms.values() or word in OPPOSING.get(kind, ()) or any(word in pair for pair in pairs)
        for word in (value.lower(), *words[-1:])
    )


def _are_both(of: Callable[[str, str, str], bool], kind: str, a: str, b: str) -> bool:
    """Whether this holds of two values with several parts: "white" is covered by "red and white", and "cream" is not."""
    first, second = _mixtures(a, kind == "colour"), _mixtures(b, kind == "colour")
    if not first or not second:
        return not first and not second
    parts_of = _are_one_colour if kind == "colour" and len(first) != len(second) else of
    covered = (
        all(any(_mixed_are(parts_of, kind, x, y) for y in those) for x in these) for these, those in ((first, second), (second, first))
    )
    return any(covered)


def _mixed_are(of: Callable[[str, str, str], bool], kind: str, a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether this holds of two colours that may be mixtures: orange is near both parts of reddish-brown, grey near one alone."""
    if len(a) == len(b) == 1:
        return of(kind, a[0], b[0])
    do_shade = any(all(_shaded(part)[1] in colours for part in (*a, *b)) for colours in SHADING)

    def is_in(part: str, mixture: Sequence[str]) -> bool:
        near = [of(kind, part, other) for other in mixture]
        return any(_is_shade_of(part, other) for other in mixture) or (any(near) if do_shade else all(near))

    return all(is_in(part, b) for part in a) or all(is_in(part, a) for part in b)


def _are_one_colour(_: str, a: str, b: str) -> bool:
    """Whether one is the other, a shade of it, or what such a shade is also called."""
    return _is_shade_of(a, b) or not _names(*_shaded(a)).isdisjoint(_names(*_shaded(b)))


def _names(shade: str, base: str) -> frozenset[str]:
    return frozenset((base, *SHADED.get(f"{shade} {base}", ())))


def _is_shade_of(a: str, b: str) -> bool:
    (shade, base), (other_shade, other_base) = _shaded(a), _shaded(b)
    return base == other_base and {shade, other_shade} != {"light", "dark"}


@lru_cache(maxsize=1 << 17)
def _say_nearly_the_same(kind: str, a: str, b: str) -> bool:
    return _are_both(_says_nearly, kind, a, b)


def _are_dull_and_bright(a: str, b: str) -> bool:
    """Whether the first is a pale colour, a bare shade or one of another colour that is not bright, and the second is said to be bright."""
    words, others = set(a.lower().split()), set(re.split(r"[ -]", b.lower()))
    if not _PALE.isdisjoint(words) and not _LOUD.isdisjoint(others):
        return True
    return not _DULL.isdisjoint(words) and not _BRIGHT.isdisjoint(others) and (words - _DULL).isdisjoint(others)


def _may_be_both(kind: str, a: str, b: str) -> bool:
    axes = AXES.get(kind, {})
    first, second = _canonical(kind, a), _canonical(kind, b)
    if _are_opposed(kind, a, b):
        return False
    is_of_one_scale = first in axes and axes[first] == axes.get(second)
    if kind in _OF_MANY_SCALES and not is_of_one_scale and not (_is_outline(first) and _is_outline(second)):
        return any(word in axes or _is_known(kind, word) for word in (first, second)) or _is_near(kind, a, b)
    return _is_near(kind, a, b)


def _are_opposed(kind: str, a: str, b: str) -> bool:
    """Whether the lists say that two words exclude each other; of nouns the words themselves, for a boot and a sneaker are both shoes."""
    names = (singular(a), singular(b)) if kind == "object" else (_canonical(kind, a), _canonical(kind, b))
    is_negated = kind == "state" and any(name in (f"un{other}", f"non-{other}") for name, other in (names, names[::-1]))
    return is_negated or frozenset(names) in OPPOSED.get(kind, ()) or (kind == "state" and _are_answers_apart(a, b))


def _are_answers_apart(a: str, b: str) -> bool:
    """Whether two states answer one question apart: dented and brand-new, not dented and flattened."""
    covers = [_COVERED.fullmatch(_plain(state.lower())) for state in (a, b)]
    if covers[0] and covers[1] and covers[0][1] != covers[1][1]:
        return True  # blood-stained and flour-dusted
    first, second = _answers_of(a), _answers_of(b)
    return any(answers.isdisjoint(second.get(question, answers)) for question, answers in first.items())


@lru_cache(maxsize=65536)
def _answers_of(state: str) -> Mapping[int, frozenset[int]]:
    """The questions that a state answers, as it stands, without its degree, or as what it is covered with: moss-covered is mossy."""
    words = _plain(state.lower()).split()
    cover = _COVERED.fullmatch(" ".join(words))
    stem = cover[1] if cover else ""
    covers = [f"{stem}y", f"{stem}{stem[-1:]}y", f"{stem[:-1]}y", "encrusted"] if cover else []
    degree = 1 if len(words) > 1 and words[0] in _DEGREES else 0
    names = ["-".join(words), "-".join(words[degree:]), *covers, _canonical("state", " ".join(words))]
    return next((ANSWERS[name] for name in names if name in ANSWERS), {})


def _is_known(kind: str, value: str) -> bool:
    """Whether some list says what a value of this type goes with."""
    return kind in types_of(value) or (kind == "state" and bool(_answers_of(value))) or value in MIXING.get(kind, ())


def _is_outline(shape: str) -> bool:
    """Whether this is the form of a whole: a thing has one."""
    axes = AXES["shape"]
    return axes[shape] == axes["round"] if shape in axes else shape.endswith("-shaped")


def _is_near(kind: str, a: str, b: str) -> bool:
    """Whether one of the two says nearly what the other does, a near shade too, or goes with any other."""
    if _says_nearly(kind, a, b):
        return True
    pair = {_canonical(kind, a), _canonical(kind, b)}
    return kind in MIXING and bool(pair & MIXING[kind]) and not _are_opposed(kind, a, b)


def _says_nearly(kind: str, a: str, b: str) -> bool:
    return _are_near_colours(a, b) if kind == "colour" else _is_related(kind, a, b)


def _is_related(kind: str, a: str, b: str) -> bool:
    """Whether two words are one, synonyms, one broader than the other, or neighbours."""
    if kind == "object" and _are_opposed(kind, a, b):
        return False
    first, second = _canonical(kind, a), _canonical(kind, b)
    if first == second or set(first.split()) <= set(second.split()) or set(second.split()) <= set(first.split()):
        return True
    if _are_opposed(kind, a, b):
        return False
    if kind == "object" and any(_is_compound(noun) for noun in (a, b)) and BROAD.isdisjoint((first, second)):
        return False
    heads = first.split()[-1], second.split()[-1]
    # A leopard print is an animal print; print stands with printed.
    return heads == ("printed", "printed") or any(frozenset(pair) in RELATED.get(kind, ()) for pair in ((first, second), heads))


def _is_compound(noun: str) -> bool:
    """Whether a noun stands before it: a water tower, not a young woman."""
    words = noun.lower().split()
    return len(words) > 1 and (words[-2] in PURPOSES or not (types_of(words[-2]) or looks_like_adjective(words[-2])))


def _are_near_colours(a: str, b: str) -> bool:
    (shade, base), (other_shade, other_base) = _shaded(a), _shaded(b)
    for bare, other, other_is in ((base, other_base, other_shade), (other_base, base, shade)):
        if bare in _NEVER:
            if other_is or other in _NEVER:
                return (other_is or other) == bare
            return bool(types_of(other)) and other not in _NEVER[bare]  # of a word that no list knows no shade is known: milk chocolate
    if base == other_base:
        return {shade, other_shade} != {"light", "dark"}
    if (
        not _names(shade, base).isdisjoint(_names(other_shade, other_base))
        or _is_nearly_black_or_white(shade, base, other_base)
        or _is_nearly_black_or_white(other_shade, other_base, base)
    ):
        return True
    if other_base in SHADES_APART.get(f"{shade} {base}", ()) or base in SHADES_APART.get(f"{other_shade} {other_base}", ()):
        return False
    # What a shade is also called is related to nothing further: dark green is olive, and olive is near brown, but dark green is not.
    return {shade, other_shade} != {"light", "dark"} and frozenset((base, other_base)) in RELATED["colour"]


def _is_nearly_black_or_white(shade: str, base: str, other: str) -> bool:
    """Whether a shade may be taken for black or white: light grey, not light blue."""
    return ((shade, other) == ("light", "white") and base in NEAR_WHITE) or ((shade, other) == ("dark", "black") and base in NEAR_BLACK)


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
        noun = singular(value.split()[-1])
        words[-1] = table.get(noun, noun)
    return " ".join(words)


def _parts(value: str) -> tuple[str, ...]:
    """The values that a value is made of, those that a mixture joins apart."""
    return tuple(part for mixture in _mixtures(value) for part in mixture)


@lru_cache(maxsize=65536)
def _mixtures(value: str, are_colours: bool = True) -> tuple[tuple[str, ...], ...]:
    """The values that a value is made of: "red and white" has two, each of them mixed of one colour or more, if they are colours."""
    parts = re.split(r"\s*(?:,|/|&|-?\band\b-?)\s*", value.lower())
    mixtures = (tuple(word for colour in (_mixed(part) if are_colours else [part]) if (word := _plain(colour))) for part in parts)
    return tuple(mixture for mixture in mixtures if mixture)


def _plain(value: str) -> str:
    """A value without fillers and articles."""
    value = re.sub(r"^wide[ -](?=open)|(?<=ed) (?:out|up)$", "", value)
    words = [re.sub(r"[-_](?:colou?red|toned|tinted|patterned)$|^off-(?!white)", "", word) for word in value.split()]
    return " ".join([word for word in words if word not in _FILLERS and word not in ("a", "an", "the")] or words)


def _mixed(value: str) -> list[str]:
    """The colours that one value joins: "blue-green" and "lime green" are near both; "sky blue" is a blue."""
    words = [word for word in re.split(r"[ -]", value) if word not in _TINTS]
    shades = [word for word in words if word in _SHADES]
    colours = [word for word in words if word not in _SHADES]
    if value in CANONICAL["colour"] or not colours or not all(is_listed("colour", word) for word in colours):
        return [value]
    return [" ".join((*shades[:1], colour)) for colour in colours]
