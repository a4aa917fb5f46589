"""The answer schema of one phrase's edits: what may be replaced is quoted from that very phrase, by construction.

A prompt's schema holds the marker `x-quoted-edit` with the types it allows; the stage fills it for each request. The
fingerprint hashes the template. Knows words, no engine; equal slots give equal schemas, so that grammars are compiled once.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from schemas.rows import ATTRIBUTE_TYPES, Attribute, EditType
from stages.negatives.edits import Known, ambiguity_of, stated_values
from stages.negatives.quotes import are_of_two_things, compound_of, is_part, noun_spans, occurrences
from stages.words.ambiguity import may_be_both_true
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.kinds import siblings_of
from stages.words.lexicon import OFFERED_VALUES
from stages.words.phrases import chunk_phrases
from stages.words.values import Value

Chances = Callable[[str, str], Mapping[str, float]]  # of new values to be dealt, by type and old value
NewValues = Literal["open", "listed", "drawn"]
MARKER = "x-quoted-edit"
_ONE_OR_TWO_WORDS = {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*( [a-z]+(-[a-z]+)*)?$"}
_RELATIONS = (
    "on in under above behind beside near inside outside holding wearing carrying facing touching standing sitting lying "
    "leaning hanging walking running riding pulling pushing eating drinking"
).split()
_SHADED_COLOURS = tuple(
    f"{shade} {colour}" for colour in "brown grey blue green red pink purple orange".split() for shade in ("light", "dark")
)
_CHOICES = 2  # values that each dealt edit chooses among


class _NothingToEdit(Exception):
    """No slot has a type that the template allows."""


class Slot(NamedTuple):
    """Words of a phrase that an edit of this type may replace, as they stand there; for a swap, the partners too."""

    type: EditType
    old: str
    partners: tuple[str, ...] = ()


def slots_of(
    phrase: str, noun: str, attributes: Sequence[Attribute] = (), domain: Domain = ANY_DOMAIN, *, compounds: bool = False
) -> list[Slot]:
    """What can be edited in a phrase: its attribute values by type, its noun, its parts' nouns, relations, pairs to swap.

    A word's types come from the word lists, the domain and the region's own attributes. What stands there twice is left out,
    since an edit could not name it. With `compounds` a noun that others stand before is offered with these: "fishing boat" beside "boat".
    """
    typed = [
        Value(attribute.type, attribute.value)
        for attribute in attributes
        if attribute.type in ATTRIBUTE_TYPES and not domain.types_of(attribute.value)
    ]
    standing = [_standing(phrase, value) for value in [*stated_values(phrase, domain), *typed]]
    nouns = [phrase[start:end] for start, end in noun_spans(phrase, noun)]
    attribute_slots = [Slot(attribute.type, attribute.value) for attribute in standing if attribute and attribute.value not in nouns]  # type: ignore[arg-type]  # kinds of lists
    others = [chunk.text.split()[-1] for chunk in chunk_phrases(phrase) if chunk.head != noun and chunk.mark is None]
    slots = [*attribute_slots, *(Slot("object", word) for word in nouns[:1] if " " not in word)]
    slots += [Slot("object", compound) for compound in [compound_of(phrase, noun)] if compounds and compound and compound not in nouns]
    slots += [Slot("part", word) for word in others if word not in nouns and not domain.types_of(word) and is_part(phrase, word)]
    slots += [Slot("relation", word) for word in _RELATIONS if occurrences(phrase, word) and not domain.types_of(word)]
    slots += _swaps(attribute_slots, phrase, noun)
    return [slot for slot in dict.fromkeys(slots) if len(occurrences(phrase, slot.old)) == 1]


def is_quoted(template: Mapping[str, Any]) -> bool:
    """Whether a prompt's schema asks to be filled."""
    return _marked(template)


def quoted_schema(
    template: Mapping[str, Any],
    slots: Sequence[Slot],
    known: Known,
    values: NewValues,
    draw: random.Random | None = None,
    chances: Chances | None = None,
) -> dict[str, Any] | None:
    """The template with each marker replaced by the edits that these slots allow; None where they allow none.

    `open`: any one or two words may be new. `listed`: of a type with a closed list, one of its values that is neither a
    neighbour of the old one nor known to be true. `drawn`: the list is dealt out by `draw` over the answer's edits, slots
    in turn, so that each edit chooses among a few values of its own and none comes twice. `chances` gives the new values of a type with
    the chance that each is dealt, alone, for an edit, and where there are more than edits those of higher chances more often; where it is
    empty the closed lists are dealt, common values more often.
    """
    try:
        filled: dict[str, Any] = _filled(template, _Filling(slots, known, values, draw or random.Random(0), chances))
    except _NothingToEdit:
        return None
    return filled


def new_values(slot: Slot, known: Known) -> list[str] | None:
    """Of a closed type's list what is surely not true in place of a slot's old value; None: the type has no list."""
    if slot.type == "swap":
        return list(slot.partners)
    listed = _listed(slot, known.domain)
    return [new for new in listed if ambiguity_of(slot.type, slot.old, new, known) is None] if listed else None


def _listed(slot: Slot, domain: Domain) -> list[str]:
    """The closed list of a slot's type, the domain's before the common one; empty: the type is open."""
    if slot.type == "object":
        return list(domain.nouns) or list(siblings_of(slot.old))
    own = next((values for kind, values in domain.values.items() if kind == slot.type), ())
    if not own and slot.type == "colour" and slot.old.lower().startswith(("light ", "dark ")):
        return list(_SHADED_COLOURS)
    return list(own or OFFERED_VALUES.get(slot.type, ()))


@dataclass(frozen=True)
class _Filling:
    """What the markers of one request are filled with."""

    slots: Sequence[Slot]
    known: Known
    values: NewValues
    draw: random.Random
    chances: Chances | None = None

    def choices(self, types: Sequence[str]) -> list[tuple[Slot, list[str] | None]]:
        """The slots of these types that leave something to choose, each with its new values; None: any words."""
        wanted = [slot for slot in self.slots if slot.type in types]
        listed_by_slot = [(slot, self._new_values(slot) if self.values != "open" or slot.type == "swap" else None) for slot in wanted]
        listed_by_slot = [(slot, listed) for slot, listed in listed_by_slot if listed != []]
        if not listed_by_slot:
            raise _NothingToEdit
        return listed_by_slot

    def _new_values(self, slot: Slot) -> list[str] | None:
        chances = self.chances_of(slot)
        if not chances:
            return new_values(slot, self.known)
        dealt = [new for new, chance in chances.items() if self.draw.random() < chance]
        return [new for new in dealt if ambiguity_of(slot.type, slot.old, new, self.known) is None]

    def chances_of(self, slot: Slot) -> Mapping[str, float]:
        """The chances of a slot's new values; empty: none are known."""
        is_own = any(kind == slot.type for kind in self.known.domain.values) or (slot.type == "object" and self.known.domain.nouns)
        return {} if self.chances is None or self.values != "drawn" or is_own else self.chances(slot.type, slot.old)


def _filled(node: Any, filling: _Filling) -> Any:
    if isinstance(node, Mapping):
        if MARKER in node:
            return _any_edit(filling.choices(node[MARKER]))
        items = node.get("items")
        if filling.values == "drawn" and isinstance(items, Mapping) and MARKER in items:
            return _dealt(filling.choices(items[MARKER]), int(node.get("maxItems", 8)), filling)
        return {name: _filled(part, filling) for name, part in node.items()}
    return [_filled(part, filling) for part in node] if isinstance(node, list) else node


def _any_edit(choices: Sequence[tuple[Slot, list[str] | None]]) -> dict[str, Any]:
    olds: dict[tuple[str, tuple[str, ...] | None], set[str]] = {}
    for slot, listed in choices:
        olds.setdefault((slot.type, None if listed is None else tuple(listed)), set()).add(slot.old)
    branches = [_branch(kind, sorted(old), news) for (kind, news), old in sorted(olds.items(), key=str)]
    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def _dealt(choices: Sequence[tuple[Slot, list[str] | None]], most: int, filling: _Filling) -> dict[str, Any]:
    """An array of so many edits, each with the values that were dealt to it; slots in turn."""
    share = -(-most // len(choices))
    hands: list[tuple[int, int, dict[str, Any]]] = []
    for i, (slot, listed) in enumerate(choices):
        chances = filling.chances_of(slot)
        if listed and chances:
            values = _drawn({value: chances[value] for value in listed}, share, filling.draw)
        else:
            ranked = {value: 1 / rank for rank, value in enumerate(listed or (), start=1)}
            values = _drawn(ranked, share * _CHOICES, filling.draw)
        num = min(share, len(values)) if values else 1
        hands += [(turn, i, _branch(slot.type, [slot.old], values[turn::num] or None)) for turn in range(num)]
    items = [branch for _, _, branch in sorted(hands, key=lambda hand: hand[:2])[:most]]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items), "maxItems": len(items)}


def _drawn(weights: Mapping[str, float], most: int, draw: random.Random) -> list[str]:
    """At most so many of these, none twice, heavier ones more often.

    Source: Efraimidis and Spirakis, keys u^(1/w).
    """
    keys = {value: draw.random() ** (1 / weight) for value, weight in weights.items()}
    return sorted(weights, key=lambda value: -keys[value])[:most]


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


def _may_swap(slot: Slot, other: Slot, phrase: str, noun: str) -> bool:
    return not may_be_both_true(slot.type, slot.old, other.old) and are_of_two_things(phrase, noun, slot.old, other.old)


def _swaps(slots: Sequence[Slot], phrase: str, noun: str) -> list[Slot]:
    """Values of one type that may change places, each with those that say something else of another thing."""
    swaps = []
    for slot in slots:
        same = (other.old for other in slots if other.type == slot.type and _may_swap(slot, other, phrase, noun))
        partners = tuple(dict.fromkeys(old for old in same if old > slot.old))
        swaps += [Slot("swap", slot.old, partners)] if partners else []
    return swaps
