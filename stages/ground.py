"""ground: phrases of the long caption, and every detection of them above a low floor, with its scores."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from schemas.boxes import clip_box
from schemas.rows import CaptionRow, Detection, GroundRow, Phrase, Usage
from stages.answers import ask, question
from stages.base import Image, Stage, StageParams, seed_of
from stages.engines.base import DetectRequest, Found
from stages.phrases import chunk_phrases, given_phrases, spacy_phrases


class GroundParams(StageParams):
    phrases: Literal["chunker", "spacy", "llm"] = Field("chunker", description="Who finds the phrases.")
    spacy_model: str = Field("en_core_web_sm", description="Installed package or folder of the spaCy model.")
    prompt: str = Field("v1", description="Version of the prompt for the task phrases (reader llm).")
    attempts: int = Field(3, ge=1, description="Times the reader is asked (reader llm).")
    floor: float = Field(0.1, ge=0, le=1, description="Detections below this score are not kept; select's thresholds lie above it.")


class ListedPhrase(BaseModel):
    text: str
    noun: str


class ListedPhrases(BaseModel):
    """What the answer schema of the task phrases holds."""

    phrases: list[ListedPhrase]


class Ground(Stage[GroundParams, GroundRow]):
    """Read phrases, ask the detector sentence by sentence. Marked phrases are kept and not asked."""

    name = "ground"
    version = 1
    reads = ("caption",)
    needs_pixels = True
    detector_roles = ("detector",)

    @classmethod
    def prompt_names(cls, params: GroundParams) -> dict[str, str]:
        return {"phrases": params.prompt} if params.phrases == "llm" else {}

    @classmethod
    def roles(cls, params: GroundParams) -> tuple[str, ...]:
        return ("reader", "detector") if params.phrases == "llm" else ("detector",)

    async def run(self, unit: Sequence[Image], attempt: int) -> list[GroundRow]:
        read = await self._read(unit, attempt)
        requests, owners = [], []
        for position, (image, (phrases, _, error)) in enumerate(zip(unit, read, strict=True)):
            for group in [] if error else _by_sentence(phrases):
                requests.append(DetectRequest(image.rgb, tuple(phrases[i].text for i in group)))
                owners.append((position, group))
        answers = await self.context.detectors["detector"].detect(requests, self.params.floor) if requests else []
        detections: list[list[Detection]] = [[] for _ in unit]
        for (position, group), found in zip(owners, answers, strict=True):
            detections[position] += _detections(unit[position], group, found)
        return [
            _row(image, phrases, usage, error, boxes) for image, (phrases, usage, error), boxes in zip(unit, read, detections, strict=True)
        ]

    async def _read(self, unit: Sequence[Image], attempt: int) -> list[tuple[list[Phrase], Usage, str | None]]:
        texts = [image.row(CaptionRow).long or "" for image in unit]
        if self.params.phrases == "chunker":
            return [(chunk_phrases(text), Usage(), None) for text in texts]
        if self.params.phrases == "spacy":
            return [(spacy_phrases(text, self.params.spacy_model), Usage(), None) for text in texts]
        questions = [
            question(self.context.prompts["phrases"], {"caption": text}, seed=seed_of(self.context.fingerprint, image.key, attempt))
            for image, text in zip(unit, texts, strict=True)
        ]
        outcomes = await ask(self.context.generators["reader"], questions, _parse, self.params.attempts)
        return [
            (given_phrases(text, outcome.value)[0] if outcome.value is not None else [], outcome.usage, outcome.error)
            for text, outcome in zip(texts, outcomes, strict=True)
        ]


def _parse(content: dict[str, Any]) -> list[tuple[str, str]]:
    return [(phrase.text, phrase.noun) for phrase in ListedPhrases.model_validate(content).phrases]


def _by_sentence(phrases: Sequence[Phrase]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for index, phrase in enumerate(phrases):
        if phrase.mark is None:
            groups.setdefault(phrase.sentence, []).append(index)
    return [groups[number] for number in sorted(groups)]


def _detections(image: Image, group: Sequence[int], found: Sequence[Found]) -> list[Detection]:
    kept = []
    for box in found:
        inside = clip_box(box.xyxy, image.rgb.width, image.rgb.height)
        if inside is not None:
            kept.append(Detection(phrase=group[box.phrase], xyxy=inside, score=box.score, score_max=box.score_max))
    return kept


def _row(image: Image, phrases: list[Phrase], usage: Usage, error: str | None, detections: list[Detection]) -> GroundRow:
    if error is not None:
        return GroundRow(key=image.key, status="failed", reason=error, usage=usage)
    return GroundRow(key=image.key, width=image.rgb.width, height=image.rgb.height, phrases=phrases, detections=detections, usage=usage)
