"""mine: real expressions of other regions of the block, with the same head noun, as negatives of each other. Asks no engine."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from pydantic import Field

from schemas.rows import MineRow, RegionCaptionRow, RegionNegatives
from stages.base import BlockStage, Image
from stages.negatives.choice import Place
from stages.negatives.groups.grouping import Group, Member, group_members
from stages.negatives.reciprocal import Expression, exclude_each_other, expression_of, reciprocal
from stages.params import StageParams


class MineParams(StageParams):
    group_size: int = Field(11, ge=2, description="Expressions in a group: each is once the positive, with the others as its negatives.")
    min_group_size: int = Field(2, ge=2, description="What is left over forms groups as small as this.")
    max_level: int = Field(3, ge=1, le=3, description="In how many slots two expressions of a group may differ.")


class Mine(BlockStage[MineParams, MineRow]):
    """Group the block's short expressions. Two of a group differ in attribute values that exclude each other, in nothing else.

    A region is in one group at most. In a group each text is the positive as often as any other, so a scorer that sees
    texts alone is right on one in `group_size`.
    """

    name = "mine"
    version = 4
    writes_values = True
    reads = ("region_caption",)

    def run(self, block: Iterable[Sequence[Image]]) -> Iterator[list[MineRow]]:
        groups = self._groups(block)
        for number, unit in enumerate(block):
            yield [self._row(image, Place(number, i, 0), groups) for i, image in enumerate(unit)]

    def _groups(self, block: Iterable[Sequence[Image]]) -> dict[Place, Group[Place]]:
        members = [
            Member(Place(number, i, region.region), f"{image.key}/{region.region}/{region.short}", expression)
            for number, unit in enumerate(block)
            for i, image in enumerate(unit)
            for region in image.row(RegionCaptionRow).regions
            if (expression := expression_of(region))
        ]

        @lru_cache(maxsize=1 << 18)
        def exclude(a: Expression, b: Expression) -> bool:
            return exclude_each_other(a, b, self.params.max_level)

        groups = group_members(members, self.params.group_size, self.params.min_group_size, exclude)
        return {place: group for group in groups for place in group.members}

    def _row(self, image: Image, place: Place, groups: dict[Place, Group[Place]]) -> MineRow:
        regions, rejects = [], Counter[str]()
        for region in image.row(RegionCaptionRow).regions:
            if not region.short:
                continue
            group = groups.get(place._replace(region=region.region))
            if group is None:
                rejects["no_slot" if expression_of(region) is None else "lone"] += 1
                continue
            own = next(expression for expression in group.expressions if expression.text == region.short)
            negatives = reciprocal(own, [expression for expression in group.expressions if expression is not own])
            regions.append(
                RegionNegatives(
                    region=region.region, positive=region.short, negatives=negatives, num_proposed=len(negatives), group=group.name
                )
            )
        return MineRow(key=image.key, regions=regions, rejects=dict(sorted(rejects.items())))
