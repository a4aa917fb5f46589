"""The rules by which a corpus filters images: sizes that are read off the index. Knows no other image."""

from pipeline.corpus.params import CorpusParams, digest
from schemas.rows import CorpusRow

_PIXELS_IN_MEGAPIXEL = 1_000_000
_RULES = ("min_side_px", "max_aspect_ratio", "min_megapixels", "max_megapixels")


def rules_digest(params: CorpusParams) -> str:
    """Names the rules in force, near-duplicates among them; empty where there is none."""
    rules = {name: getattr(params, name) for name in _RULES if getattr(params, name) is not None}
    if params.near_duplicates == "filter":
        rules["near_duplicate_distance"] = params.near_duplicate_distance
    return digest(rules) if rules else ""


def sized(params: CorpusParams, row: CorpusRow) -> CorpusRow:
    """The row, filtered where its image is too small, too long for its width, or holds too few or too many pixels."""
    if row.status != "ok" or row.width is None or row.height is None:
        return row
    short, long = sorted((row.width, row.height))
    megapixels = short * long / _PIXELS_IN_MEGAPIXEL
    size = f"{row.width} x {row.height} pixels"
    if params.min_side_px is not None and short < params.min_side_px:
        return filtered(row, reason="too_small", detail=f"{size}, shorter side below {params.min_side_px}")
    if params.max_aspect_ratio is not None and long > params.max_aspect_ratio * short:
        return filtered(row, reason="too_elongated", detail=f"{size}, longer over shorter side above {params.max_aspect_ratio:g}")
    if params.min_megapixels is not None and megapixels < params.min_megapixels:
        return filtered(row, reason="too_few_pixels", detail=f"{size}, below {params.min_megapixels:g} megapixels")
    if params.max_megapixels is not None and megapixels > params.max_megapixels:
        return filtered(row, reason="too_many_pixels", detail=f"{size}, above {params.max_megapixels:g} megapixels")
    return row


def filtered(row: CorpusRow, *, reason: str, detail: str | None) -> CorpusRow:
    """The row of an image that a rule keeps out; `reason` is a word from docs/formats.md."""
    return row.model_copy(update={"status": "filtered", "reason": reason, "detail": detail})
