"""verify: a judge looks at each region and answers, once for each value that any candidate claims of it. Drops nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL import Image as PillowImage
from pydantic import BaseModel, Field

from schemas.rows import (
    CAPTION,
    PASSING,
    Fact,
    Negative,
    RegionCaptionRow,
    RegionNegatives,
    Row,
    SelectRow,
    Usage,
    Verdict,
    VerifyRow,
)
from stages.answers import Outcome, ask, question, total_usage
from stages.base import Image, Stage, seed_of
from stages.engines.base import Request
from stages.negatives.candidates import entries_of
from stages.negatives.verdicts import (
    Charge,
    Claim,
    charges_of,
    is_edited,
    others_of_noun,
    positive_claims,
    targets_of,
    verdict_of_answers,
    verdict_of_negative,
    verdict_of_positive,
)
from stages.params import StageParams
from stages.regions.crops import focal_crop, upscaled

OPTIONS = ("yes, no or cannot_tell", "no, yes or cannot_tell")


class VerifyParams(StageParams):
    prompt: str = Field("v1", description="Version of the prompt for the task verify. What it renders as nothing is not asked: unverified.")
    attempts: int = Field(3, ge=1, description="Times a question is asked before its value is unsure.")
    crop_scale: float = Field(3.0, ge=1, description="Sides of the judge's crop as multiples of the box's.")
    crop_min_side_px: int = Field(48, ge=1, description="Smallest side of the judge's crop, pixels of the upright image.")
    upscale_side_px: int | None = Field(None, gt=0, description="A crop with a shorter side is enlarged to it; null: sent as cut.")


class JudgeAnswer(BaseModel):
    """What the answer schema of the task verify holds."""

    answer: Literal["yes", "no", "cannot_tell"]


class Verify(Stage[VerifyParams, VerifyRow]):
    """Ask the judge, in both orders of the options, and set the verdict of every candidate and of every positive.

    What the boxes refute keeps its verdict and costs no question. Where an image has no pixels all stays unverified.
    """

    name = "verify"
    version = 2
    reads = ("region_caption", "hard_negative")
    may_read = ("select", "mine", "exchange")  # select is not there where phrases alone were given
    needs_pixels = True
    generator_roles = ("judge",)

    @classmethod
    def prompt_names(cls, params: VerifyParams) -> dict[str, str]:
        return {"verify": params.prompt}

    async def run(self, unit: Sequence[Image], attempt: int) -> list[VerifyRow]:
        cases = [_Case(image) for image in unit]
        asked: list[tuple[int, Claim]] = []
        questions: list[Request] = []
        for i, case in enumerate(cases):
            crops: dict[int, PillowImage.Image] = {}
            for claim in (claim for claim in case.claims if claim not in case.known):
                pair = self._questions(case, claim, crops, attempt)
                questions += pair
                asked += [(i, claim)] * len(pair)
        outcomes = await ask(self.context.generators["judge"], questions, _parse, self.params.attempts)
        said: list[dict[Claim, list[Outcome[str]]]] = [dict(case.known) for case in cases]
        for (i, claim), outcome in zip(asked, outcomes, strict=True):
            said[i].setdefault(claim, []).append(outcome)
        return [case.row(answers) for case, answers in zip(cases, said, strict=True)]

    def _questions(self, case: "_Case", claim: Claim, crops: dict[int, PillowImage.Image], attempt: int) -> list[Request]:
        """Two requests, one an order of the options, on the region's crop; none where the prompt has no question for this."""
        prompt, key = self.context.prompts["verify"], case.image.key
        noun = case.regions[claim.region].head
        variables = {"noun": noun, "type": claim.type, "value": "" if claim.is_text else claim.value, "text": claim.value}
        if not prompt.render({**variables, "options": OPTIONS[0]})[1]:
            return []
        if claim.region not in crops:
            crops[claim.region] = self._crop(case, claim.region)
        seed = seed_of(self.context.fingerprint, f"{key}/{claim.region}/{claim.type}/{claim.value}", attempt)
        images, ids = (crops[claim.region],), (f"{key}/{claim.region}@{noun}",)
        return [question(prompt, {**variables, "options": options}, seed=seed, images=images, image_ids=ids) for options in OPTIONS]

    def _crop(self, case: "_Case", region: int) -> PillowImage.Image:
        xyxy = case.regions[region].xyxy
        crop = focal_crop(case.image.rgb, xyxy, scale=self.params.crop_scale, min_side_px=self.params.crop_min_side_px)
        return upscaled(crop, self.params.upscale_side_px)

    @classmethod
    def settled(cls, image: Image) -> Row | None:
        """An image without pixels is no error here: its candidates are passed on as they are."""
        row = super().settled(image)
        if row is not None and row.reason == "no_image" and image.problem is not None:
            return _Case(image).row({})
        return row


class _Case:
    """One image's candidates, what is to be asked about them, and what the answers make of them."""

    def __init__(self, image: Image) -> None:
        self.image = image
        select = image.optional(SelectRow)
        self.regions = select.regions if select else []
        self.groups = entries_of(image.upstream.values())
        attributes = {one.region: one.attributes for one in image.row(RegionCaptionRow).regions}
        same_noun = others_of_noun(self.regions)
        self.charges: list[list[list[Charge] | None]] = []
        self.own: list[list[Claim]] = []
        for group in self.groups:
            targets = targets_of(group.region, group.positive, self.regions)
            others = same_noun if group.region == CAPTION else {}
            charged = [None if _is_settled(one) else charges_of(one, group.positive, targets, others) for one in group.negatives]
            self.charges.append(charged)
            edited = [target for target in targets if is_edited(target, group.negatives)] if group.region == CAPTION else targets
            own = [claim for one in edited for claim in positive_claims(group.positive, one, attributes.get(one.region, ()))]
            self.own.append(own if group.negatives else [])
        self.positive_claims = {claim for claims in self.own for claim in claims}
        alleged = [c for charged in self.charges for charges in charged for charge in charges or () for c in (charge.own, *charge.others)]
        # A region's questions stand together: its crop's tokens are then found in the engine's cache.
        self.claims = sorted({*self.positive_claims, *alleged})
        self.before = image.before(VerifyRow)
        self.known = _answered(self.claims, self.before.facts) if self.before else {}

    def row(self, said: Mapping[Claim, Sequence[Outcome[str]]]) -> VerifyRow:
        """The row that these answers make; without any, every verdict that the boxes did not settle is unverified."""
        facts = [self._fact(claim, said[claim]) for claim in self.claims if claim in said]
        verdicts = {claim: fact.verdict for claim, fact in zip([c for c in self.claims if c in said], facts, strict=True)}
        outcomes = [outcome for answers in said.values() for outcome in answers]
        spent = [*([self.before.usage] if self.before else []), *(outcome.usage for outcome in outcomes)]
        usage = total_usage(spent) if spent else Usage()
        groups = [self._judged(i, verdicts) for i in range(len(self.groups))]
        common = {"key": self.image.key, "facts": facts, "regions": groups, "usage": usage}
        if outcomes and all(outcome.error for outcome in outcomes):
            return VerifyRow(**common, status="failed", reason=outcomes[0].error, detail=outcomes[0].detail)
        return VerifyRow(**common)

    def _fact(self, claim: Claim, outcomes: Sequence[Outcome[str]]) -> Fact:
        answers = [outcome.value or outcome.error or "invalid_output" for outcome in outcomes]
        is_positive = claim in self.positive_claims
        verdict = verdict_of_answers(answers)
        return Fact(region=claim.region, type=claim.type, value=claim.value, is_positive=is_positive, verdict=verdict, answers=answers)

    def _judged(self, index: int, verdicts: Mapping[Claim, Verdict]) -> RegionNegatives:
        group = self.groups[index]
        negatives = [
            one if charges is None else one.model_copy(update={"verdict": verdict_of_negative(charges, verdicts)})
            for one, charges in zip(group.negatives, self.charges[index], strict=True)
        ]
        positive = verdict_of_positive(self.own[index], verdicts)
        if not self.own[index] and negatives and all(one.source == "geometry" for one in negatives):
            positive = "true"  # every word that is edited was confirmed by boxes
        judged: RegionNegatives = group.model_copy(update={"negatives": negatives, "positive_verdict": positive})
        return judged


def _is_settled(negative: Negative) -> bool:
    """What the boxes refute, and what was judged before it was given, is asked of nobody."""
    return negative.verdict != "unverified"


def _answered(claims: Sequence[Claim], facts: Sequence[Fact]) -> dict[Claim, list[Outcome[str]]]:
    """What the judge has said before a retry, but for questions that got no answer for a reason that passes."""
    by_name = {(fact.region, fact.type, fact.value): fact for fact in facts if not PASSING & {*fact.answers}}
    names = Counter((claim.region, claim.type, claim.value) for claim in claims)
    known = ((claim, by_name.get((claim.region, claim.type, claim.value))) for claim in claims)
    return {
        claim: [Outcome(answer, None, None, None, Usage()) for answer in fact.answers]
        for claim, fact in known
        if fact is not None and names[claim.region, claim.type, claim.value] == 1
    }


def _parse(content: dict[str, Any]) -> str:
    return JudgeAnswer.model_validate(content).answer
