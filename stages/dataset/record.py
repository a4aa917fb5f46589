"""The rows of an image's stages joined to one record: regions, their captions and their negatives. Pure; knows no files."""

from typing import Any

from schemas.boxes import Box, clip_box, normalise
from schemas.dataset import ExportRecord, ExportRegion, TableRecord
from schemas.rows import CaptionRow, CorpusRow, Region, RegionCaption, RegionCaptionRow, SelectRow
from stages.base import Image
from stages.dataset.makers import Descriptions, makers
from stages.negatives.candidates import Released


def export_record(image: Image, denied: Released, key: str) -> ExportRecord:
    """All that the stages said of an image whose rows are all ok; a stage that the run has not is simply absent."""
    corpus, captions = image.corpus, image.optional(CaptionRow)
    long, short = (captions.long, captions.short) if captions else (None, None)
    return ExportRecord(
        key=key,
        source_key=corpus.key,
        source_shard=corpus.path,
        sha256=corpus.sha256 or "",
        width=corpus.width,
        height=corpus.height,
        alt=corpus.alt,
        long=long,
        short=short,
        negatives=denied.of_caption,
        regions=_regions(image, denied),
    )


def table_record(image: Image, record: ExportRecord, before: Descriptions) -> TableRecord:
    """The record with whence its image and its texts came."""
    corpus = image.corpus
    named: dict[str, Any] = {"source_url": corpus.url, "licence": corpus.licence, "source_status": corpus.source_status}
    return TableRecord(**vars(record), **named, made_by=makers(image, record, before))


def text_of(record: ExportRecord, wanted: str) -> str:
    """The caption that is wanted (long, short or alt), else the next best, else none at all: a reader must not miss the image."""
    order = {"short": ("short", "alt", "long"), "long": ("long", "short", "alt"), "alt": ("alt", "short", "long")}[wanted]
    return next((text for name in order if (text := getattr(record, name))), "")


def _regions(image: Image, denied: Released) -> list[ExportRegion]:
    corpus, selected, captioned = image.corpus, image.optional(SelectRow), image.optional(RegionCaptionRow)
    captions = {caption.region: caption for caption in captioned.regions} if captioned else {}
    if selected is None:
        return [_given_region(corpus, caption, i, denied) for i, caption in captions.items()]
    return [_region(corpus, region, captions.get(i), i, denied) for i, region in enumerate(selected.regions)]


def _given_region(corpus: CorpusRow, caption: RegionCaption, index: int, denied: Released) -> ExportRegion:
    """Without select, the region captions were given, and what they are of is named by their own texts."""
    return ExportRegion(
        xyxy=caption.xyxy,
        bbox=_bbox(corpus, caption.xyxy),
        phrase=caption.short or caption.head,
        head=caption.head,
        short=caption.short,
        long=caption.long,
        attributes=caption.attributes,
        negatives=denied.negatives.get(index, []),
        group=denied.groups.get(index),
    )


def _bbox(corpus: CorpusRow, xyxy: Box | None) -> Box | None:
    if xyxy is None or not corpus.width or not corpus.height:
        return None
    inside = clip_box(xyxy, corpus.width, corpus.height)
    return normalise(inside, corpus.width, corpus.height) if inside else None


def _region(corpus: CorpusRow, region: Region, caption: RegionCaption | None, index: int, denied: Released) -> ExportRegion:
    return ExportRegion(
        xyxy=region.xyxy,
        bbox=_bbox(corpus, region.xyxy),
        score=region.score,
        phrase=region.phrase,
        start=region.start,
        end=region.end,
        head=region.head,
        short=caption.short if caption else None,
        long=caption.long if caption else None,
        attributes=caption.attributes if caption else [],
        negatives=denied.negatives.get(index, []),
        group=denied.groups.get(index),
    )
