"""The attribute values that a text states, each recognised by its place: what it stands before, and what it is part of.

"A full glass" says full, "a full beard" does not; "New York" is a name, "lime green" one colour, "a tall glass" a thing.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from schemas.rows import ATTRIBUTE_TYPES
from stages.words.lexicon import BOUNDARIES, DETERMINERS, PRONOUNS, THINGS_ALONE_TOO, THINGS_TOO, TINTS, VALUES_OF_WORDS, types_of
from stages.words.nouns import singular


class Value(NamedTuple):
    """A value and what it is a value of: an attribute type, `object`, or another edit type."""

    type: str
    value: str


class _Word(NamedTuple):
    start: int
    end: int
    raw: str

    @property
    def text(self) -> str:
        return self.raw.lower()


_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_HOLDERS = (
    "glass cup bottle bowl basket bag box plate bucket tank bin can trash shelf rack jar tray mug pot cart crate drawer container pitcher"
)
# A word of several meanings is a value only before these nouns, or where one of them is what is described.
_ONLY_BEFORE: Mapping[str, frozenset[str]] = {
    "clear": frozenset(
        "glass plastic water bottle bag container cup jar bowl window vase lens tube liquid acrylic cover case lid wrap film tape "
        "bulb droplet goggles glasses vinyl cylinder pane door panel sheet plate crystal mug pitcher tank box shade curtain bubble "
        "tumbler tray dome visor cockpit canopy screen lid".split()
    ),
    "full": frozenset(_HOLDERS.split()),
    "filled": frozenset(_HOLDERS.split()),
}
# Before these nouns it is none: an old man is not worn, an open field is not opened, wine glasses are not of that colour.
_PEOPLE = "man woman person people lady gentleman boy girl child couple friend"
_NEVER_BEFORE: Mapping[str, frozenset[str]] = {
    "open": frozenset("field space sky air area ocean sea water plain country land road floor space".split()),
    "old": frozenset(f"{_PEOPLE} town city west world age".split()),
    "new": frozenset("york year zealand england jersey mexico orleans".split()),
    "whole": frozenset("image picture scene photo thing frame area".split()),
    "dry": frozenset("cleaner cleaning".split()),
    "wine": frozenset("glass bottle cellar rack cork list barrel cooler opener".split()),
    "rose": frozenset("bush garden petal window bud bouquet".split()),
    "chocolate": frozenset("cake bar chip ice cookie cream sauce milk mousse syrup chunk frosting topping drizzle dessert brownie".split()),
    "lime": frozenset("wedge slice juice tree stone".split()),
    "orange": frozenset("juice slice tree peel wedge".split()),
    "mint": frozenset("leaf sprig chip tea garnish".split()),
    "olive": frozenset("tree oil branch".split()),
    "peach": frozenset("tree slice pie".split()),
    "plum": frozenset("tree tomato sauce".split()),
    "salmon": frozenset("fillet filet steak".split()),
    "coral": frozenset("reef snake".split()),
    "sand": frozenset("dune castle bag box pit bar beach".split()),
    "mustard": frozenset("bottle seed sauce".split()),
    "light": frozenset(
        "bulb fixture pole post switch source beam show rail sign string strip house panel reflection tower box ray trail drizzle "
        "rain snow wind dusting breeze".split()
    ),
    "low": frozenset("angle angled level light shot view".split()),
    "high": frozenset("angle chair heel school contrast definition tech street rise".split()),
    "golden": frozenset("retriever hour".split()),
    "short": frozenset("distance way time".split()),
    "long": frozenset("shot distance way time exposure day".split()),
    "medium": frozenset("shot view format close".split()),
    "wide": frozenset("angle shot view range variety array landscape".split()),
    "little": frozenset("bit".split()),
    "deep": frozenset("contrast end".split()),
    "big": frozenset("ben wheel bird".split()),
    "solid": frozenset("ground rock food".split()),
    "plain": frozenset("yogurt sight text".split()),
    "check": frozenset("mark point engine".split()),
    "spot": frozenset("light".split()),
    "text": frozenset("message".split()),
    "logo": frozenset("design".split()),
    "letter": frozenset("box opener".split()),
    "flat": frozenset("tire screen iron bread".split()),
    "straight": frozenset("line ahead".split()),
    "square": frozenset("foot mile".split()),
    "round": frozenset("trip table".split()),
    "paper": frozenset("clip weight".split()),
    "iron": frozenset("man maiden".split()),
    "tin": frozenset("man".split()),
    "glass": frozenset("slipper".split()),
    "pine": frozenset("tree cone needle nut forest".split()),
    "oak": frozenset("tree leaf".split()),
    "bamboo": frozenset("forest shoot grove plant".split()),
    "cotton": frozenset("candy ball field".split()),
    "steel": frozenset("drum".split()),
    "wire": frozenset("cutter".split()),
    "brick": frozenset("layer".split()),
    "stone": frozenset("age".split()),
    "reed": frozenset("bed".split()),
    "dirt": frozenset("bike".split()),
    "wood": frozenset("pecker stove chip".split()),
    "straw": frozenset("berry".split()),
    "silver": frozenset("ware screen lining".split()),
    "gold": frozenset("fish rush".split()),
    "cream": frozenset("cheese sauce puff".split()),
    "snowy": frozenset("owl egret".split()),
}
_BARE_SHADES = frozenset("dark light pale darker lighter paler".split())
_SAID_OF = frozenset("is are was were looks look appears painted being be made in of with very quite all mostly entirely".split())


@lru_cache(maxsize=16384)
def values_in(text: str) -> tuple[Value, ...]:
    """The attribute values that a text states, in order, as it writes them, with their shade: "dark red", "stainless steel"."""
    words = [_Word(match.start(), match.end(), match.group()) for match in _WORD.finditer(text)]
    values: list[Value] = []
    first = 0
    while first < len(words):
        last = _value_at(text, words, first)
        value = text[words[first].start : words[last].end].lower()
        kinds = types_of(value) if _is_stated(text, words, first, last) else frozenset()
        values += [Value(kind, value) for kind in ATTRIBUTE_TYPES if kind in kinds]
        first = last + 1
    return tuple(dict.fromkeys(values))


def _value_at(text: str, words: Sequence[_Word], first: int) -> int:
    """The last word of the value that may begin here: of two or three words where they are one value."""
    if first + 1 < len(words) and _are_joined(text, words, first) and f"{words[first].text} {words[first + 1].text}" in VALUES_OF_WORDS:
        return first + 1
    last = first
    while last + 1 < len(words) and last - first < 2 and _are_joined(text, words, last) and _tints(words[last].text, words[last + 1].text):
        last += 1
    return last


def _tints(word: str, following: str) -> bool:
    """Whether a word and the colour after it are one value."""
    return (word in TINTS or "colour" in types_of(word)) and "colour" in types_of(following) and following not in THINGS_ALONE_TOO


def _is_stated(text: str, words: Sequence[_Word], first: int, last: int) -> bool:
    """Whether a value is said of something: no name, no thing of that name, no other meaning of the word."""
    word = words[last].text
    after = words[last + 1] if last + 1 < len(words) and _are_joined(text, words, last) else None
    before = words[first - 1] if first and _are_joined(text, words, first - 1) else None
    if after is not None and words[last].raw[0].isupper() and after.raw[0].isupper() and not after.raw.isupper():
        return False
    noun = singular(after.text) if after is not None else ""
    if noun in _NEVER_BEFORE.get(word, ()) or (before is not None and word == "lit" and before.text.endswith("ly")):
        return False
    if word in _ONLY_BEFORE and not any(singular(follower.text) in _ONLY_BEFORE[word] for follower in _phrase_after(text, words, last)):
        return False
    is_last = after is None or after.text in BOUNDARIES or after.text in PRONOUNS or after.text in DETERMINERS
    if not is_last or first < last:
        return True
    if word in _BARE_SHADES:  # "in the dark" is none; "a dark, round base" and "is dark" are
        return text[words[last].end :].startswith(",") or (before is not None and before.text in _SAID_OF)
    if singular(word) in THINGS_ALONE_TOO:
        return False
    if singular(word) in THINGS_TOO:
        return before is None or before.text in ("of", "in", "and", "or") if word == singular(word) else False
    if types_of(word) == {"material"} and first == last:  # "the shiny marble", but "made of marble" and "is marble"
        return before is None or before.text in _SAID_OF or before.text in ("of", "and", "or")
    return True


def _phrase_after(text: str, words: Sequence[_Word], last: int) -> Sequence[_Word]:
    """The words that go on from here to where the phrase ends, at most four."""
    end = last + 1
    while end < len(words) and end - last < 5 and words[end].text not in BOUNDARIES:
        if text[words[end - 1].end : words[end].start].strip() not in ("", ","):
            break
        end += 1
    return words[last + 1 : end]


def _are_joined(text: str, words: Sequence[_Word], index: int) -> bool:
    """Whether nothing but white space stands between a word and the next."""
    return not text[words[index].end : words[index + 1].start].strip()
