"""Groups of k texts that exclude each other, out of the regions of a block; a changed region changes few of them.

Texts and digests only. Every group has each of its texts as often as any other of them: whoever scores texts without
looking at the image is right on exactly one of k.
"""

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

from stages.negatives.reciprocal import Expression, level_between

MemberT = TypeVar("MemberT", bound=Hashable)
Exclude = Callable[[Expression, Expression], bool]

# A cell is not split further where it holds at most so many times k members.
_CELL = 3
_MAX_SEEDS = 24
# Texts that share the first of these are looked at together first, so that members differ in the last ones: the hardest.
_SPLIT_ORDER = ("transparency", "state", "shape", "size", "material", "pattern", "colour")


@dataclass(frozen=True)
class Member(Generic[MemberT]):
    """A region that carries an expression. `name` decides its place among others, whatever else is in the block."""

    ref: MemberT
    name: str
    expression: Expression


@dataclass
class Group(Generic[MemberT]):
    """Expressions that exclude each other, in order of their text, and the region that carries each."""

    expressions: list[Expression]
    members: list[MemberT]

    @property
    def name(self) -> str:
        """A digest of the texts: groups of the same texts share it."""
        return _digest("\n".join(expression.text for expression in self.expressions))[:12]


def group_members(members: Iterable[Member[MemberT]], size: int, min_size: int, exclude: Exclude) -> Iterator[Group[MemberT]]:
    """Disjoint groups of `size`; of what is left over smaller ones, down to `min_size`. A member may stay without a group."""
    frames: dict[str, list[Member[MemberT]]] = defaultdict(list)
    for member in members:
        frames[member.expression.frame].append(member)
    for _, inside in sorted(frames.items()):
        groups: list[Group[MemberT]] = []
        left = _descend(sorted(inside, key=_place), _keys(inside[0].expression), size, exclude, groups)
        for smaller in range(size - 1, min_size - 1, -1):
            left = _fill(left, smaller, exclude, groups)
        yield from groups


def _descend(
    members: Sequence[Member[MemberT]], keys: Sequence[int], size: int, exclude: Exclude, groups: list[Group[MemberT]]
) -> Sequence[Member[MemberT]]:
    """Group those that share the value of the first slot, then what is left of all of them.

    What a cell groups depends on its own members alone, and a member is in one cell of each slot that splits: one more of
    them changes the groups of those cells, and of what is left over, and no others.
    """
    if len(keys) > 1 and len(members) > _CELL * size:
        parts: dict[str, list[Member[MemberT]]] = defaultdict(list)
        for member in members:
            parts[member.expression.slots[keys[0]].value].append(member)
        members = [member for _, part in sorted(parts.items()) for member in _descend(part, keys[1:], size, exclude, groups)]
    return _in_cells(members, 0, size, exclude, groups)


def _in_cells(
    members: Sequence[Member[MemberT]], depth: int, size: int, exclude: Exclude, groups: list[Group[MemberT]]
) -> Sequence[Member[MemberT]]:
    """Group the members by the bits of their digests, cell by cell, then what is left of neighbouring cells."""
    if len(members) > _CELL * size and depth < 64:
        sides: tuple[list[Member[MemberT]], list[Member[MemberT]]] = ([], [])
        for member in members:
            sides[_bit(member.name, depth)].append(member)
        members = [member for side in sides for member in _in_cells(side, depth + 1, size, exclude, groups)]
    return _fill(sorted(members, key=_place), size, exclude, groups)


def _keys(expression: Expression) -> list[int]:
    order = [_SPLIT_ORDER.index(slot.type) if slot.type in _SPLIT_ORDER else -1 for slot in expression.slots]
    return sorted(range(len(order)), key=lambda place: order[place])


def _place(member: Member[MemberT]) -> tuple[str, str]:
    return _digest(member.name), member.name


@dataclass
class _Pool(Generic[MemberT]):
    """The members of a node by expression; those used most often first, since they are hardest to place."""

    waiting: dict[Expression, deque[Member[MemberT]]] = field(default_factory=dict)

    def order(self) -> list[Expression]:
        return sorted(self.waiting, key=lambda expression: (-len(self.waiting[expression]), _digest(expression.text)))

    def take(self, expressions: Sequence[Expression]) -> list[MemberT]:
        taken = []
        for expression in expressions:
            queue = self.waiting[expression]
            taken.append(queue.popleft().ref)
            if not queue:
                del self.waiting[expression]
        return taken


def _fill(members: Sequence[Member[MemberT]], size: int, exclude: Exclude, groups: list[Group[MemberT]]) -> Sequence[Member[MemberT]]:
    """Groups of exactly `size` as long as there are any; returns the members that are left."""
    pool: _Pool[MemberT] = _Pool()
    for member in members:
        pool.waiting.setdefault(member.expression, deque()).append(member)
    while len(pool.waiting) >= size:
        order = pool.order()
        clique = next((clique for seed in order[:_MAX_SEEDS] if (clique := _clique(seed, order, pool, size, exclude))), None)
        if clique is None:
            break
        clique.sort(key=lambda expression: expression.text)
        groups.append(Group(clique, pool.take(clique)))
    return [member for queue in pool.waiting.values() for member in queue]


def _clique(seed: Expression, order: Sequence[Expression], pool: _Pool[MemberT], size: int, exclude: Exclude) -> list[Expression] | None:
    """`size` expressions that exclude each other, the seed among them: the commonest first, then the nearest to the seed."""
    place = {expression: number for number, expression in enumerate(order)}
    near = sorted(order, key=lambda other: (-len(pool.waiting[other]), level_between(seed, other), place[other]))
    chosen = [seed]
    for other in near:
        if other is not seed and all(exclude(member, other) for member in chosen):
            chosen.append(other)
            if len(chosen) == size:
                return chosen
    return None


@lru_cache(maxsize=65536)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _bit(name: str, place: int) -> int:
    return int(_digest(name), 16) >> place & 1
