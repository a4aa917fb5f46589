"""verify: a judge looks at each region and says of each value that any candidate claims of it whether it is true. Drops nothing."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from PIL import Image as PillowImage
from pydantic import BaseModel, Field

from prompts.loader import Prompt
from schemas.boxes import Box
from schemas.hashed import added
from schemas.rows import Row, Usage, VerifyRow
from stages.answers import Outcome, ask, failure_of, question, total_usage
from stages.base import Image, Stage, seed_of
from stages.engines.base import Request
from stages.engines.pixels import Picture
from stages.negatives.judging.case import JudgeCase
from stages.negatives.judging.questions import CANNOT_TELL, MARKER, NO, YES, Ask, JudgeQuestion, filled_schema, has_options
from stages.params import StageParams
from stages.regions.crops import JudgeCut
from stages.regions.outline import outlined_crop

# A region's crop, and the colour of the line around its box, which the question names; no line, no colour.
Shown = tuple[PillowImage.Image | Picture, str]


class VerifyParams(StageParams):
    prompt: str = Field("v1", description="Version of the prompt for the task verify. What it renders as nothing is not asked: unverified.")
    ask: Ask = added(
        "each",
        before="each",
        description="each: every value is asked about by itself. choose: one question a region and type, which of the values are true, "
        "where they exclude each other; about a quarter of the questions. It needs a prompt whose answer schema has x-options: v2.",
    )
    outline: bool = added(
        False,
        before=False,
        description="A thin line is drawn around the box in the judge's crop, in a colour that the crop does not have, for prompts that "
        "name it: v2.",
    )
    attempts: int = Field(3, ge=1, description="Times a question is asked before its value is unsure.")
    crop_scale: float = Field(3.0, ge=1, description="Sides of the judge's crop as multiples of the box's.")
    crop_min_side_px: int = Field(48, ge=1, description="Smallest side of the judge's crop, pixels of the upright image.")
    upscale_side_px: int | None = Field(None, gt=0, description="A crop with a shorter side is enlarged to it; null: sent as cut.")


class JudgeAnswer(BaseModel):
    """What the answer schema of the task verify holds: one of the options, or those that were ticked."""

    answer: Literal["yes", "no", "cannot_tell"] | Annotated[list[str], Field(min_length=1)]


class Verify(Stage[VerifyParams, VerifyRow]):
    """Ask the judge, in both orders of the options, and set the verdict of every candidate and of every positive.

    What the boxes refute keeps its verdict and costs no question. Where an image has no pixels all stays unverified.
    """

    name = "verify"
    version = 4
    writes_values = True
    reads = ("region_caption", "hard_negative")
    may_read = ("select", "mine", "exchange")  # select is not there where phrases alone were given
    needs_pixels = True
    generator_roles = ("judge",)

    @classmethod
    def prompt_names(cls, params: VerifyParams) -> dict[str, str]:
        return {"verify": params.prompt}

    @classmethod
    def looks_itself(cls, params: VerifyParams) -> bool:
        return params.outline  # the line's colour, which the question names, is chosen by the crop's

    @classmethod
    def prompt_problems(cls, params: VerifyParams, prompts: Mapping[str, Prompt]) -> Iterator[str]:
        if params.ask == "choose" and not has_options(prompts["verify"].answer_schema):
            yield (
                f"stages.verify.ask: choose needs a prompt whose answer schema has {MARKER}, and '{params.prompt}' has none: "
                "set stages.verify.prompt: v2, or ask: each"
            )

    async def run(self, unit: Sequence[Image], retry: int) -> list[VerifyRow]:
        cases = [JudgeCase(image.key, image.upstream, image.before(VerifyRow), self.params.ask) for image in unit]
        asked: list[tuple[int, JudgeQuestion]] = []
        requests: list[Request] = []
        for i, case in enumerate(cases):
            shown: dict[int, Shown] = {}
            for query in case.questions:
                orders = self._requests(unit[i], case, query, shown, retry)
                requests += orders
                asked += [(i, query)] * len(orders)
        outcomes = await ask(self.context.generators["judge"], requests, _parse, self.params.attempts)
        answered: list[dict[JudgeQuestion, list[Outcome[frozenset[str]]]]] = [{} for _ in cases]
        for (i, query), outcome in zip(asked, outcomes, strict=True):
            answered[i].setdefault(query, []).append(outcome)
        return [_row(case, answers) for case, answers in zip(cases, answered, strict=True)]

    def _requests(self, image: Image, case: JudgeCase, query: JudgeQuestion, shown: dict[int, Shown], retry: int) -> list[Request]:
        """Two requests, one an order of the options, on the region's crop; none where the prompt has no question for this."""
        prompt, key, claim = self.context.prompts["verify"], image.key, query.claims[0]
        noun, seed = case.regions[claim.region].head, seed_of(self.context.fingerprint, f"{key}/{query.name}", retry)
        fields: dict[str, Any] = {"noun": noun, "type": claim.type, "value": "", "text": "", "values": [], "outline": ""}
        if not query.is_choice:
            fields |= {"value": "" if claim.is_text else claim.value, "text": claim.value}
        if not prompt.render({**fields, **_orders(query, seed)[0]})[1]:
            return []
        if claim.region not in shown:
            shown[claim.region] = self._shown(image, case.regions[claim.region].xyxy)
        crop, fields["outline"] = shown[claim.region]
        schema = filled_schema(prompt.answer_schema, query) if has_options(prompt.answer_schema) else None
        common: dict[str, Any] = {"seed": seed, "images": (crop,), "image_ids": (f"{key}/{claim.region}@{noun}",), "answer_schema": schema}
        return [question(prompt, {**fields, **order}, **common) for order in _orders(query, seed)]

    def _shown(self, image: Image, xyxy: Box) -> Shown:
        """A box's crop, and the colour of the line around it; no line, no colour."""
        px = self.params.upscale_side_px
        size: dict[str, Any] = {"scale": self.params.crop_scale, "min_side_px": self.params.crop_min_side_px}
        if self.params.outline:
            return outlined_crop(image.rgb, xyxy, upscale_side_px=px, **size)
        return image.shown(JudgeCut(xyxy, **size, upscale_side_px=px)), ""

    @classmethod
    def settled(cls, image: Image) -> Row | None:
        """An image without pixels is no error here: its candidates are passed on as they are."""
        row = super().settled(image)
        if row is not None and row.reason == "no_image" and image.problem is not None:
            return JudgeCase(image.key, image.upstream).row({}, Usage())
        return row


def _row(case: JudgeCase, answers_of: Mapping[JudgeQuestion, Sequence[Outcome[frozenset[str]]]]) -> VerifyRow:
    """An image's row. It is failed where it had questions and none of them was answered."""
    outcomes = [outcome for of_question in answers_of.values() for outcome in of_question]
    spent = [*([case.before.usage] if case.before else []), *(outcome.usage for outcome in outcomes)]
    usage = total_usage(spent) if spent else Usage()
    answers = {
        query: [outcome.value or outcome.error or "invalid_output" for outcome in of_question] for query, of_question in answers_of.items()
    }
    if not case.known and (failure := failure_of(outcomes)) is not None:
        return case.row(answers, usage, status="failed", reason=failure[0], detail=failure[1])
    return case.row(answers, usage)


def _orders(query: JudgeQuestion, seed: int) -> list[dict[str, Any]]:
    """What the prompt is told of the options, once for each of their two orders: those of a choice as drawn, and reversed."""
    if not query.is_choice:
        return [{"options": f"{first}, {second} or {CANNOT_TELL}"} for first, second in ((YES, NO), (NO, YES))]
    values = random.Random(seed).sample(query.options, len(query.options))
    return [{"values": order, "options": ", ".join((*order, CANNOT_TELL))} for order in (values, values[::-1])]


def _parse(content: dict[str, Any]) -> frozenset[str]:
    ticked = JudgeAnswer.model_validate(content).answer
    return frozenset([ticked] if isinstance(ticked, str) else ticked)
