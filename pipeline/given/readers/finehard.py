"""Importer of FineHARD json: one array of records, read as a stream. Knows which of its fields are which stage's."""

from collections.abc import Iterator
from typing import Any

from pipeline.given.readers.stream import JSON_ERRORS, items, shape
from pipeline.given.source import GivenError, Raw, SourceFile


def read_finehard(source: SourceFile) -> Iterator[Raw]:
    """A record for each element, with what this stage reads of it under our names, named by `f_path`.

    Raises: GivenError where the file is no array of such records.
    """
    number = num_named = 0
    try:
        for record in items(source, "item"):
            place = f"{source.path}:{number}"
            number += 1
            if not isinstance(record, dict):
                yield Raw(place, record)
                continue
            path = record.get("f_path")
            if not isinstance(path, str) or not path:
                yield Raw(place, reason="missing_key", detail="no field 'f_path' names the image")
                continue
            num_named += 1
            yield Raw(place, _READ[source.stage](record), path)
        if not num_named:
            _check_shape(source, number)
    except JSON_ERRORS as error:
        reason = "wrong_encoding" if "UTF-8" in str(error) or isinstance(error, UnicodeDecodeError) else "malformed_json"
        yield Raw(f"{source.path}:{number}", reason=reason, detail=f"cannot be read from record {number} on: {error}"[:300])


def _check_shape(source: SourceFile, num_records: int) -> None:
    outline, _ = shape(source)
    if num_records or outline != "an array":
        where = f"given.{source.stage}.path: {source.storage.url(source.path)}"
        raise GivenError(f"{where}: no FineHARD file: an array of objects with f_path was looked for, and {outline} is there")


def _caption(record: dict[str, Any]) -> dict[str, Any]:
    return {"long": record.get("caption"), "short": record.get("short_caption")}


def _ground(record: dict[str, Any]) -> dict[str, Any]:
    return {"boxes": _regions(record, lambda region: {"phrase": region.get("short_expr")})}


def _region_caption(record: dict[str, Any]) -> dict[str, Any]:
    return {"regions": _regions(record, lambda region: {"short": region.get("short_expr"), "long": region.get("long_expr")})}


def _hard_negative(record: dict[str, Any]) -> dict[str, Any]:
    return {"regions": _regions(record, lambda region: {"positive": region.get("short_expr"), "negatives": _negatives(region)})}


def _regions(record: dict[str, Any], fields: Any) -> Any:
    """The record's regions; what is no list of objects is left for the checks to name."""
    regions = record.get("bbox_info")
    if not isinstance(regions, list):
        return regions
    return [{"bbox": region.get("bbox"), **fields(region)} if isinstance(region, dict) else region for region in regions]


def _negatives(region: dict[str, Any]) -> Any:
    """Read only where the flag is 1, as the trainer does."""
    if region.get("flag_short_neg") != 1:
        return []
    texts = region.get("short_expr_negs")
    return list(texts.values()) if isinstance(texts, dict) else texts


_READ = {"caption": _caption, "ground": _ground, "region_caption": _region_caption, "hard_negative": _hard_negative}
FINEHARD_STAGES = tuple(_READ)
