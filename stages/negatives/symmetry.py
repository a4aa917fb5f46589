"""The marginals of values: of each pair of values of a noun, as many candidates one way as the other. Strings only.

If red is replaced by blue in as many released negatives as blue by red, neither value says which text is the negative.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from schemas.rows import ATTRIBUTE_TYPES, COMPUTED_TYPES, Edit

RefT = TypeVar("RefT", bound=Hashable)
# What is replaced comes from a small set, so that for most edits there are others that undo them.
_PAIRED = frozenset((*ATTRIBUTE_TYPES, "object", *COMPUTED_TYPES))


@dataclass(frozen=True, slots=True)
class Change(Generic[RefT]):
    """One candidate: what its values are counted by, (type, old, new) of each edit, and its place among others.

    `pool`: the noun that values are of, or the kind of a rare one; empty: any.
    """

    ref: RefT
    pool: str
    edits: tuple[tuple[str, str, str], ...]
    order: int


def edits_of(edits: Iterable[Edit]) -> tuple[tuple[str, str, str], ...]:
    """(type, old, new) of each, lower case. Equal ones are one object: a block has millions, of few kinds."""
    return tuple(_shared(edit.type, edit.old.lower(), edit.new.lower()) for edit in edits)


@lru_cache(maxsize=1 << 16)
def _shared(kind: str, old: str, new: str) -> tuple[str, str, str]:
    return kind, old, new


def symmetric(changes: Sequence[Change[RefT]]) -> set[RefT]:
    """The candidates that are kept.

    One edit of a paired type: as many as undo it, the first in order. Any other: those whose new values some positive has.
    """
    ways: dict[tuple[str, str, str, str], list[Change[RefT]]] = defaultdict(list)
    had = {(_pool(change, kind), kind, old) for change in changes for kind, old, _ in change.edits}
    kept: set[RefT] = set()
    for change in changes:
        if len(change.edits) == 1 and change.edits[0][0] in _PAIRED:
            kind, old, new = change.edits[0]
            ways[_pool(change, kind), kind, old, new].append(change)
        elif all(kind == "swap" or (_pool(change, kind), kind, new) in had for kind, _, new in change.edits):
            kept.add(change.ref)
    for (pool, kind, old, new), there in ways.items():
        number = min(len(there), len(ways.get((pool, kind, new, old), ())))
        kept |= {change.ref for change in sorted(there, key=lambda change: change.order)[:number]}
    return kept


def _pool(change: Change[RefT], kind: str) -> str:
    """Attribute values are counted within a pool; nouns themselves, parts, relations and places over all."""
    return change.pool if kind in ATTRIBUTE_TYPES else ""
