"""hard_negative: candidates that are false of a region or of the long caption, as typed edits, each refusal counted.

The writer proposes edits of each region's short expression and rules decide; places and counts are computed from boxes;
both are combined into negatives of two and three slots, of the region and of the long caption.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from schemas.hashed import added
from schemas.rows import (
    CAPTION,
    PASSING,
    CaptionRow,
    HardNegativeRow,
    Negative,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    SelectRow,
)
from stages.answers import Outcome, ask, failure_of, question, total_usage
from stages.base import Image, Stage, rng, seed_of
from stages.engines.base import Request
from stages.negatives.caption_negatives import caption_negatives
from stages.negatives.compose import composed
from stages.negatives.edits import Known, Proposal, accept, known_of
from stages.negatives.edits_schema import NewValues, is_quoted, quoted_schema, slots_of
from stages.negatives.quotes import occurrences
from stages.negatives.reading import is_of_compound, reads_well
from stages.negatives.shares import Shares
from stages.params import StageParams, Surroundings
from stages.words.domain import ANY_DOMAIN, Domain


class HardNegativeParams(StageParams):
    in_files: ClassVar[tuple[str, ...]] = ("shares",)
    prompt: str = Field("v1", description="Version of the prompt for the task hard_negative.")
    attempts: int = Field(3, ge=1, description="Times a question is asked before its region goes without negatives.")
    new_values: NewValues = Field(
        "open",
        description="Of the writer: open: any one or two words. listed: where a type's values are a closed list, one of it. "
        "drawn: the list is dealt out over the answer's edits by the image's key, none twice; what small models need. "
        "For prompts with x-quoted-edit.",
    )
    max_negatives: int = Field(16, ge=1, description="Edits of one slot kept a region; which, among more, is drawn by the image's key.")
    max_composed: int = Field(16, ge=0, description="Further candidates a region with two or three slots changed, half each.")
    max_caption_negatives: int = Field(
        32, ge=0, description="Candidates for the long caption: half with one slot changed, the rest with two or three. 0: none."
    )
    shares: Shares | None = added(
        None,
        before=None,
        description="With `drawn`: the values of such things, each with how often they have it, that new ones are drawn by. The block, or "
        "the file that holds it (`fgdata shares` writes one); its content is hashed. null: the closed lists.",
    )
    compounds: bool = added(
        False,
        before=False,
        description="With `new_values: open`: a noun that others stand before is offered with these too, so that a fishing boat may "
        "become a ferry, and not only a fishing ferry.",
    )
    domain: Domain = Field(ANY_DOMAIN, description="The domain's words; absent: the block `domain` of the configuration.")


class Proposals(BaseModel):
    """What the answer schema of the task hard_negative holds."""

    edits: list[Proposal]


@dataclass(frozen=True)
class _Subject:
    """A captioned region, what is known of it, and the question about it; None where its expression has nothing to edit.

    `kept`: its negatives of before a retry that is about others; it is not asked about then.
    """

    region: RegionCaption
    positive: str
    known: Known
    request: Request | None
    kept: RegionNegatives | None = None


class HardNegatives(Stage[HardNegativeParams, HardNegativeRow]):
    """Ask the writer about each captioned region. What its own caption, phrase or attributes say is never a negative."""

    name = "hard_negative"
    version = 5
    writes_values = True
    reads = ("region_caption",)
    may_read = ("caption", "select")  # select is not there where phrases alone were given
    generator_roles = ("writer",)

    @classmethod
    def problems(cls, params: HardNegativeParams, around: Surroundings) -> Iterator[str]:
        yield from super().problems(params, around)
        if params.shares is not None and params.new_values != "drawn":
            yield "stages.hard_negative.shares is read with new_values: drawn alone; set that, or leave shares out"

    @classmethod
    def prompt_names(cls, params: HardNegativeParams) -> dict[str, str]:
        return {"hard_negative": params.prompt}

    async def run(self, unit: Sequence[Image], retry: int) -> list[HardNegativeRow]:
        subjects: list[list[_Subject]] = [[] for _ in unit]

        def questions() -> Iterator[Request]:
            for image, row in zip(unit, subjects, strict=True):
                for region in _captioned(image):
                    row.append(self._subject(image, region, retry))
                    yield from filter(None, [row[-1].request])

        outcomes = await ask(self.context.generators["writer"], questions(), _parse, self.params.attempts)
        asked = [(i, subject) for i, row in enumerate(subjects) for subject in row if subject.request is not None]
        answers = {(i, subject.region.region): outcome for (i, subject), outcome in zip(asked, outcomes, strict=True)}
        return [self._row(image, i, subjects[i], answers, retry) for i, image in enumerate(unit)]

    def _subject(self, image: Image, region: RegionCaption, retry: int) -> _Subject:
        assert region.short is not None
        regions = _select(image).regions
        phrase = regions[region.region].phrase if region.region < len(regions) else ""
        known = known_of([region.short, phrase, region.long or ""], region.attributes, [region.head], self.params.domain)
        kept = _kept(image, region.region)
        if kept is not None:
            return _Subject(region, region.short, known, None, kept)
        prompt = self.context.prompts["hard_negative"]
        compounds = self.params.compounds and self.params.new_values == "open"
        slots = slots_of(region.short, region.head, region.attributes, self.params.domain, compounds=compounds)
        schema = None
        if is_quoted(prompt.answer_schema):
            draw = rng(self.name, f"{image.key}/{region.region}/values", retry)
            chances = None if self.params.shares is None else cache(partial(_chances, self.params.shares, region.short, region.head))
            schema = quoted_schema(prompt.answer_schema, slots, known, self.params.new_values, draw, chances)
            if schema is None:
                return _Subject(region, region.short, known, None)
        fields = {
            "phrase": region.short,
            "noun": region.head,
            "attributes": region.attributes,
            "slots": slots,
            "domain": self.params.domain,
        }
        seed = seed_of(self.context.fingerprint, f"{image.key}/{region.region}", retry)
        return _Subject(region, region.short, known, question(prompt, fields, seed=seed, answer_schema=schema))

    def _row(
        self, image: Image, index: int, subjects: Sequence[_Subject], answers: dict[tuple[int, int], Outcome[list[Proposal]]], retry: int
    ) -> HardNegativeRow:
        outcomes = [answers[index, subject.region.region] for subject in subjects if subject.request is not None]
        regions = [self._negatives(image, subject, answers.get((index, subject.region.region)), retry) for subject in subjects]
        regions += self._of_caption(image, subjects, regions, retry)
        before = image.before(HardNegativeRow)
        usage = total_usage([*([before.usage] if before else []), *(outcome.usage for outcome in outcomes)])
        if before is None and (failure := failure_of(outcomes)) is not None:
            reason, detail = failure
            return HardNegativeRow(key=image.key, status="failed", reason=reason, detail=detail, regions=regions, usage=usage)
        return HardNegativeRow(key=image.key, regions=regions, usage=usage)

    def _of_caption(
        self, image: Image, subjects: Sequence[_Subject], regions: Sequence[RegionNegatives], retry: int
    ) -> list[RegionNegatives]:
        """The regions' single edits, made in the long caption too."""
        caption = image.optional(CaptionRow)
        if caption is None or not caption.long or not self.params.max_caption_negatives:
            return []
        draw = rng(self.name, f"{image.key}/{CAPTION}", retry)
        edits = {region.region: [edit for edit in region.negatives if edit.level == 1] for region in regions}
        known = {subject.region.region: subject.known for subject in subjects}
        return [caption_negatives(caption.long, _select(image), edits, known, self.params.max_caption_negatives, draw)]

    def _negatives(self, image: Image, subject: _Subject, outcome: Outcome[list[Proposal]] | None, retry: int) -> RegionNegatives:
        if subject.kept is not None:
            return subject.kept
        region, positive = subject.region, subject.positive
        if outcome is None or outcome.value is None:
            reason = "nothing_to_edit" if outcome is None else outcome.error or "invalid_output"
            return RegionNegatives(region=region.region, positive=positive, num_proposed=1, rejects={reason: 1})
        # Not drawn by fingerprint: two engines that propose the same edits keep the same ones, and their tables can be compared.
        draw = rng(self.name, f"{image.key}/{region.region}", retry)
        proposals = draw.sample(outcome.value, len(outcome.value))
        singles, rejects = accept(proposals, positive, region.head, subject.known, self.params.max_negatives)
        negatives: list[Negative] = list(singles)
        for level, limit in ((2, (self.params.max_composed + 1) // 2), (3, self.params.max_composed // 2)):
            negatives += composed(singles, positive, level, limit, draw, [negative.text for negative in negatives])
        num_proposed = len(negatives) + Counter(rejects).total()
        return RegionNegatives(region=region.region, positive=positive, negatives=negatives, num_proposed=num_proposed, rejects=rejects)


def _chances(shares: Shares, text: str, head: str, kind: str, old: str) -> Mapping[str, float]:
    """The shares' chances of new values; none for what nobody would write there."""
    start = next((start for start, _ in occurrences(text, old)), 0)
    is_fixed = kind == "object" and is_of_compound(text, head)
    return {
        new: 0.0 if is_fixed or not reads_well(text, start, kind, new) else chance
        for new, chance in shares.chances(kind, head, old).items()
    }


def _captioned(image: Image) -> list[RegionCaption]:
    return [region for region in image.row(RegionCaptionRow).regions if region.short]


def _kept(image: Image, region: int) -> RegionNegatives | None:
    before = image.before(HardNegativeRow)
    return (
        next((negatives for negatives in before.regions if negatives.region == region and not PASSING & {*negatives.rejects}), None)
        if before
        else None
    )


def _select(image: Image) -> SelectRow:
    return image.optional(SelectRow) or SelectRow(key=image.key)


def _parse(content: dict[str, Any]) -> list[Proposal]:
    return Proposals.model_validate(content).edits
