"""What the sample browser is told of one image in one run: the shape of its JSON, and how it is made from the rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from pipeline.report.hygiene import flags
from pipeline.report.samples.unit_rows import Step, outcome
from schemas.boxes import Box
from schemas.rows import (
    CAPTION,
    BalanceRow,
    CaptionRow,
    Detection,
    Edit,
    Fact,
    GroundRow,
    Record,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    Row,
    SelectRow,
    VerifyRow,
)
from stages.negatives.candidates import entries_of, places_left

MAX_DROPPED = 80
Rows = Mapping[str, Row]


class NegativeView(Record):
    """A candidate. `released` is null where the run has no stage that releases."""

    text: str
    edits: list[Edit]
    type: str
    level: int
    source: str
    verdict: str
    released: bool | None = None


class TextView(Record):
    """A positive with its candidates."""

    positive: str
    verdict: str
    negatives: list[NegativeView]
    proposed: int
    rejects: dict[str, int]
    group: str | None = None


class RegionView(Record):
    """A box with what was said of it. `about` holds whatever else select stored; given expressions may have no box."""

    xyxy: Box | None
    phrase: str
    start: int | None
    end: int | None
    head: str
    score: float | None
    about: dict[str, str]
    short: str | None = None
    long: str | None = None
    attributes: list[tuple[str, str]] = Field(default_factory=list)
    reason: str | None = None
    notes: list[str] = Field(default_factory=list, description="What checks and probes found.")
    facts: list[tuple[str, str, str]] = Field(default_factory=list)
    texts: list[TextView] = Field(default_factory=list)


class PhraseView(Record):
    """A span of the long caption."""

    start: int
    end: int
    mark: str | None


class DroppedView(Record):
    """A detection that is no region."""

    xyxy: Box
    score: float | None
    phrase: str


class View(Record):
    """All of it, for one image and run."""

    status: str
    stage: str
    reason: str
    steps: list[tuple[str, str, str, str]]
    long: str | None = None
    short: str | None = None
    flags: list[str] = Field(default_factory=list)
    phrases: list[PhraseView] = Field(default_factory=list)
    regions: list[RegionView] = Field(default_factory=list)
    texts: list[TextView] = Field(default_factory=list, description="Of the long caption.")
    dropped: list[DroppedView] = Field(default_factory=list)


def view(steps: Sequence[Step], rows: Rows) -> View:
    """The view of an image from its steps and its rows by stage."""
    end = outcome(steps)
    caption, ground = rows.get("caption"), rows.get("ground")
    long = caption.long if isinstance(caption, CaptionRow) else None
    regions = _regions(rows)
    return View(
        status=end.status,
        stage=end.stage,
        reason=end.reason,
        steps=[(step.stage, step.status, step.reason, step.detail) for step in steps],
        long=long,
        short=caption.short if isinstance(caption, CaptionRow) else None,
        flags=flags(long) if long else [],
        phrases=_phrases(ground) if isinstance(ground, GroundRow) else [],
        regions=regions,
        texts=_texts(rows).get(CAPTION, []),
        dropped=_dropped(ground, regions) if isinstance(ground, GroundRow) else [],
    )


def _phrases(ground: GroundRow) -> list[PhraseView]:
    """Those that are spans of the caption; a given name need not be."""
    return [PhraseView(start=p.start, end=p.end, mark=p.mark) for p in ground.phrases if p.start is not None and p.end is not None]


def _regions(rows: Rows) -> list[RegionView]:
    select, captions = rows.get("select"), rows.get("region_caption")
    by_region = {caption.region: caption for caption in captions.regions} if isinstance(captions, RegionCaptionRow) else {}
    boxes = dict(enumerate(select.regions)) if isinstance(select, SelectRow) else {}
    texts, facts = _texts(rows), _facts(rows)
    return [_region(boxes.get(i), by_region.get(i), texts.get(i, []), facts.get(i, [])) for i in sorted({*boxes, *by_region})]


def _region(region: Region | None, caption: RegionCaption | None, texts: list[TextView], facts: list[Fact]) -> RegionView:
    return RegionView(
        xyxy=region.xyxy if region else caption.xyxy if caption else None,
        phrase=region.phrase if region else caption.short or caption.head if caption else "",
        start=region.start if region else None,
        end=region.end if region else None,
        head=region.head if region else caption.head if caption else "",
        score=region.score if region else None,
        about=_about(region) if region else {},
        short=caption.short if caption else None,
        long=caption.long if caption else None,
        reason=caption.reason if caption else None,
        notes=_notes(caption) if caption else [],
        attributes=[(attribute.type, attribute.value) for attribute in caption.attributes] if caption else [],
        facts=[(fact.type, fact.value, fact.verdict) for fact in facts if fact.is_positive],
        texts=texts,
    )


def _about(region: Region) -> dict[str, str]:
    shown = {"xyxy", "score", "phrase", "start", "end", "head"} | ({"num_boxes"} if region.num_boxes == 1 else set())
    values = {name: value for name, value in region.model_dump().items() if name not in shown and value is not None}
    return {name: _word(value) for name, value in values.items()}


def _notes(caption: RegionCaption) -> list[str]:
    notes = [_refusal(name, check, caption.refused_texts.get(name)) for name, check in caption.refused.items()]
    if caption.is_unique is False:
        notes.append("another region has the same short expression")
    if caption.leaked is not None:
        notes.append(f"leakage probe, another crop: {caption.swapped}{' (LEAKED)' if caption.leaked else ''}")
    return notes


def _refusal(name: str, check: str, text: str | None) -> str:
    """Which expression a check refused, and its words, so that the check can be judged by them."""
    return f"{name} expression refused: {check}" + (f": \u201c{text}\u201d" if text else "")


def _word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _facts(rows: Rows) -> dict[int, list[Fact]]:
    verify = rows.get("verify")
    by_region: dict[int, list[Fact]] = {}
    for fact in verify.facts if isinstance(verify, VerifyRow) else ():
        by_region.setdefault(fact.region, []).append(fact)
    return by_region


def _texts(rows: Rows) -> dict[int, list[TextView]]:
    """By region: all candidates as the furthest stage that holds them all knows them, with whether balance released them."""
    sound = [row for row in rows.values() if row.status == "ok"]
    candidates, balance = entries_of(sound, before="balance"), rows.get("balance")
    kept: list[RegionNegatives | None] = [None] * len(candidates)
    if isinstance(balance, BalanceRow) and balance.status == "ok" and len(balance.regions) == len(candidates):
        kept = [*balance.regions]  # one for each of what it read, in the same order
    by_region: dict[int, list[TextView]] = {}
    for text, left in zip(candidates, kept, strict=True):
        by_region.setdefault(text.region, []).append(_text(text, left))
    return by_region


def _text(text: RegionNegatives, left: RegionNegatives | None) -> TextView:
    """All candidates of a text; `left` is what balance left of it."""
    released = None if left is None else places_left(text, left)
    negatives = [
        NegativeView(
            text=negative.text,
            edits=negative.edits,
            type=negative.type,
            level=negative.level,
            source=negative.source,
            verdict=negative.verdict,
            released=None if released is None else place in released,
        )
        for place, negative in enumerate(text.negatives)
    ]
    return TextView(
        positive=text.positive,
        verdict=text.positive_verdict,
        negatives=negatives,
        proposed=text.num_proposed,
        rejects=(left or text).rejects,
        group=text.group,
    )


def _dropped(ground: GroundRow, regions: Sequence[RegionView]) -> list[DroppedView]:
    kept = {(region.xyxy, region.start) for region in regions}
    rest = [box for box in ground.detections if (box.xyxy, ground.phrases[box.phrase].start) not in kept]
    rest.sort(key=_worst_last)
    return [DroppedView(xyxy=box.xyxy, score=box.score, phrase=ground.phrases[box.phrase].text) for box in rest[:MAX_DROPPED]]


def _worst_last(box: Detection) -> float:
    return -(box.score or 0.0)
