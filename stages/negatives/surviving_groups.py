"""Reciprocal groups after verification: what is left of them so that each text is still the positive as often as any other.

Texts only; knows no row and no block.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

RefT = TypeVar("RefT")


@dataclass(frozen=True)
class Carrier(Generic[RefT]):
    """A region of a group: the text that is true of it, and the group's texts that are known to be false of it."""

    ref: RefT
    order: str  # its place among others, whatever else there is
    text: str
    false_texts: frozenset[str]


@dataclass(frozen=True)
class Survivor:
    """The texts that are left of a region's group, its own among them, and the name of that group."""

    name: str
    texts: frozenset[str]


def survivors(carriers: Sequence[Carrier[RefT]]) -> list[tuple[Carrier[RefT], Survivor]]:
    """The carriers of one group that keep a group, with what is left of it: texts each false of all others' regions.

    As many times as can be, one carrier of each text is taken and those that do not fit are put back, the worst first.
    """
    waiting: dict[str, deque[Carrier[RefT]]] = {}
    for carrier in sorted(carriers, key=lambda one: (-len(one.false_texts), one.order)):
        waiting.setdefault(carrier.text, deque()).append(carrier)
    found: list[tuple[Carrier[RefT], Survivor]] = []
    while len(waiting) > 1:
        chosen = _fitting({text: queue[0] for text, queue in waiting.items()})
        if len(chosen) < 2:
            break
        survivor = Survivor(_name(chosen), frozenset(chosen))
        for text, carrier in chosen.items():
            found.append((carrier, survivor))
            waiting[text].popleft()
            if not waiting[text]:
                del waiting[text]
    return found


def _fitting(chosen: Mapping[str, Carrier[RefT]]) -> dict[str, Carrier[RefT]]:
    """The carriers that are left when the one with most conflicts is dropped until there is none."""
    left = dict(sorted(chosen.items()))
    while left:
        conflicts = {text: sum(_conflict(carrier, other) for other in left.values()) for text, carrier in left.items()}
        worst = max(conflicts, key=lambda text: conflicts[text])
        if not conflicts[worst]:
            break
        del left[worst]
    return left


def _conflict(a: Carrier[RefT], b: Carrier[RefT]) -> bool:
    return a is not b and (b.text not in a.false_texts or a.text not in b.false_texts)


def _name(texts: Mapping[str, object]) -> str:
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:12]
