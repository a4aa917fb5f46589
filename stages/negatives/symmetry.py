"""The marginals of values: each value of a noun is put in by as many candidates as replace it. Strings only.

If red is replaced in as many released negatives as it is put in, it does not say which text is the negative.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, TypeVar

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from schemas.rows import ATTRIBUTE_TYPES, COMPUTED_TYPES, Edit

RefT = TypeVar("RefT", bound=Hashable)
# What is replaced comes from a small set, so that for most edits there are others that undo them.
_PAIRED = frozenset((*ATTRIBUTE_TYPES, "object", *COMPUTED_TYPES))
_Value = tuple[str, str, str]  # its pool, its type, the value
_Way = tuple[_Value, _Value]  # from the old value to the new one


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


def symmetric(changes: Sequence[Change[RefT]], uneven: Mapping[_Value, int] = MappingProxyType({})) -> set[RefT]:
    """The candidates that are kept, of each way from one value to another the first in order.

    One edit of a paired type: as many as undo it, and of the rest as many as close rings (red to blue, blue to green, green to red). Any
    other: those whose new values some positive has. `uneven`: by how many a value may be replaced oftener than put in, or put in oftener;
    0 of others.
    """
    ways: dict[_Way, list[Change[RefT]]] = defaultdict(list)
    had = {(_pool(change, kind), kind, old) for change in changes for kind, old, _ in change.edits}
    kept: set[RefT] = set()
    for change in changes:
        if len(change.edits) == 1 and change.edits[0][0] in _PAIRED:
            kind, old, new = change.edits[0]
            ways[(_pool(change, kind), kind, old), (_pool(change, kind), kind, new)].append(change)
        elif all(kind == "swap" or (_pool(change, kind), kind, new) in had for kind, _, new in change.edits):
            kept.add(change.ref)
    paired = {way: min(len(there), len(ways.get((way[1], way[0]), ()))) for way, there in ways.items()}
    ringed = _circulation({way: len(there) - paired[way] for way, there in ways.items() if len(there) > paired[way]}, uneven)
    for way, there in ways.items():
        number = paired[way] + ringed.get(way, 0)
        kept |= {change.ref for change in sorted(there, key=lambda change: change.order)[:number]}
    return kept


def allowance(changes: Iterable[Change[RefT]], share: float) -> dict[_Value, int]:
    """By how many each value of these may be uneven: this share of how often it is replaced and put in, and one more."""
    replaced, put_in = Counter[_Value](), Counter[_Value]()
    for change in changes:
        if len(change.edits) == 1:
            kind, old, new = change.edits[0]
            replaced[_pool(change, kind), kind, old] += 1
            put_in[_pool(change, kind), kind, new] += 1
    return {value: int(share * min(number, put_in[value])) + 1 for value, number in replaced.items() if put_in[value]}


def rings(changes: Iterable[Change[RefT]]) -> list[list[RefT]]:
    """Single edits in rings in which each value is replaced as often as put in, pairs before longer ones; what closes none, alone."""
    ways: dict[tuple[str, str], deque[Change[RefT]]] = defaultdict(deque)
    for change in changes:
        _, old, new = change.edits[0]
        ways[old, new].append(change)
    closed = []
    for (old, new), there in ways.items():
        back = ways.get((new, old), deque()) if old < new else deque()
        closed += [[there.popleft().ref, back.popleft().ref] for _ in range(min(len(there), len(back)))]
    return [*closed, *_walked(ways)]


def _walked(ways: Mapping[tuple[str, str], deque[Change[RefT]]]) -> list[list[RefT]]:
    """From value to value along what is left; a value that comes again closes a ring, one that leads nowhere leaves its way alone."""
    leaving: dict[str, deque[Change[RefT]]] = defaultdict(deque)
    for (old, _), there in ways.items():
        leaving[old].extend(there)
    parts = []
    for start in list(leaving):
        at, path, place = start, list[Change[RefT]](), {start: 0}
        while leaving[at] or path:
            if leaving[at]:
                path.append(leaving[at].popleft())
                at = path[-1].edits[0][2]
                if at not in place:
                    place[at] = len(path)
                    continue
                ring = path[place[at] :]
                del path[place[at] :]
            else:
                del place[at]
                ring = [path.pop()]
                at = ring[0].edits[0][1]
                place[at] = len(path)
            for change in ring[1:]:
                del place[change.edits[0][1]]
            parts.append([change.ref for change in ring])
    return parts


def _circulation(numbers: Mapping[_Way, int], uneven: Mapping[_Value, int]) -> dict[_Way, int]:
    """As many of each way as can be taken so that each value is left as often as reached, or nearly (`uneven`): the most in all.

    A flow problem, whose linear program has whole numbers for a solution.
    """
    if not numbers:
        return {}
    ways = sorted(numbers)
    node = {value: n for n, value in enumerate(sorted({value for way in ways for value in way}))}
    column = np.arange(len(ways))
    left, reached = (np.array([node[way[end]] for way in ways]) for end in (0, 1))
    signs = np.repeat([1.0, -1.0], len(ways))
    balance = coo_array((signs, (np.concatenate([left, reached]), np.tile(column, 2))), shape=(len(node), len(ways))).tocsr()
    most = np.array([uneven.get(value, 0) for value in node], dtype=float)
    bounds = Bounds(0, np.array([numbers[way] for way in ways], dtype=float))
    solved = milp(-np.ones(len(ways)), constraints=LinearConstraint(balance, -most, most), bounds=bounds)
    return {way: round(number) for way, number in zip(ways, solved.x.tolist(), strict=True)}


def _pool(change: Change[RefT], kind: str) -> str:
    """Attribute values are counted within a pool; nouns themselves, parts, relations and places over all."""
    return change.pool if kind in ATTRIBUTE_TYPES else ""
