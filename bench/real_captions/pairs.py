"""Pairs of an old and a new value that the guard allows, and pairs that it refuses, drawn for a careful reader: which can both be true?

Values are the distinct ones that the captions state, nouns those of their phrases with those that are offered in their place.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from bench.real_captions.captions import Captions
from schemas.rows import ATTRIBUTE_TYPES
from stages.words.ambiguity import may_be_both_true
from stages.words.kinds import kind_of, siblings_of
from stages.words.phrases import chunk_phrases
from stages.words.values import values_in

SEED, NUM, _TRIES = 2046, 200, 2000


def pair_figures(captions: Captions) -> dict[str, Any]:
    """`pairs`: the seed, and so many allowed and refused pairs, evenly over types; what a reader said of them is in docs/real-words.md."""
    draw = random.Random(SEED)
    values = _values([caption["text"] for caption in captions.long])
    drawn = {name: _drawn(values, is_allowed, draw) for name, is_allowed in (("allowed", True), ("refused", False))}
    for name, pairs in drawn.items():
        print(f"{name}, seed {SEED}: " + "; ".join(f"{kind} {old} > {new}" for kind, old, new in pairs))
    return {"pairs": {"seed": SEED, **drawn}}


def _values(texts: Sequence[str]) -> dict[str, list[str]]:
    """The distinct values by type, and the head nouns of the phrases."""
    by_type: dict[str, set[str]] = {kind: set() for kind in (*ATTRIBUTE_TYPES, "object")}
    for text in texts:
        for value in values_in(text):
            by_type[value.type].add(value.value)
        by_type["object"].update(phrase.head for phrase in chunk_phrases(text) if phrase.mark is None)
    return {kind: sorted(values) for kind, values in by_type.items()}


def _drawn(values: Mapping[str, Sequence[str]], is_allowed: bool, draw: random.Random) -> list[tuple[str, str, str]]:
    """Distinct pairs that the guard allows, or refuses, so many of each type; fewer where a type has no more."""
    pairs: list[tuple[str, str, str]] = []
    for kind, known in values.items():
        distinct: dict[tuple[str, str], None] = {}
        for _ in range(_TRIES):
            pair = _pair(kind, known, draw) if is_allowed or kind != "object" else _related(known, draw)
            if pair is not None and pair[0] != pair[1] and may_be_both_true(kind, *pair) != is_allowed and pair[::-1] not in distinct:
                distinct[pair] = None
            if len(distinct) == NUM // (len(values) - 1) + 1:  # transparency has fewer
                break
        pairs += [(kind, *pair) for pair in distinct]
    return pairs[:NUM]


def _pair(kind: str, known: Sequence[str], draw: random.Random) -> tuple[str, str] | None:
    """Two values; of nouns one and another that is offered in its place."""
    chosen = draw.choice(known)
    others = siblings_of(chosen) if kind == "object" else known
    return (chosen, draw.choice(others)) if others else None


def _related(nouns: Sequence[str], draw: random.Random) -> tuple[str, str]:
    """Two nouns of one kind: of others the guard is not asked."""
    chosen = draw.choice([noun for noun in nouns if kind_of(noun)])
    return chosen, draw.choice([noun for noun in nouns if kind_of(noun) == kind_of(chosen)])
