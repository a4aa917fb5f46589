"""Exchanged candidates under choice: groups shrink until each of their values is once true and otherwise false, whoever drops what.

Values and places only; knows no row, no probe and no engine.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

from schemas.rows import Edit, Negative
from stages.negatives.groups.surviving_groups import Carrier, Survivor, survivors
from stages.words.ambiguity import canonical_value

EntryT = TypeVar("EntryT", bound=Hashable)
RefT = TypeVar("RefT", bound=Hashable)


@dataclass(frozen=True)
class Share(Generic[EntryT, RefT]):
    """One entry of a group: its own value, and for each value of another the candidate that has it."""

    entry: EntryT
    group: str
    order: str  # its place among others, whatever else there is
    own: str
    taken: Mapping[str, RefT]


@dataclass(frozen=True)
class Settled(Generic[EntryT, RefT]):
    """What is left: each entry's candidates, the name of what is left of its group, and candidates that exchange their values."""

    kept: Mapping[EntryT, tuple[RefT, ...]]
    names: Mapping[EntryT, str]
    twins: Sequence[tuple[RefT, RefT]]

    @property
    def refs(self) -> set[RefT]:
        return {ref for refs in self.kept.values() for ref in refs}


def values_of(negatives: Sequence[Negative]) -> tuple[str, list[str]]:
    """The value of a text that its exchanged candidates replace, and what each has in its place."""
    return _key(negatives[0].edits, new=False), [_key(negative.edits, new=True) for negative in negatives]


def settle(shares: Iterable[Share[EntryT, RefT]], live: set[RefT]) -> Settled[EntryT, RefT]:
    """The largest exact groups that the live candidates allow, found as those of reciprocal texts are."""
    by_group: dict[str, list[Share[EntryT, RefT]]] = defaultdict(list)
    for share in shares:
        by_group[share.group].append(share)
    kept: dict[EntryT, tuple[RefT, ...]] = {}
    names: dict[EntryT, str] = {}
    twins: list[tuple[RefT, RefT]] = []
    for _, inside in sorted(by_group.items()):
        of = {share.entry: share for share in inside}
        carriers = [
            Carrier(share.entry, share.order, share.own, frozenset(value for value, ref in share.taken.items() if ref in live))
            for share in inside
        ]
        shares_of_group: dict[int, list[Share[EntryT, RefT]]] = defaultdict(list)
        left: dict[int, Survivor] = {}
        for carrier, survivor in survivors(carriers):
            shares_of_group[id(survivor)].append(of[carrier.ref])
            left[id(survivor)] = survivor
        for number, group in shares_of_group.items():
            for share in group:
                kept[share.entry] = tuple(ref for value, ref in share.taken.items() if value in left[number].texts)
                names[share.entry] = left[number].name
            twins += [(first.taken[second.own], second.taken[first.own]) for first, second in combinations(group, 2)]
    return Settled(kept, names, twins)


def _key(edits: Sequence[Edit], *, new: bool) -> str:
    ordered = sorted(edits, key=lambda edit: edit.type)
    return "/".join(f"{edit.type} {canonical_value(edit.type, (edit.new if new else edit.old).lower())}" for edit in ordered)
