"""ground: phrases of the long caption, and every detection of them above a low floor, with its scores."""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field

from schemas.boxes import clip_box
from schemas.check import Check
from schemas.hashed import renamed
from schemas.rows import CaptionRow, Detection, GroundRow, Phrase, Usage
from stages.answers import Outcome, ask, question
from stages.base import Image, Stage, seed_of
from stages.engines.base import DetectRequest, Found
from stages.params import StageParams
from stages.regions.evidence import best_boxes, with_agreement, with_lineup
from stages.regions.lineup import Lineup, lineup_of
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.phrases import chunk_phrases, given_phrases, spacy_phrases
from stages.words.spacy_reader import spacy_model_path


class GroundParams(StageParams):
    phrases: Literal["chunker", "spacy", "llm"] = Field("chunker", description="Who finds the phrases.")
    spacy_model: str = Field("en_core_web_sm", description="Installed package or folder of the spaCy model.")
    prompt: str = Field("v1", description="Version of the prompt for the task phrases (reader llm).")
    attempts: int = Field(3, ge=1, description="Times the reader is asked (reader llm).")
    min_stored_score: float = renamed(
        0.1, was="floor", ge=0, le=1, description="Detections below this score are not stored; select's thresholds lie above it."
    )
    near_misses: int = Field(
        16, ge=0, description="Near misses of the image's phrases that stand beside them in one more request: the absence test; 0: none."
    )
    second_detector: bool = renamed(False, was="second", description="Ask engines.second_detector too and record how far it agrees.")
    domain: Domain = Field(ANY_DOMAIN, description="The domain's words; absent: the block `domain` of the configuration.")


class ListedPhrase(BaseModel):
    """`within`, which v1 does not ask for, is the phrase with so much of the caption around it that the quote stands there once."""

    text: str
    noun: str
    within: str | None = None


class ListedPhrases(BaseModel):
    """What the answer schema of the task phrases holds."""

    phrases: list[ListedPhrase]


@dataclass
class _Reading:
    """The phrases of one image, or why there are none, and what was detected."""

    phrases: list[Phrase]
    usage: Usage = field(default_factory=Usage)
    error: str | None = None
    detail: str | None = None
    rejects: dict[str, int] = field(default_factory=dict)
    detections: list[Detection] = field(default_factory=list)


class Ground(Stage[GroundParams, GroundRow]):
    """Read phrases, ask the detector sentence by sentence, then all phrases among near misses. Marked phrases are kept and not asked."""

    name = "ground"
    version = 4
    reads = ("caption",)
    needs_pixels = True
    detector_roles = ("detector",)

    @classmethod
    def prompt_names(cls, params: GroundParams) -> dict[str, str]:
        return {"phrases": params.prompt} if params.phrases == "llm" else {}

    @classmethod
    def roles(cls, params: GroundParams) -> tuple[str, ...]:
        reader = ("reader",) if params.phrases == "llm" else ()
        return (*reader, "detector", *(("second_detector",) if params.second_detector else ()))

    @classmethod
    def checks(cls, params: GroundParams) -> Iterator[Check]:
        """That the phrase reader spaCy and its model are installed, where it is asked for."""
        if params.phrases != "spacy":
            return
        if importlib.util.find_spec("spacy") is None:
            yield Check("spaCy", False, "the package spacy is not installed", "pip install 'fgdata[spacy]'")
            return
        model = params.spacy_model
        act = f"install the model package {model}, or set stages.ground.phrases: chunker"
        yield Check("spaCy", spacy_model_path(model) is not None, model, act)

    async def run(self, unit: Sequence[Image], retry: int) -> list[GroundRow]:
        read = await self._read(unit, retry)
        groups = [(i, group) for i, reading in enumerate(read) for group in _by_sentence(reading.phrases)]
        for reading, answers in zip(read, await self._detect("detector", unit, read, groups), strict=True):
            reading.detections = answers
        await self._line_up(unit, read)
        if self.params.second_detector:
            for reading, answers in zip(read, await self._detect("second_detector", unit, read, groups), strict=True):
                reading.detections = with_agreement(reading.detections, answers)
        return [_row(image, reading) for image, reading in zip(unit, read, strict=True)]

    async def _detect(
        self, role: str, unit: Sequence[Image], read: Sequence[_Reading], groups: Sequence[tuple[int, list[int]]]
    ) -> list[list[Detection]]:
        """For each image what a detector finds of its phrases. `groups`: (place in the unit, phrases of one sentence)."""
        requests = [DetectRequest(unit[i].rgb, tuple(read[i].phrases[p].text for p in group)) for i, group in groups]
        answers = await self.context.detectors[role].detect(requests, self.params.min_stored_score) if requests else []
        detections: list[list[Detection]] = [[] for _ in unit]
        for (i, group), boxes in zip(groups, answers, strict=True):
            detections[i] += _detections(unit[i], group, boxes)
        return detections

    async def _line_up(self, unit: Sequence[Image], read: Sequence[_Reading]) -> None:
        """One more request an image: its phrases among near misses of themselves, and what they score on each box."""
        lineups = [
            lineup_of(reading.phrases, best_boxes(reading.detections), self.params.domain, self.params.near_misses) for reading in read
        ]
        asked = [i for i, lineup in enumerate(lineups) if lineup.controls]
        requests = [DetectRequest(unit[i].rgb, tuple(lineups[i].texts)) for i in asked]
        answers = await self.context.detectors["detector"].detect(requests, self.params.min_stored_score) if requests else []
        for i, answer in zip(asked, answers, strict=True):
            boxes = _detections(unit[i], range(len(lineups[i].texts)), answer)
            read[i].detections = with_lineup(read[i].detections, lineups[i], boxes)
            read[i].phrases = _with_near_misses(read[i].phrases, lineups[i])

    async def _read(self, unit: Sequence[Image], retry: int) -> list[_Reading]:
        texts, domain = [image.row(CaptionRow).long or "" for image in unit], self.params.domain
        if self.params.phrases == "chunker":
            return [_Reading(chunk_phrases(text, domain)) for text in texts]
        if self.params.phrases == "spacy":
            return [_Reading(spacy_phrases(text, self.params.spacy_model, domain)) for text in texts]
        questions = [
            question(
                self.context.prompts["phrases"],
                {"caption": text, "domain": domain},
                seed=seed_of(self.context.fingerprint, image.key, retry),
            )
            for image, text in zip(unit, texts, strict=True)
        ]
        outcomes = await ask(self.context.generators["reader"], questions, _parse, self.params.attempts)
        return [_listed(text, outcome, domain) for text, outcome in zip(texts, outcomes, strict=True)]


def _listed(text: str, outcome: Outcome[list[tuple[str, str, str | None]]], domain: Domain) -> _Reading:
    if outcome.value is None:
        return _Reading([], outcome.usage, outcome.error, outcome.detail)
    phrases, num_rejected = given_phrases(text, outcome.value, domain)
    return _Reading(phrases, outcome.usage, rejects={"not_verbatim": num_rejected} if num_rejected else {})


def _parse(content: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(phrase.text, phrase.noun, phrase.within) for phrase in ListedPhrases.model_validate(content).phrases]


def _by_sentence(phrases: Sequence[Phrase]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for index, phrase in enumerate(phrases):
        if phrase.mark is None:
            groups.setdefault(phrase.sentence, []).append(index)
    return [groups[number] for number in sorted(groups)]


def _detections(image: Image, group: Sequence[int], boxes: Sequence[Found]) -> list[Detection]:
    kept = []
    for box in boxes:
        inside = clip_box(box.xyxy, image.rgb.width, image.rgb.height)
        if inside is not None:
            kept.append(Detection(phrase=group[box.phrase], xyxy=inside, score=box.score, score_max=box.score_max))
    return kept


def _with_near_misses(phrases: Sequence[Phrase], lineup: Lineup) -> list[Phrase]:
    texts = [[control.text for control in lineup.controls if control.phrase == i] for i in range(len(phrases))]
    return [phrase.model_copy(update={"near_misses": own}) if own else phrase for phrase, own in zip(phrases, texts, strict=True)]


def _row(image: Image, read: _Reading) -> GroundRow:
    if read.error is not None:
        return GroundRow(key=image.key, status="failed", reason=read.error, detail=read.detail, usage=read.usage)
    return GroundRow(
        key=image.key,
        width=image.rgb.width,
        height=image.rgb.height,
        phrases=read.phrases,
        detections=read.detections,
        rejects=read.rejects,
        usage=read.usage,
    )
