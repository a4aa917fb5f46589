"""hard_negative: the writer proposes typed edits of each region's short expression; rules decide which are negatives."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from schemas.rows import HardNegativeRow, RegionCaption, RegionCaptionRow, RegionNegatives, SelectRow
from stages.answers import Outcome, ask, question, total_usage
from stages.base import Image, Stage, StageParams, rng, seed_of
from stages.edits import Proposal, accept


class HardNegativeParams(StageParams):
    prompt: str = Field("v1", description="Version of the prompt for the task hard_negative.")
    attempts: int = Field(3, ge=1, description="Times a question is asked before its region goes without negatives.")
    max_negatives: int = Field(10, ge=1, description="Negatives kept a region; which, among more, is drawn by the image's key.")


class Proposals(BaseModel):
    """What the answer schema of the task hard_negative holds."""

    edits: list[Proposal]


class HardNegatives(Stage[HardNegativeParams, HardNegativeRow]):
    """Ask the writer about each captioned region. What its own caption, phrase or attributes say is never a negative."""

    name = "hard_negative"
    version = 1
    reads = ("region_caption",)
    may_read = ("select",)  # not there where phrases alone were given
    generator_roles = ("writer",)

    @classmethod
    def prompt_names(cls, params: HardNegativeParams) -> dict[str, str]:
        return {"hard_negative": params.prompt}

    async def run(self, unit: Sequence[Image], attempt: int) -> list[HardNegativeRow]:
        asked = [(image, region) for image in unit for region in image.row(RegionCaptionRow).regions if region.short]
        questions = [
            question(
                self.context.prompts["hard_negative"],
                {"phrase": region.short, "noun": region.head, "attributes": region.attributes},
                seed=seed_of(self.context.fingerprint, f"{image.key}/{region.region}", attempt),
            )
            for image, region in asked
        ]
        outcomes = await ask(self.context.generators["writer"], questions, _parse, self.params.attempts)
        answers = {(image.key, region.region): outcome for (image, region), outcome in zip(asked, outcomes, strict=True)}
        return [self._row(image, answers, attempt) for image in unit]

    def _row(self, image: Image, answers: dict[tuple[str, int], Outcome[list[Proposal]]], attempt: int) -> HardNegativeRow:
        regions, usages, errors = [], [], []
        for region in image.row(RegionCaptionRow).regions:
            outcome = answers.get((image.key, region.region))
            if outcome is None or region.short is None:
                continue
            usages.append(outcome.usage)
            errors.append(outcome.error)
            regions.append(self._negatives(image, region, region.short, outcome, attempt))
        usage = total_usage(usages)
        if errors and all(errors):
            return HardNegativeRow(key=image.key, status="failed", reason=errors[0], regions=regions, usage=usage)
        return HardNegativeRow(key=image.key, regions=regions, usage=usage)

    def _negatives(
        self, image: Image, region: RegionCaption, positive: str, outcome: Outcome[list[Proposal]], attempt: int
    ) -> RegionNegatives:
        if outcome.value is None:
            return RegionNegatives(region=region.region, positive=positive, rejects={outcome.error or "invalid_output": 1})
        select = image.upstream.get(SelectRow)
        phrases = [select.regions[region.region].phrase] if isinstance(select, SelectRow) else []
        facts = [*phrases, region.long or "", *(a.value for a in region.attributes)]
        # Not drawn by fingerprint: two engines that propose the same edits keep the same ones, and their tables can be compared.
        draw = rng(self.name, f"{image.key}/{region.region}", attempt)
        order = draw.sample(range(len(outcome.value)), len(outcome.value))
        negatives, rejects = accept([outcome.value[i] for i in order], positive, region.head, facts, self.params.max_negatives)
        return RegionNegatives(
            region=region.region, positive=positive, negatives=negatives, num_proposed=len(outcome.value), rejects=rejects
        )


def _parse(content: dict[str, Any]) -> list[Proposal]:
    return Proposals.model_validate(content).edits
