"""The answer schema of one phrase's edits: what may be replaced is quoted from that very phrase, by construction.

A prompt's schema holds the marker `x-quoted-edit` with the types it allows; the stage fills it for each request. The
fingerprint hashes the template. Knows words, no engine; equal slots give equal schemas, so that grammars are compiled once.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from schemas.rows import ATTRIBUTE_TYPES, Attribute, EditType
from stages.ambiguity import Value, may_be_both_true, values_in
from stages.edits import Known, ambiguity_of, noun_spans, occurrences
from stages.lexicon import types_of
from stages.phrases import chunk_phrases
from stages.related_words import RELATED

MARKER = "x-quoted-edit"
_ONE_OR_TWO_WORDS = {"type": "string", "pattern": "^[a-z]+( [a-z]+)?$"}
_RELATIONS = (
    "on in under above behind beside near inside outside holding wearing carrying facing touching standing sitting lying "
    "leaning hanging walking running riding pulling pushing eating drinking"
).split()
# Values that are offered as new ones, plain words that most phrases can take in the old one's place.
_LISTED: dict[str, tuple[str, ...]] = {
    "colour": tuple("red orange yellow green blue purple pink brown black white grey beige gold silver turquoise".split()),
    "material": tuple("wooden metal plastic glass ceramic leather fabric paper stone rubber wicker".split()),
    "pattern": tuple("plain striped spotted checkered floral zigzag camouflage".split()),
    "transparency": ("transparent", "translucent", "opaque"),
    "size": tuple("small medium large tall short long wide narrow thick thin".split()),
    "state": tuple("open closed wet dry broken intact empty full clean dirty new old folded unfolded lit unlit ripe unripe".split()),
    "shape": tuple("round square rectangular triangular oval star-shaped heart-shaped".split()),
}
_SHADED_COLOURS = ("red", "orange", "green", "blue", "purple", "pink", "brown", "grey")


class _NothingToEdit(Exception):
    """No slot has a type that the template allows."""


class Slot(NamedTuple):
    """Words of a phrase that an edit of this type may replace, as they stand there; for a swap, the partners too."""

    type: EditType
    old: str
    partners: tuple[str, ...] = ()


def slots_of(phrase: str, noun: str, attributes: Sequence[Attribute] = ()) -> list[Slot]:
    """What can be edited in a phrase: its attribute values by type, its noun, its parts' nouns, relations, pairs to swap.

    A word's types come from the word lists and from the region's own attributes. What stands there twice is left out,
    since an edit could not name it.
    """
    typed = [Value(one.type, one.value) for one in attributes if one.type in ATTRIBUTE_TYPES and not types_of(one.value)]
    found = [_standing(phrase, value) for value in [*values_in(phrase), *typed]]
    attribute_slots = [Slot(value.type, value.value) for value in found if value is not None]  # type: ignore[arg-type]  # kinds of lists
    nouns = [phrase[start:end] for start, end in noun_spans(phrase, noun)]
    others = [chunk.text.split()[-1] for chunk in chunk_phrases(phrase) if chunk.head != noun and chunk.mark is None]
    slots = [*attribute_slots, *(Slot("object", word) for word in nouns[:1] if " " not in word)]
    slots += [Slot("part", word) for word in others if word not in nouns and not types_of(word)]
    slots += [Slot("relation", word) for word in _RELATIONS if occurrences(phrase, word) and not types_of(word)]
    slots += _swaps(attribute_slots)
    return [slot for slot in dict.fromkeys(slots) if len(occurrences(phrase, slot.old)) == 1]


def is_quoted(template: Mapping[str, Any]) -> bool:
    """Whether a prompt's schema asks to be filled."""
    return _marked(template)


def quoted_schema(template: Mapping[str, Any], slots: Sequence[Slot], known: Known, *, lists_values: bool) -> dict[str, Any] | None:
    """The template with each marker replaced by the edits that these slots allow; None where they allow none.

    `lists_values`: where a type's values are a closed list, `new` is one of it that is neither a neighbour of the old
    value nor known to be true; else, and for open types, any one or two words.
    """
    try:
        filled: dict[str, Any] = _filled(template, slots, known, lists_values)
    except _NothingToEdit:
        return None
    return filled


def new_values(slot: Slot, known: Known) -> list[str] | None:
    """Of a closed type's list what is surely not true in place of a slot's old value; None: the type has no list."""
    if slot.type == "swap":
        return list(slot.partners)
    listed = _siblings(slot.old) if slot.type == "object" else list(_LISTED.get(slot.type, ()))
    if slot.type == "colour" and slot.old.lower().startswith(("light ", "dark ")):
        listed = [f"{shade} {colour}" for shade in ("light", "dark") for colour in _SHADED_COLOURS]
    return [new for new in listed if ambiguity_of(slot.type, slot.old, new, known) is None] if listed else None


def _filled(node: Any, slots: Sequence[Slot], known: Known, lists_values: bool) -> Any:
    if isinstance(node, Mapping):
        if MARKER in node:
            return _edit(node[MARKER], slots, known, lists_values)
        return {name: _filled(part, slots, known, lists_values) for name, part in node.items()}
    return [_filled(part, slots, known, lists_values) for part in node] if isinstance(node, list) else node


def _edit(types: Sequence[str], slots: Sequence[Slot], known: Known, lists_values: bool) -> dict[str, Any]:
    olds: dict[tuple[str, tuple[str, ...] | None], set[str]] = {}
    for slot in slots:
        listed = new_values(slot, known) if lists_values or slot.type == "swap" else None
        if slot.type in types and listed != []:
            olds.setdefault((slot.type, None if listed is None else tuple(listed)), set()).add(slot.old)
    branches = [_branch(kind, sorted(old), news) for (kind, news), old in sorted(olds.items(), key=str)]
    if not branches:
        raise _NothingToEdit
    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def _branch(kind: str, olds: Sequence[str], news: Sequence[str] | None) -> dict[str, Any]:
    new = _ONE_OR_TWO_WORDS if news is None else {"enum": list(news)}
    properties = {"type": {"enum": [kind]}, "old": {"enum": list(olds)}, "new": new}
    return {"type": "object", "properties": properties, "required": ["type", "old", "new"], "additionalProperties": False}


def _marked(node: Any) -> bool:
    if isinstance(node, Mapping):
        return MARKER in node or any(_marked(part) for part in node.values())
    return isinstance(node, list) and any(_marked(part) for part in node)


def _standing(phrase: str, value: Value) -> Value | None:
    """The value with the letters that the phrase has."""
    match = re.search(rf"(?<!\w){re.escape(value.value)}(?!\w)", phrase, re.IGNORECASE)
    return Value(value.type, match.group()) if match else None


def _swaps(slots: Sequence[Slot]) -> list[Slot]:
    """Values of one type that may change places, each with those that mean something else."""
    swaps = []
    for slot in slots:
        same = (other.old for other in slots if other.type == slot.type and not may_be_both_true(slot.type, slot.old, other.old))
        partners = tuple(dict.fromkeys(old for old in same if old > slot.old))
        swaps += [Slot("swap", slot.old, partners)] if partners else []
    return swaps


def _siblings(noun: str) -> list[str]:
    """Nouns of a common broader word that are not the same thing; empty where the lists do not know the noun."""
    pairs = RELATED["object"]
    broader = {word for pair in pairs if noun.lower() in pair for word in pair if word != noun.lower()}
    return sorted(
        {word for pair in pairs for word in pair if pair & broader and word not in broader and not may_be_both_true("object", word, noun)}
    )
