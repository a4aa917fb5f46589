"""region_caption: a short and a long expression of each region and its attributes, from its focal crop and its noun."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from schemas.boxes import Box, area, share_inside
from schemas.rows import PASSING, Attribute, Region, RegionCaption, RegionCaptionRow, SelectRow, Usage
from stages.answers import Outcome, ask, failure_of, question, total_usage
from stages.base import Image, Stage, seed_of
from stages.engines.base import Request
from stages.params import StageParams
from stages.regions.focus import FocalCut, Focus
from stages.regions.leakage import Captioned, swaps
from stages.words.ambiguity import is_same_noun
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.expressions import look, refusal

# Of a region of another noun so much must lie inside this one's box to count as a part of it, and so much to be worn or held.
_PART_SHARE, _HELD_SHARE = 0.9, 0.5


class RegionCaptionParams(StageParams):
    prompt: str = Field("v1", description="Version of the prompt for the task region_caption.")
    attempts: int = Field(3, ge=1, description="Times a question is asked before its region is given up.")
    crop_scale: float = Field(3.0, ge=1, description="Sides of the focal crop as multiples of the box's.")
    crop_min_side_px: int = Field(48, ge=1, description="Smallest side of the focal crop, pixels of the upright image.")
    shown_side_px: int = Field(224, ge=1, description="A focal crop with a shorter side is enlarged to it before it is shown.")
    min_shown_side_px: float = Field(
        32, ge=0, description="A box whose shorter side has fewer pixels in the crop as shown is given up: too_small."
    )
    max_regions: int = Field(20, ge=1, description="Regions captioned an image, best score first; the others say surplus.")
    probe_share: float = Field(
        0.05, ge=0, le=1, description="Share of the regions that are asked once more with another region's crop: the leakage probe."
    )
    domain: Domain = Field(ANY_DOMAIN, description="The domain's words; absent: the block `domain` of the configuration.")


class Expressions(BaseModel):
    """What the answer schema of the task region_caption holds; v1 does not ask whether the thing is there."""

    there: bool = True
    short: str
    long: str
    attributes: list[Attribute]


@dataclass
class _Asked:
    """One region that was asked about, and what became of it."""

    position: int
    index: int
    region: Region
    outcome: Outcome[Expressions] | None = None
    caption: RegionCaption | None = None
    probe_usage: Usage = field(default_factory=Usage)


class RegionCaptioning(Stage[RegionCaptionParams, RegionCaptionRow]):
    """Ask the captioner about each region, refuse expressions that break a rule, ask a sample again with swapped crops."""

    name = "region_caption"
    version = 3
    writes_values = True
    reads = ("select",)
    needs_pixels = True
    generator_roles = ("captioner",)

    @classmethod
    def prompt_names(cls, params: RegionCaptionParams) -> dict[str, str]:
        return {"region_caption": params.prompt}

    @classmethod
    def looks_itself(cls, params: RegionCaptionParams) -> bool:
        return False

    async def run(self, unit: Sequence[Image], retry: int) -> list[RegionCaptionRow]:
        asked = [subject for position, image in enumerate(unit) for subject in self._asked(position, image)]
        outcomes = await self._ask(self._question(unit, subject, unit[subject.position], subject.region.xyxy, retry) for subject in asked)
        for subject, outcome in zip(asked, outcomes, strict=True):
            subject.outcome = outcome
            subject.caption = _caption(subject.index, unit[subject.position].row(SelectRow).regions, outcome, self.params.domain)
        await self._probe(unit, asked, retry)
        by_region = {(subject.position, subject.index): subject for subject in asked}
        return [
            self._row(image, {i: subject for (p, i), subject in by_region.items() if p == position}) for position, image in enumerate(unit)
        ]

    @property
    def _focus(self) -> Focus:
        return Focus(self.params.crop_scale, self.params.crop_min_side_px, self.params.shown_side_px)

    def _asked(self, position: int, image: Image) -> list[_Asked]:
        regions, before = image.row(SelectRow).regions, image.before(RegionCaptionRow)
        if before is not None:
            return [_Asked(position, region.region, regions[region.region]) for region in before.regions if region.reason in PASSING]
        large = [i for i, region in enumerate(regions) if not self._is_too_small(image, region)]
        return [_Asked(position, i, regions[i]) for i in large[: self.params.max_regions]]

    def _is_too_small(self, image: Image, region: Region) -> bool:
        return self._focus.shown_side(region.xyxy, *image.size) < self.params.min_shown_side_px

    def _question(self, unit: Sequence[Image], subject: _Asked, shown: Image, xyxy: Box, retry: int, mark: str = "") -> Request:
        """What is asked about a region, with the crop of `xyxy` of the image `shown`: its own, or the probe's."""
        key = f"{unit[subject.position].key}/{subject.index}{mark}"
        noun, regions = subject.region.head, unit[subject.position].row(SelectRow).regions
        apart = [other.head for other in _others(subject.index, regions) if not _is_on(other, subject.region)]
        fields = {
            "noun": noun,
            "phrase": subject.region.phrase,
            "others": sorted({other for other in apart if not is_same_noun(other, noun)}),
            "padded": self._focus.is_padded(xyxy, *shown.size),
            "domain": self.params.domain,
        }
        seed, crop = seed_of(self.context.fingerprint, key, retry), shown.shown(FocalCut(self._focus, xyxy))
        return question(self.context.prompts["region_caption"], fields, seed=seed, images=(crop,), image_ids=(key,))

    async def _ask(self, questions: Iterable[Request]) -> list[Outcome[Expressions]]:
        return await ask(self.context.generators["captioner"], questions, _parse, self.params.attempts)

    async def _probe(self, unit: Sequence[Image], asked: Sequence[_Asked], retry: int) -> None:
        """Asks a sample again with another region's crop, and notes whether the text stayed."""
        captioned = {
            (subject.position, subject.index): Captioned(subject.position, unit[subject.position].key, subject.caption)
            for subject in asked
            if subject.caption and subject.caption.short
        }
        by_region = {(subject.position, subject.index): subject for subject in asked}
        pairs = list(swaps(list(captioned.values()), self.params.probe_share))
        probed = [by_region[own.position, own.region.region] for own, _ in pairs]
        questions = (
            self._question(
                unit, subject, unit[other.position], by_region[other.position, other.region.region].region.xyxy, retry, "/swapped"
            )
            for subject, (_, other) in zip(probed, pairs, strict=True)
        )
        for subject, (own, _), outcome in zip(probed, pairs, await self._ask(questions), strict=True):
            subject.probe_usage = outcome.usage
            if outcome.value is not None and subject.caption is not None:
                other_short = outcome.value.short.strip()
                swapped = dataclasses.replace(own, region=own.region.model_copy(update={"short": other_short}))
                subject.caption = subject.caption.model_copy(update={"swapped": other_short, "leaked": swapped.look == own.look})

    def _unasked(self, image: Image, index: int, region: Region) -> RegionCaption:
        is_too_small = self._is_too_small(image, region)
        return RegionCaption(region=index, xyxy=region.xyxy, head=region.head, reason="too_small" if is_too_small else "surplus")

    def _row(self, image: Image, asked: dict[int, _Asked]) -> RegionCaptionRow:
        regions, before = [], image.before(RegionCaptionRow)
        for i, region in enumerate(image.row(SelectRow).regions):
            caption = asked[i].caption if i in asked else before.regions[i] if before else None
            regions.append(caption or self._unasked(image, i, region))
        outcomes = [subject.outcome for subject in asked.values() if subject.outcome]
        spent = [part for subject in asked.values() if subject.outcome for part in (subject.outcome.usage, subject.probe_usage)]
        usage = total_usage([before.usage, *spent] if before else spent)
        if before is None and (failure := failure_of(outcomes)) is not None:
            reason, detail = failure
            return RegionCaptionRow(key=image.key, status="failed", reason=reason, detail=detail, regions=regions, usage=usage)
        return RegionCaptionRow(key=image.key, regions=_with_uniqueness(regions), usage=usage)


def _parse(content: dict[str, Any]) -> Expressions:
    return Expressions.model_validate(content)


def _caption(index: int, regions: Sequence[Region], outcome: Outcome[Expressions], domain: Domain) -> RegionCaption:
    """The region's texts, or why it has none. A refused long expression alone leaves the short one standing."""
    region = regions[index]
    bare = RegionCaption(region=index, xyxy=region.xyxy, head=region.head)
    if outcome.value is None:
        return bare.model_copy(update={"reason": outcome.error})
    expressions = outcome.value
    if not expressions.there:
        return bare.model_copy(update={"reason": "not_there"})
    attributes = [attribute for attribute in _without_doubles(expressions.attributes) if domain.wants(attribute.type)]
    refused = _refused(expressions, index, regions)
    refused_texts = {name: getattr(expressions, name).strip() for name in refused}
    if "short" in refused:
        return bare.model_copy(update={"reason": refused["short"], "refused": refused, "refused_texts": refused_texts})
    long = None if "long" in refused else expressions.long.strip()
    texts = {"short": expressions.short.strip(), "long": long, "attributes": attributes}
    return bare.model_copy(update={**texts, "refused": refused, "refused_texts": refused_texts})


def _refused(expressions: Expressions, index: int, regions: Sequence[Region]) -> dict[str, str]:
    """Which of the two expressions a check refuses, and which check."""
    region = regions[index]
    read_on_it = [attribute.value for attribute in expressions.attributes if attribute.type == "text"]
    inside = [(other.head, share_inside(other.xyxy, region.xyxy)) for other in _others(index, regions)]
    held = [other.head for other in _others(index, regions) if _is_on(other, region)]
    outside = [head for head, share in inside if share < _PART_SHARE]
    verdicts = {
        "short": refusal(expressions.short, region.head, [head for head, _ in inside], read_on_it, held=held),
        "long": refusal(expressions.long, region.head, outside, read_on_it, held=held, may_show=True),
    }
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def _is_on(other: Region, region: Region) -> bool:
    """Whether a thing lies on or in another: then it may be worn, held or a part."""
    return share_inside(other.xyxy, region.xyxy) >= _HELD_SHARE and area(other.xyxy) <= area(region.xyxy)


def _others(index: int, regions: Sequence[Region]) -> list[Region]:
    return [other for i, other in enumerate(regions) if i != index]


def _without_doubles(attributes: Sequence[Attribute]) -> list[Attribute]:
    """Without empty values and doubles, in the answer's order."""
    kept: dict[tuple[str, str], Attribute] = {}
    for attribute in attributes:
        if value := attribute.value.strip():
            kept.setdefault((attribute.type, value.lower()), Attribute(type=attribute.type, value=value))
    return list(kept.values())


def _with_uniqueness(regions: Sequence[RegionCaption]) -> list[RegionCaption]:
    """Marks each captioned region by whether its short expression names it alone among the image's regions of its noun."""
    looks = [(region.head, look(region.short, region.head)) if region.short else None for region in regions]
    names = Counter(name for name in looks if name is not None)
    return [
        region if name is None else region.model_copy(update={"is_unique": names[name] == 1})
        for region, name in zip(regions, looks, strict=True)
    ]
