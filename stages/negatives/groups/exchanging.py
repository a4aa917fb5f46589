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
from stages.negatives.quotes import noun_spans, occurrences
from stages.negatives.reading import is_of_compound, reads_well
from stages.negatives.reciprocal import Expression, Slot
from stages.words.ambiguity import canonical_value, is_ruled_out
from stages.words.kinds import kind_of, siblings_of
from stages.words.nouns import is_plural
from stages.words.values import Value, values_in

RefT = TypeVar("RefT", bound=Hashable)


class Pool(NamedTuple):
    """Where values are exchanged: the types of one value, or of two that are exchanged together; of a head noun, of a kind, or of any."""

    types: tuple[str, ...]
    head: str
    kind: str


@dataclass(frozen=True, eq=False)
class Offer(Generic[RefT]):
    """One value of a region's text, its noun, or two of these as one. `name` decides its place among others, whatever else there is."""

    ref: RefT
    name: str
    head: str
    text: str
    slots: tuple[Slot, ...]
    known: tuple[Value, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(slot.type for slot in self.slots)

    @cached_property
    def noun(self) -> str:
        """The noun as it stands, where it is exchanged; else empty."""
        return next((slot.value for slot in self.slots if slot.type == "object"), "")

    @cached_property
    def kind(self) -> str:
        return kind_of(self.head)

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
    """Values in a group and nouns in a group, at most; what a head noun needs to be a pool of its own; how many offers are looked at
    together at most."""

    group: int
    nouns: int
    own_pool: int
    cell: int

    def of(self, pool: Pool) -> tuple[int, ...]:
        """How large groups are looked for, one after the other."""
        return (self.nouns, self.group, 2) if pool.types == ("object",) else (self.group, 2)


def offers_of(ref: RefT, name: str, head: str, expression: Expression, *, joint: bool) -> Iterator[Offer[RefT]]:
    """The values of an expression that can be exchanged: of each type of which the text states one alone; and two of them as one."""
    stated = Counter(value.type for value in values_in(expression.text))
    standing = Counter(slot.type for slot in expression.slots)
    alone = [slot for slot in expression.slots if standing[slot.type] == 1 and stated[slot.type] <= 1]
    for slot in alone:
        yield Offer(ref, f"{name}/{slot.type}", head, expression.text, (slot,), expression.known)
    if joint and len(alone) > 1:
        pair = tuple(sorted(alone, key=lambda slot: slot.type)[:2])
        yield Offer(ref, f"{name}/{pair[0].type}+{pair[1].type}", head, expression.text, pair, expression.known)


def noun_offers(ref: RefT, name: str, head: str, text: str, with_values: Sequence[Offer[RefT]] = ()) -> Iterator[Offer[RefT]]:
    """The noun itself, where it stands once, as one word and for the thing alone, and things of its kind are known that it cannot be
    called; and with each single value of `with_values`, which then goes where its noun goes."""
    spans = noun_spans(text, head)
    word = text[spans[0][0] : spans[0][1]] if len(spans) == 1 else ""
    if not word or " " in word or is_of_compound(text, head) or not siblings_of(word):
        return
    noun = Slot("object", *spans[0], word.lower())
    yield Offer(ref, f"{name}/object", head, text, (noun,))
    for offer in with_values:
        if len(offer.slots) == 1:
            pair = tuple(sorted((*offer.slots, noun), key=lambda slot: slot.type))
            yield Offer(ref, f"{offer.name}+object", head, text, pair, offer.known)


def exchanges(offers: Iterable[Offer[RefT]], sizes: Sizes) -> Iterator[Exchange[RefT]]:
    """Disjoint groups, of full size where that can be, else smaller: among the offers of one head noun where it has as many as
    `own_pool`, of one kind where those left have two, else of any. An offer may stay alone.

    A pool is cut into cells by the bits of the offers' digests and each is grouped on its own, and what a cell leaves over stays
    alone: so a changed region changes the groups of its own cells and no others. Nouns are exchanged within their kind, the singular
    and the plural apart.
    """
    of_types: dict[tuple[str, ...], list[Offer[RefT]]] = defaultdict(list)
    for offer in offers:
        of_types[offer.types].append(offer)
    for _, left in sorted(of_types.items()):
        pools = ((_of_kind, 2),) if left[0].noun else ((_of_head, sizes.own_pool), (_of_kind, sizes.own_pool), (_of_any, 2))
        for pool_of, least in pools:
            inside: dict[Pool, list[Offer[RefT]]] = defaultdict(list)
            for offer in left:
                inside[pool_of(offer)].append(offer)
            large = {pool: offers_of_pool for pool, offers_of_pool in inside.items() if len(offers_of_pool) >= least}
            yield from _groups(large, sizes)
            left = [offer for pool, offers_of_pool in inside.items() if pool not in large for offer in offers_of_pool]


def _groups(pools: Mapping[Pool, Sequence[Offer[RefT]]], sizes: Sizes) -> Iterator[Exchange[RefT]]:
    for pool, inside in sorted(pools.items()):
        fitting = _Fitting.of(inside)
        for cell in _cells(sorted(inside, key=lambda offer: (offer.place, offer.name)), sizes.cell, 63):
            left = list(cell)
            for size in sizes.of(pool):
                most = max(size, sizes.group - 1 if size == 2 else size)
                for group in _grouped(left, most, size, fitting):
                    yield Exchange(_name(pool, group), group)
                    left = [offer for offer in left if offer not in group]


def _of_head(offer: Offer[RefT]) -> Pool:
    return Pool(offer.types, offer.head, "")


def _of_kind(offer: Offer[RefT]) -> Pool:
    is_singular = offer.noun and not is_plural(offer.noun)
    return Pool(offer.types, "", f"{offer.kind} one" if is_singular else offer.kind)


def _of_any(offer: Offer[RefT]) -> Pool:
    return Pool(offer.types, "", "any")


@dataclass(frozen=True)
class _Fitting:
    """Which values a head noun may take: those that it has in its pool, and those that two other nouns have there."""

    nouns: Mapping[tuple[str, ...], frozenset[str]]

    @classmethod
    def of(cls, offers: Iterable[Offer[RefT]]) -> "_Fitting":
        nouns: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for offer in offers:
            nouns[offer.values].add(offer.head)
        return cls({values: frozenset(heads) for values, heads in nouns.items()})

    def takes(self, own: Offer[RefT], other: Offer[RefT]) -> bool:
        """Whether the first may be given the values of the second."""
        heads = self.nouns[other.values]
        return bool(own.noun) or own.head in heads or len(heads) > 1


def _cells(offers: Sequence[Offer[RefT]], most: int, bit: int) -> Iterator[Sequence[Offer[RefT]]]:
    if len(offers) <= most or bit < 0:
        yield offers
        return
    for side in (0, 1):
        yield from _cells([offer for offer in offers if offer.place >> bit & 1 == side], most, bit - 1)


def _grouped(cell: Sequence[Offer[RefT]], size: int, least: int, fitting: _Fitting) -> Iterator[tuple[Offer[RefT], ...]]:
    """Groups of `least` to `size`, each of the values that are still offered most often, since those are hardest to place."""
    waiting: dict[tuple[str, ...], list[Offer[RefT]]] = defaultdict(list)
    for offer in cell:
        waiting[offer.values].append(offer)
    while len(waiting) >= least:
        order = sorted(waiting, key=lambda values: (-len(waiting[values]), _digest("/".join(values))))
        group = _first_group(waiting, order, size, fitting)
        if len(group) < least:
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
            fits = next((other for other in waiting[values] if all(_fit(member, other, fitting) for member in group)), None)
            group += [fits] if fits is not None else []
            if len(group) == size:
                return group
        best = max(best, group, key=len)
    return best


def _fit(a: Offer[RefT], b: Offer[RefT], fitting: _Fitting) -> bool:
    """Whether each value is false of the other's region as far as texts tell, and one that such a thing may have."""
    return _excludes(a, b) and _excludes(b, a) and fitting.takes(a, b) and fitting.takes(b, a)


def _excludes(own: Offer[RefT], other: Offer[RefT]) -> bool:
    """Whether all that is known of a region rules out each value of the other."""
    if own.noun and (canonical_value("object", other.noun) not in _apart(own.noun) or occurrences(own.text.lower(), other.noun)):
        return False
    if not all(reads_well(own.text, slot.start, slot.type, new.value) for slot, new in zip(own.slots, other.slots, strict=True)):
        return False
    return all(slot.type == "object" or _rules_out(own.known, slot.type, slot.value) for slot in other.slots)


@lru_cache(maxsize=1 << 14)
def _apart(noun: str) -> frozenset[str]:
    return frozenset(canonical_value("object", word) for word in siblings_of(noun))


@lru_cache(maxsize=1 << 18)
def _rules_out(known: tuple[Value, ...], kind: str, value: str) -> bool:
    return is_ruled_out(kind, value, known)


def _exchanged(own: Offer[RefT], other: Offer[RefT]) -> Negative:
    text = own.text
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
