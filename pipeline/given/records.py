"""Of each record of a source the name of its image and the fields that a stage reads, under our names. Checks no value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.given.names import MATCHES
from pipeline.given.params import GivenParams
from pipeline.given.source import Raw
from pipeline.given.tables import TABLES


@dataclass(frozen=True)
class GivenRecord:
    """A record as the index keeps it: what names its image, and its fields under our names, unchecked."""

    place: str
    name: str | None
    content: Mapping[str, Any]
    reason: str | None = None
    detail: str | None = None
    folder: tuple[str, ...] = ()


def projected(stage: str, params: GivenParams, raw: Raw) -> GivenRecord:
    """The fields that this stage reads, and no others: so another field's change is nobody's business."""
    match = MATCHES[params.matched_by]
    if raw.reason is not None:
        name, folder = (None, ()) if raw.name is None else (match.name_of(raw.name), match.folder(raw.name))
        return GivenRecord(raw.place, name, {}, raw.reason, raw.detail, folder)
    if not isinstance(raw.record, dict):
        return GivenRecord(raw.place, None, {}, "wrong_type", f"the record is {type(raw.record).__name__}, not an object")
    key = raw.name if raw.name is not None and "key" not in params.fields else _dig(raw.record, params.source_name("key"))
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if key is None or key == "":
        return GivenRecord(raw.place, None, {}, "missing_key", f"no field '{params.source_name('key')}' names the image")
    if not isinstance(key, str):
        return GivenRecord(raw.place, None, {}, "wrong_type", f"'{params.source_name('key')}' is {type(key).__name__}, not a text")
    return GivenRecord(raw.place, match.name_of(key), _content(stage, params, raw.record), folder=match.folder(key))


def encoded(content: Mapping[str, Any]) -> str:
    """JSON that is the same for the same content."""
    return json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


def _content(stage: str, params: GivenParams, record: Mapping[str, Any]) -> dict[str, Any]:
    content = {}
    for field in TABLES[stage].fields:
        value = _dig(record, params.source_name(field))
        if value is not None and field != "key":
            content[field] = value
    children = TABLES[stage].children
    if children in content and isinstance(content[children], list):
        content[children] = [_child(stage, params, child) for child in content[children]]
    return content


def _child(stage: str, params: GivenParams, child: Any) -> Any:
    if not isinstance(child, dict):
        return child
    names = {field: params.source_name(field) for field in TABLES[stage].fields}
    return {field: value for field, name in names.items() if (value := _dig(child, name)) is not None}


def _dig(record: Mapping[str, Any], name: str) -> Any:
    if name in record or "." not in name:
        return record.get(name)
    first, _, rest = name.partition(".")
    inner = record.get(first)
    return _dig(inner, rest) if isinstance(inner, dict) else None


def decoded(text: str) -> dict[str, Any]:
    """What `encoded` wrote."""
    content: dict[str, Any] = json.loads(text)
    return content
