"""region_caption: a short and a long expression of each region and its attributes, from its focal crop and its noun."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from schemas.rows import Attribute, Region, RegionCaption, RegionCaptionRow, SelectRow
from stages.answers import Outcome, ask, question, total_usage
from stages.base import Image, Stage, StageParams, seed_of
from stages.crops import focal_crop


class RegionCaptionParams(StageParams):
    prompt: str = Field("v1", description="Version of the prompt for the task region_caption.")
    attempts: int = Field(3, ge=1, description="Times a question is asked before its region is given up.")
    crop_scale: float = Field(3.0, ge=1, description="Sides of the focal crop as multiples of the box's.")
    crop_min_side_px: int = Field(48, ge=1, description="Smallest side of the focal crop, pixels of the upright image.")
    max_regions: int = Field(20, ge=1, description="Regions captioned an image, best score first; the others say surplus.")


class Expressions(BaseModel):
    """What the answer schema of the task region_caption holds."""

    short: str
    long: str
    attributes: list[Attribute]


class RegionCaptioning(Stage[RegionCaptionParams, RegionCaptionRow]):
    """Ask the captioner about each region. An expression that lost the noun is refused, the region says why."""

    name = "region_caption"
    version = 1
    reads = ("select",)
    needs_pixels = True
    generator_roles = ("captioner",)

    @classmethod
    def prompt_names(cls, params: RegionCaptionParams) -> dict[str, str]:
        return {"region_caption": params.prompt}

    async def run(self, unit: Sequence[Image], attempt: int) -> list[RegionCaptionRow]:
        asked = [(image, i, region) for image in unit for i, region in enumerate(self._regions(image))]
        questions = [
            question(
                self.context.prompts["region_caption"],
                {"noun": region.head, "phrase": region.phrase},
                seed=seed_of(self.context.fingerprint, f"{image.key}/{i}", attempt),
                images=(focal_crop(image.rgb, region.xyxy, scale=self.params.crop_scale, min_side_px=self.params.crop_min_side_px),),
                image_ids=(f"{image.key}/{i}",),
            )
            for image, i, region in asked
        ]
        outcomes = await ask(self.context.generators["captioner"], questions, _parse, self.params.attempts)
        answers = {(image.key, i): outcome for (image, i, _), outcome in zip(asked, outcomes, strict=True)}
        return [self._row(image, answers) for image in unit]

    def _regions(self, image: Image) -> list[Region]:
        return image.row(SelectRow).regions[: self.params.max_regions]

    def _row(self, image: Image, answers: dict[tuple[str, int], Outcome[Expressions]]) -> RegionCaptionRow:
        regions, usages, errors = [], [], []
        for i, region in enumerate(image.row(SelectRow).regions):
            outcome = answers.get((image.key, i))
            if outcome is None:
                regions.append(RegionCaption(region=i, xyxy=region.xyxy, head=region.head, reason="surplus"))
                continue
            usages.append(outcome.usage)
            errors.append(outcome.error)
            regions.append(_caption(i, region, outcome))
        usage = total_usage(usages)
        if errors and all(errors):
            return RegionCaptionRow(key=image.key, status="failed", reason=errors[0], regions=regions, usage=usage)
        return RegionCaptionRow(key=image.key, regions=regions, usage=usage)


def _parse(content: dict[str, Any]) -> Expressions:
    return Expressions.model_validate(content)


def _caption(index: int, region: Region, outcome: Outcome[Expressions]) -> RegionCaption:
    if outcome.value is None:
        return RegionCaption(region=index, xyxy=region.xyxy, head=region.head, reason=outcome.error)
    said = outcome.value
    if any(not names_head(text, region.head) for text in (said.short, said.long)):
        return RegionCaption(region=index, xyxy=region.xyxy, head=region.head, reason="noun_lost")
    return RegionCaption(
        region=index,
        xyxy=region.xyxy,
        head=region.head,
        short=said.short.strip(),
        long=said.long.strip(),
        attributes=said.attributes,
    )


def names_head(text: str, head: str) -> bool:
    """Whether the text holds the head noun as a word, in the singular or a plural."""
    words = [word.strip(".,;:!?\"'()") for word in text.lower().split()]
    return any(word in (head, f"{head}s", f"{head}es") or (head.endswith("y") and word == f"{head[:-1]}ies") for word in words)
