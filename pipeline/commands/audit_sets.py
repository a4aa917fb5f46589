"""Reads sets of positives and negatives for the audit: our exported data set, FG-OVD, SugarCrepe, any jsonl. Asks no probe."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar

import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

from pipeline.storage import Storage
from schemas.audit import AuditItem
from schemas.dataset import Manifest
from stages.audit.readings import guessed_type, head_noun

OWN, FORMATS = "fgdata", ("fgdata", "fgovd", "sugarcrepe", "jsonl")
_SUFFIXES = {"fgovd": (".jsonl", ".json"), "sugarcrepe": (".json",), "jsonl": (".jsonl", ".json", ".ndjson")}
_COLUMNS = ("key", "sha256", "long", "regions", "negatives")
LineT = TypeVar("LineT", bound=BaseModel)


class AuditInputError(ValueError):
    """The set to be audited is not there or not of its format: what, where, what to do."""


class _Fgovd(BaseModel):
    pos_expression: list[str] | str = Field(min_length=1)
    neg_expression: list[str] = Field(min_length=1)
    img_path: str | None = None
    image_id: int | str | None = None


class _SugarCrepe(BaseModel):
    filename: str | None = None
    caption: str
    negative_caption: str


class _Line(BaseModel):
    positive: str
    negatives: list[str] = Field(min_length=1)
    image: str | int | None = None
    noun: str | None = None
    types: list[str | None] | None = None


SHAPES: dict[str, tuple[type[BaseModel], str]] = {
    "fgovd": (_Fgovd, '{"pos_expression": [str], "neg_expression": [str, ...], "img_path": str}'),
    "sugarcrepe": (_SugarCrepe, '{"filename": str, "caption": str, "negative_caption": str}'),
    "jsonl": (_Line, '{"positive": str, "negatives": [str, ...]} and optionally "image", "noun", "types": [str, ...]'),
}


def read_set(path: str, format: str | None) -> tuple[str, Iterator[AuditItem]]:
    """The format, found or given, and the items in it, read as they are asked for.

    Raises: AuditInputError, also while items are read.
    """
    if format is not None and format not in FORMATS:
        raise AuditInputError(f"--format {format}: must be one of {', '.join(FORMATS)}")
    if format is None:
        if not Storage(path).exists("manifest.json"):
            raise AuditInputError(
                f"{path}: no data set of ours (no manifest.json in it); say what it is: --format fgovd, sugarcrepe or jsonl"
            )
        format = OWN
    return format, _own_items(path) if format == OWN else _foreign_items(path, format)


def _own_items(path: str) -> Iterator[AuditItem]:
    storage = Storage(path)
    try:
        manifest = Manifest.model_validate_json(storage.read("manifest.json"))
    except FileNotFoundError as error:
        raise AuditInputError(f"{path}: no manifest.json; is the export complete?") from error
    except ValidationError as error:
        raise AuditInputError(f"{path}/manifest.json: {_first(error)}; written by another version of fgdata?") from error
    for shard in manifest.shards:
        with storage.open(shard.parquet) as file:
            table = pq.ParquetFile(file)
            columns = [name for name in _COLUMNS if name in table.schema_arrow.names]
            for batch in table.iter_batches(batch_size=1024, columns=columns):
                for record in batch.to_pylist():
                    yield from _items_of_record(record)


def _items_of_record(record: dict[str, Any]) -> Iterator[AuditItem]:
    """The regions' items, and the long caption's where its negatives were exported."""
    texts = [(region["short"], region["negatives"], region["head"]) for region in record.get("regions") or []]
    texts.append((record.get("long"), record.get("negatives"), None))
    for positive, negatives, noun in texts:
        if positive and negatives:
            yield AuditItem(
                positive=positive,
                negatives=tuple(negative["text"] for negative in negatives),
                image=record["sha256"] or record["key"],
                noun=noun,
                types=tuple(negative["type"] for negative in negatives),
            )


def _foreign_items(path: str, format: str) -> Iterator[AuditItem]:
    for name, content in _files(path, _SUFFIXES[format]):
        for where, entry in _entries(name, content, format):
            shape, described = SHAPES[format]
            yield _READERS[format](_validated(shape, entry, where, described), name, where)


def _files(path: str, suffixes: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The file, or the files of the folder that have a suffix of the format, with their names."""
    folder, _, name = path.rstrip("/").rpartition("/")
    parent = Storage(folder or ("/" if path.startswith("/") else "."))
    if not parent.exists(name):
        raise AuditInputError(f"{path}: no such file or folder")
    if any(entry.path == name for entry in parent.files()):
        yield name, parent.read(name)
        return
    inside = Storage(path)
    found = [entry.path for entry in inside.files() if entry.path.endswith(tuple(suffixes))]
    if not found:
        raise AuditInputError(f"{path}: no file that ends in {' or '.join(suffixes)} in it")
    for entry_name in sorted(found):
        yield entry_name, inside.read(entry_name)


def _entries(name: str, content: bytes, format: str) -> Iterator[tuple[str, Any]]:
    """(where, object) for each entry of a file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AuditInputError(f"{name}: not UTF-8 at byte {error.start}; convert it first") from error
    if format == "sugarcrepe":
        whole = _parsed(text, name)
        if not isinstance(whole, dict | list):
            raise AuditInputError(f'{name}: must be an object {{"0": {{...}}, ...}}, not {type(whole).__name__}')
        yield from ((f"{name} entry {key}", entry) for key, entry in (whole.items() if isinstance(whole, dict) else enumerate(whole)))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{name} line {number}", _parsed(line, f"{name} line {number}")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise AuditInputError(f"{where}: not JSON ({error.msg} at column {error.colno}); correct or remove it") from error
    except RecursionError as error:
        raise AuditInputError(f"{where}: nested too deeply to be such a set") from error


def _validated(shape: type[LineT], entry: Any, where: str, described: str) -> LineT:
    try:
        return shape.model_validate(entry)
    except ValidationError as error:
        raise AuditInputError(f"{where}: {_first(error)}; it must be {described}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _from_fgovd(entry: Any, _name: str, _where: str) -> AuditItem:
    positive = entry.pos_expression if isinstance(entry.pos_expression, str) else entry.pos_expression[0]
    image = entry.img_path if entry.img_path is not None else entry.image_id
    return _item(positive, entry.neg_expression, image)


def _from_sugarcrepe(entry: Any, name: str, _where: str) -> AuditItem:
    """Its files are one type each."""
    return _item(entry.caption, [entry.negative_caption], entry.filename, types=[PurePosixPath(name).stem])


def _from_line(entry: Any, _name: str, where: str) -> AuditItem:
    if entry.types is not None and len(entry.types) != len(entry.negatives):
        raise AuditInputError(f"{where}: {len(entry.types)} types for {len(entry.negatives)} negatives; give one each, or none")
    return _item(entry.positive, entry.negatives, entry.image, entry.noun, entry.types)


def _item(
    positive: str, negatives: Sequence[str], image: str | int | None, noun: str | None = None, types: Sequence[str | None] | None = None
) -> AuditItem:
    return AuditItem(
        positive=positive,
        negatives=tuple(negatives),
        image=None if image is None else str(image),
        noun=noun.lower() if noun else head_noun(positive),
        types=tuple(types) if types else tuple(guessed_type(positive, negative) for negative in negatives),
    )


_READERS: dict[str, Callable[[Any, str, str], AuditItem]] = {
    "fgovd": _from_fgovd,
    "sugarcrepe": _from_sugarcrepe,
    "jsonl": _from_line,
}
