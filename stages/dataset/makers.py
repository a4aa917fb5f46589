"""What a record's texts, boxes and verdicts came from: engine, model and revision, or the user's own data. Pure; knows no file."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from schemas.dataset import EngineDescription, ExportRecord, Maker
from schemas.rows import CaptionRow, GivableRow, RegionCaptionRow
from schemas.stage_json import StageJson
from stages.base import Image

Descriptions = Mapping[str, StageJson]
_Made = tuple[str, str, str | None, str | None]  # of, kind, model, revision
GIVEN, CORPUS, COMPUTED = "given", "corpus", "computed"


def described_engine(role: str, fields: Mapping[str, Any]) -> EngineDescription:
    """Of a local checkpoint the folder's name and its digest; never a path of the machine that it ran on."""
    model, weights = fields.get("model") or fields.get("config"), fields.get("weights")
    digest = f"weights {weights}" if weights and re.fullmatch(r"[0-9a-f]{16,64}", weights) else None
    name = model.rstrip("/").rsplit("/", 1)[-1] if model and model.startswith(("/", ".", "~")) else model
    return EngineDescription(role=role, kind=fields["kind"], model=name, revision=fields.get("revision") or digest)


def makers(image: Image, record: ExportRecord, before: Descriptions) -> list[Maker]:
    """Who made what is in the record, each once. `before`: what the fingerprints of the stages before the export hash."""
    return [_maker(*parts) for parts in dict.fromkeys(_makers(image, record, before))]


@lru_cache(maxsize=1024)
def _maker(of: str, kind: str, model: str | None, revision: str | None) -> Maker:
    return Maker(of=of, kind=kind, model=model, revision=revision)


def _makers(image: Image, record: ExportRecord, before: Descriptions) -> Iterator[_Made]:
    if record.alt is not None:
        yield "alt", CORPUS, None, None
    caption = image.optional(CaptionRow)
    for of, text in (("long", record.long), ("short", record.short)):
        if text is not None:
            yield _of_row(of, caption, before.get("caption"), "captioner")
    boxes = [region for region in record.regions if region.xyxy is not None]
    if any(region.score is not None for region in boxes):
        yield _of_stage("boxes", before.get("ground"), "detector")
    if any(region.score is None for region in boxes):
        yield "boxes", GIVEN, None, None
    if any(region.short or region.long for region in record.regions):
        yield _of_row("regions", image.optional(RegionCaptionRow), before.get("region_caption"), "captioner")
    negatives = [*record.negatives, *(negative for region in record.regions for negative in region.negatives)]
    for source in sorted({negative.source for negative in negatives}):
        if source == "written":
            yield _of_stage("negatives", before.get("hard_negative"), "writer")
        else:
            yield "negatives", GIVEN if source == "given" else COMPUTED, None, None
    if any(negative.verdict != "unverified" for negative in negatives):
        yield _of_stage("verdicts", before.get("verify"), "judge")


def _of_row(of: str, row: GivableRow | None, stage: StageJson | None, role: str) -> _Made:
    return (of, GIVEN, None, None) if row is not None and row.origin == "given" else _of_stage(of, stage, role)


def _of_stage(of: str, stage: StageJson | None, role: str) -> _Made:
    fields = stage.engines.get(role) if stage is not None else None
    if fields is None:
        return of, GIVEN if stage is not None and stage.given is not None else COMPUTED, None, None
    engine = described_engine(role, fields)
    return of, engine.kind, engine.model, engine.revision
