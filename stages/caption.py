"""caption: a long and a short caption of the whole image, the alt text kept beside them."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from schemas.rows import CaptionRow
from stages.answers import Outcome, ask, question
from stages.base import Image, Stage, seed_of
from stages.params import StageParams
from stages.words.domain import ANY_DOMAIN, Domain


class CaptionParams(StageParams):
    prompt: str = Field("v1", description="Version of the prompt for the task caption.")
    attempts: int = Field(3, ge=1, description="Times a question is asked before its image is failed.")
    min_words_long: int = Field(1, ge=1, description="A shorter long caption is an invalid answer and is asked again.")
    domain: Domain = Field(ANY_DOMAIN, description="The domain's words; absent: the block `domain` of the configuration.")


class Captions(BaseModel):
    """What the answer schema of the task caption holds."""

    long: str
    short: str


class Caption(Stage[CaptionParams, CaptionRow]):
    """Ask the captioner for both captions in one answer. Writes their lengths, the finish reason and the attempts."""

    name = "caption"
    version = 2
    needs_pixels = True
    generator_roles = ("captioner",)

    @classmethod
    def prompt_names(cls, params: CaptionParams) -> dict[str, str]:
        return {"caption": params.prompt}

    @classmethod
    def looks_itself(cls, params: CaptionParams) -> bool:
        return False

    async def run(self, unit: Sequence[Image], retry: int) -> list[CaptionRow]:
        prompt = self.context.prompts["caption"]
        questions = (
            question(
                prompt,
                {"alt": image.alt, "domain": self.params.domain},
                seed=seed_of(self.context.fingerprint, image.key, retry),
                images=(image.shown(),),
                image_ids=(image.key,),
            )
            for image in unit
        )
        outcomes = await ask(self.context.generators["captioner"], questions, self._parse, self.params.attempts)
        return [_row(image, outcome) for image, outcome in zip(unit, outcomes, strict=True)]

    def _parse(self, content: dict[str, Any]) -> Captions:
        captions = Captions.model_validate(content)
        if len(captions.long.split()) < self.params.min_words_long or not captions.short.strip():
            raise ValueError(f"the long caption needs {self.params.min_words_long} words, the short one at least one")
        return Captions(long=captions.long.strip(), short=captions.short.strip())


def _row(image: Image, outcome: Outcome[Captions]) -> CaptionRow:
    common = {
        "key": image.key,
        "alt": image.alt,
        "width": image.width,
        "height": image.height,
        "finish_reason": outcome.finish_reason,
        "num_tokens": outcome.usage.completion_tokens,
        "usage": outcome.usage,
    }
    if outcome.value is None:
        return CaptionRow(**common, status="failed", reason=outcome.error, detail=outcome.detail)
    long, short = outcome.value.long, outcome.value.short
    return CaptionRow(**common, long=long, short=short, num_words_long=len(long.split()), num_words_short=len(short.split()))
