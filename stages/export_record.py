"""The rows of an image's stages joined to one record: regions, their captions and their negatives. Pure; knows no files."""

from collections.abc import Mapping

from schemas.boxes import clip_box, normalise
from schemas.dataset import ExportRecord, ExportRegion
from schemas.rows import CaptionRow, CorpusRow, HardNegativeRow, Negative, Region, RegionCaption, RegionCaptionRow, Row, SelectRow


def export_record(corpus: CorpusRow, rows: Mapping[str, Row], key: str) -> ExportRecord:
    """All that the stages said of an image whose rows are all ok; a stage that the run has not is simply absent."""
    captions = rows.get("caption")
    long, short = (captions.long, captions.short) if isinstance(captions, CaptionRow) else (None, None)
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
        regions=_regions(corpus, rows),
    )


def _regions(corpus: CorpusRow, rows: Mapping[str, Row]) -> list[ExportRegion]:
    selected, captioned, denied = rows.get("select"), rows.get("region_caption"), rows.get("hard_negative")
    captions = {said.region: said for said in captioned.regions} if isinstance(captioned, RegionCaptionRow) else {}
    negatives = {said.region: said.negatives for said in denied.regions} if isinstance(denied, HardNegativeRow) else {}
    regions = selected.regions if isinstance(selected, SelectRow) else []
    return [_region(corpus, region, captions.get(i), negatives.get(i, [])) for i, region in enumerate(regions)]


def _region(corpus: CorpusRow, region: Region, caption: RegionCaption | None, negatives: list[Negative]) -> ExportRegion:
    inside = clip_box(region.xyxy, corpus.width, corpus.height) if corpus.width and corpus.height else None
    return ExportRegion(
        xyxy=region.xyxy,
        bbox=normalise(inside, corpus.width, corpus.height) if inside and corpus.width and corpus.height else None,
        score=region.score,
        phrase=region.phrase,
        start=region.start,
        end=region.end,
        head=region.head,
        short=caption.short if caption else None,
        long=caption.long if caption else None,
        attributes=caption.attributes if caption else [],
        negatives=negatives,
    )
