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
    for carrier in sorted(carriers, key=lambda carrier: (-len(carrier.false_texts), carrier.order)):
        waiting.setdefault(carrier.text, deque()).append(carrier)
    surviving: list[tuple[Carrier[RefT], Survivor]] = []
    while len(waiting) > 1:
        chosen = _fitting({text: queue[0] for text, queue in waiting.items()})
        if len(chosen) < 2:  # the worst of those in front, so that others of its text have their turn
            _drop(waiting, _worst({text: queue[0] for text, queue in waiting.items()}))
            continue
        survivor = Survivor(_name(chosen), frozenset(chosen))
        for text, carrier in chosen.items():
            surviving.append((carrier, survivor))
            _drop(waiting, text)
    return surviving


def _fitting(chosen: Mapping[str, Carrier[RefT]]) -> dict[str, Carrier[RefT]]:
    """The carriers that are left when the one with most conflicts is dropped until there is none."""
    left = dict(sorted(chosen.items()))
    while left:
        worst = _worst(left)
        if not _num_conflicts(left, worst):
            break
        del left[worst]
    return left


def _worst(chosen: Mapping[str, Carrier[RefT]]) -> str:
    """The text whose carrier has most conflicts, the first in order of those."""
    return max(sorted(chosen), key=lambda text: _num_conflicts(chosen, text))


def _num_conflicts(chosen: Mapping[str, Carrier[RefT]], text: str) -> int:
    return sum(_conflict(chosen[text], other) for other in chosen.values())


def _drop(waiting: dict[str, deque[Carrier[RefT]]], text: str) -> None:
    waiting[text].popleft()
    if not waiting[text]:
        del waiting[text]


def _conflict(a: Carrier[RefT], b: Carrier[RefT]) -> bool:
    return a is not b and (b.text not in a.false_texts or a.text not in b.false_texts)


def _name(texts: Mapping[str, object]) -> str:
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:12]
