"""Importer of FineHARD json: one array of records, read as a stream. Knows which of its fields are which stage's."""

from collections.abc import Iterator
from typing import Any

import ijson

from pipeline.given.source import Raw, SourceFile


def read_finehard(source: SourceFile) -> Iterator[Raw]:
    """A record for each element, with what this stage reads of it under our names, named by `f_path`."""
    number = 0
    with source.open() as file:
        try:
            for record in ijson.items(file, "item", use_float=True):
                place = f"{source.path}:{number}"
                number += 1
                if not isinstance(record, dict):
                    yield Raw(place, record)
                    continue
                path = record.get("f_path")
                if not isinstance(path, str) or not path:
                    yield Raw(place, reason="missing_key", detail="no field 'f_path' names the image")
                    continue
                yield Raw(place, _READ[source.stage](record), path)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            reason = "wrong_encoding" if "UTF-8" in str(error) or isinstance(error, UnicodeDecodeError) else "malformed_json"
            yield Raw(f"{source.path}:{number}", reason=reason, detail=f"cannot be read from record {number} on: {error}"[:300])


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
