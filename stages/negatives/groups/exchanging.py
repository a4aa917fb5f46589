"""Values that change hands between regions: in a group of k each value is true of one region and put in its place at the others.

Texts, values and digests only; knows no row, no block and no engine. Frames differ, so that the new values are real ones of such
things, and of which texts the words beside a value are is for a probe to judge.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Generic, NamedTuple, TypeVar

from schemas.rows import Edit, Negative
from stages.negatives.edits import replay
from stages.negatives.reciprocal import Expression, Slot
from stages.words.ambiguity import canonical_value, is_ruled_out
from stages.words.kinds import kind_of
from stages.words.values import values_in

RefT = TypeVar("RefT", bound=Hashable)


class Pool(NamedTuple):
    """Where values are exchanged: the types of one value, or of two that are exchanged together, and a head noun or a kind of them."""

    types: tuple[str, ...]
    head: str
    kind: str


@dataclass(frozen=True, eq=False)
class Offer(Generic[RefT]):
    """One value of a region's expression, or two as one. `name` decides its place among others, whatever else is in the block."""

    ref: RefT
    name: str
    head: str
    expression: Expression
    slots: tuple[Slot, ...]

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(slot.type for slot in self.slots)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The values as they are compared: synonyms are one."""
        return tuple(canonical_value(slot.type, slot.value) for slot in self.slots)

    @cached_property
    def place(self) -> int:
        """A number of 64 bits that is drawn by the name."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8])


@dataclass(frozen=True)
class Exchange(Generic[RefT]):
    """Offers whose values exclude each other; the first carries the first value, and so on. Groups of the same values share a name."""

    name: str
    offers: tuple[Offer[RefT], ...]

    def negatives(self, own: Offer[RefT]) -> list[Negative]:
        """What one region gets: its text with each other value of the group."""
        return [_exchanged(own, other) for other in self.offers if other is not own]


@dataclass(frozen=True)
class Sizes:
    """Offers in a group, at most; what a head noun needs to be a pool of its own; how many that are looked at together at most."""

    group: int
    own_pool: int
    cell: int


def offers_of(ref: RefT, name: str, head: str, expression: Expression, *, joint: bool) -> Iterator[Offer[RefT]]:
    """The values of an expression that can be exchanged: of each type of which the text states one alone; and two of them as one."""
    stated = Counter(value.type for value in values_in(expression.text))
    standing = Counter(slot.type for slot in expression.slots)
    alone = [slot for slot in expression.slots if standing[slot.type] == 1 and stated[slot.type] <= 1]
    for slot in alone:
        yield Offer(ref, f"{name}/{slot.type}", head, expression, (slot,))
    if joint and len(alone) > 1:
        pair = tuple(sorted(alone, key=lambda slot: slot.type)[:2])
        yield Offer(ref, f"{name}/{pair[0].type}+{pair[1].type}", head, expression, pair)


def exchanges(offers: Iterable[Offer[RefT]], sizes: Sizes) -> Iterator[Exchange[RefT]]:
    """Disjoint groups: of one head noun where it has as many offers as `own_pool`, of what is left of one kind. An offer may stay alone.

    A pool is cut into cells by the bits of the offers' digests and each is grouped on its own, so that a changed region changes the
    groups of its cells alone.
    """
    pools: dict[Pool, list[Offer[RefT]]] = defaultdict(list)
    for offer in offers:
        pools[Pool(offer.types, offer.head, "")].append(offer)
    of_kind: dict[Pool, list[Offer[RefT]]] = defaultdict(list)
    for pool, inside in sorted(pools.items()):
        left = dict.fromkeys(inside)
        fitting = _Fitting.of(inside)
        for group in _in_pool(inside, sizes, fitting) if len(inside) >= sizes.own_pool else ():
            yield Exchange(_name(pool, group), group)
            for offer in group:
                del left[offer]
        of_kind[Pool(pool.types, "", kind_of(pool.head))] += left
    for pool, inside in sorted(of_kind.items()):
        for group in _in_pool(inside, sizes, _Fitting.of(inside)):
            yield Exchange(_name(pool, group), group)


def _in_pool(offers: Sequence[Offer[RefT]], sizes: Sizes, fitting: "_Fitting") -> Iterator[tuple[Offer[RefT], ...]]:
    for cell in _cells(sorted(offers, key=lambda offer: (offer.place, offer.name)), sizes.cell, 63):
        yield from _grouped(cell, sizes.group, fitting)


@dataclass(frozen=True)
class _Fitting:
    """Which values a head noun may take: those that it has in its pool, and those that two other nouns have there."""

    nouns: Mapping[tuple[str, ...], frozenset[str]]

    @classmethod
    def of(cls, offers: Sequence[Offer[RefT]]) -> "_Fitting":
        nouns: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for offer in offers:
            nouns[offer.values].add(offer.head)
        return cls({values: frozenset(heads) for values, heads in nouns.items()})

    def takes(self, head: str, values: tuple[str, ...]) -> bool:
        heads = self.nouns[values]
        return head in heads or len(heads) > 1


def _cells(offers: Sequence[Offer[RefT]], most: int, bit: int) -> Iterator[Sequence[Offer[RefT]]]:
    if len(offers) <= most or bit < 0:
        yield offers
        return
    for side in (0, 1):
        yield from _cells([offer for offer in offers if offer.place >> bit & 1 == side], most, bit - 1)


def _grouped(cell: Sequence[Offer[RefT]], size: int, fitting: _Fitting) -> Iterator[tuple[Offer[RefT], ...]]:
    """Groups of at most `size`, each of the values that are still offered most often, since those are hardest to place."""
    waiting: dict[tuple[str, ...], list[Offer[RefT]]] = defaultdict(list)
    for offer in cell:
        waiting[offer.values].append(offer)
    while len(waiting) > 1:
        order = sorted(waiting, key=lambda values: (-len(waiting[values]), _digest("/".join(values))))
        group = _first_group(waiting, order, size, fitting)
        if len(group) < 2:
            del waiting[order[0]]  # it fits beside none of the others
            continue
        for offer in group:
            waiting[offer.values].remove(offer)
            if not waiting[offer.values]:
                del waiting[offer.values]
        yield tuple(sorted(group, key=lambda offer: offer.values))


def _first_group(
    waiting: Mapping[tuple[str, ...], Sequence[Offer[RefT]]], order: Sequence[tuple[str, ...]], size: int, fitting: _Fitting
) -> list[Offer[RefT]]:
    best: list[Offer[RefT]] = []
    for seed in waiting[order[0]]:
        group = [seed]
        for values in order[1:]:
            fits = next((other for other in waiting[values] if all(_fit(one, other, fitting) for one in group)), None)
            group += [fits] if fits is not None else []
            if len(group) == size:
                return group
        best = max(best, group, key=len)
    return best


def _fit(a: Offer[RefT], b: Offer[RefT], fitting: _Fitting) -> bool:
    """Whether each value is false of the other's region as far as texts tell, and one that such a thing may have."""
    return _excludes(a, b) and _excludes(b, a) and fitting.takes(a.head, b.values) and fitting.takes(b.head, a.values)


def _excludes(own: Offer[RefT], other: Offer[RefT]) -> bool:
    """Whether all that is known of a region rules out each value of the other."""
    return all(_rules_out(own.expression.known, slot.type, slot.value) for slot in other.slots)


@lru_cache(maxsize=1 << 18)
def _rules_out(known: tuple[tuple[str, str], ...], kind: str, value: str) -> bool:
    return is_ruled_out(kind, value, known)  # type: ignore[arg-type]  # the values of an expression


def _exchanged(own: Offer[RefT], other: Offer[RefT]) -> Negative:
    text = own.expression.text
    edits = [
        Edit(type=slot.type, start=slot.start, end=slot.end, old=text[slot.start : slot.end], new=_in_case(new.value, text[slot.start]))
        for slot, new in zip(own.slots, other.slots, strict=True)
    ]
    edits.sort(key=lambda edit: edit.start)
    return Negative(text=replay(text, edits), edits=edits, type=edits[0].type, level=len(edits), source="exchanged")


def _in_case(value: str, first: str) -> str:
    return value[:1].upper() + value[1:] if first.isupper() else value


def _name(pool: Pool, group: Sequence[Offer[RefT]]) -> str:
    values = ["/".join(offer.values) for offer in group]
    return _digest("\n".join(["+".join(pool.types), pool.head, pool.kind, *values]))[:12]


@lru_cache(maxsize=65536)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
