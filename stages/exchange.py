"""exchange: values change hands between regions of the block whose frames differ: new ones are real ones of such things. No engine."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from schemas.hashed import added
from schemas.rows import ExchangeRow, RegionCaption, RegionCaptionRow, RegionNegatives
from stages.base import BlockStage, Image
from stages.negatives.choice import Place
from stages.negatives.groups.exchanging import Exchange as Group
from stages.negatives.groups.exchanging import Offer, Sizes, exchanges, noun_offers, offers_of
from stages.negatives.reciprocal import expression_of
from stages.params import StageParams


class ExchangeParams(StageParams):
    group_size: int = Field(5, ge=2, description="Values in a group at most: each is true of one region and false of the others.")
    own_pool: int = Field(
        8,
        ge=2,
        description="Regions of one head noun with a value of a type that exchange among themselves first; fewer: with those of its kind.",
    )
    cell: int = Field(
        48,
        ge=2,
        description="Regions that are grouped together at most. Smaller: a changed region changes fewer others; larger: fewer stay alone.",
    )
    joint: bool = Field(True, description="Also exchange two values of different types together: two slots change.")
    noun_group_size: int = added(
        9,
        before=1,
        ge=1,
        description="Nouns in a group at most: things of one kind of which none can be called by another's noun, singular or plural. "
        "1: nouns are not exchanged.",
    )
    joint_nouns: bool = added(
        True,
        before=False,
        description="Also exchange a value together with its noun: a red cup for a white mug, where there are both. Two slots change.",
    )


class Exchange(BlockStage[ExchangeParams, ExchangeRow]):
    """Where one scarf is red and another blue, each text is written with the other's colour, whatever else it says.

    In a group of k each value is once true and k-1 times false. A region may be in one group for each type of its values.
    """

    name = "exchange"
    version = 3
    writes_values = True
    reads = ("region_caption",)

    def run(self, block: Iterable[Sequence[Image]]) -> Iterator[list[ExchangeRow]]:
        groups = self._groups(block)
        for number, unit in enumerate(block):
            yield [self._row(image, Place(number, i, 0), groups) for i, image in enumerate(unit)]

    def _groups(self, block: Iterable[Sequence[Image]]) -> dict[Place, list[tuple[Offer[Place], Group[Place]]]]:
        offers = (
            offer
            for number, unit in enumerate(block)
            for i, image in enumerate(unit)
            for region in image.row(RegionCaptionRow).regions
            for offer in self._offers(image, region, Place(number, i, region.region))
        )
        by_region: dict[Place, list[tuple[Offer[Place], Group[Place]]]] = defaultdict(list)
        params = self.params
        sizes = Sizes(params.group_size, params.noun_group_size, params.own_pool, params.cell)
        for group in exchanges(offers, sizes):
            for offer in group.offers:
                by_region[offer.ref].append((offer, group))
        return by_region

    def _offers(self, image: Image, region: RegionCaption, place: Place) -> Iterator[Offer[Place]]:
        expression, name = expression_of(region), f"{image.key}/{region.region}/{region.short}"
        values = [] if expression is None else list(offers_of(place, name, region.head, expression, joint=self.params.joint))
        yield from values
        if region.short and self.params.noun_group_size > 1:
            yield from noun_offers(place, name, region.head, region.short, values if self.params.joint_nouns else ())

    def _row(self, image: Image, place: Place, groups: dict[Place, list[tuple[Offer[Place], Group[Place]]]]) -> ExchangeRow:
        regions, rejects = [], Counter[str]()
        for region in image.row(RegionCaptionRow).regions:
            offers = groups.get(place._replace(region=region.region), [])
            if region.short and not offers:
                rejects["no_slot" if expression_of(region) is None else "lone"] += 1
            for offer, group in sorted(offers, key=lambda pair: pair[0].name):
                negatives = group.negatives(offer)
                regions.append(
                    RegionNegatives(
                        region=region.region,
                        positive=offer.text,
                        negatives=negatives,
                        num_proposed=len(negatives),
                        group=group.name,
                    )
                )
        return ExchangeRow(key=image.key, regions=regions, rejects=dict(sorted(rejects.items())))
