"""Reads sets of positives and negatives for the audit: our exported data set, or files of a foreign format. Asks no probe."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.commands.audit_formats import FOREIGN, ForeignFormat
from pipeline.corpus.lines import read_lines
from pipeline.storage import Storage
from schemas.audit import AuditItem
from schemas.dataset import Manifest
from stages.audit.first_sentence import Captioned
from stages.audit.readings import caption_items

OWN = "fgdata"
FORMATS = (OWN, *FOREIGN)
_COLUMNS = ("key", "sha256", "long", "regions", "negatives")
_NAMED_LINES = 20
_LONG_NUMBER = "a number of thousands of digits"  # which Python's json does not read


class AuditInputError(ValueError):
    """The set to be audited is not there or not of its format: what, where, what to do."""


@dataclass
class LeftOut:
    """What is not audited: bad entries by reason, with the places of the first, where they may be skipped; and what a set discards."""

    skips_bad: bool = False
    bad: dict[str, list[str]] = field(default_factory=dict)
    num_bad: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def refuse(self, where: str, reason: str, advice: str) -> None:
        """Count a bad entry.

        Raises: AuditInputError unless bad entries are skipped.
        """
        if not self.skips_bad:
            raise AuditInputError(f"{where}: {reason}; {advice}, or leave such entries out with --skip-bad")
        self.num_bad[reason] += 1
        places = self.bad.setdefault(reason, [])
        if len(places) < _NAMED_LINES:
            places.append(where)


def read_set(path: str, format: str | None, left_out: LeftOut | None = None) -> tuple[str, Iterator[AuditItem]]:
    """The format, found or given, and the items in it, read as they are asked for. `left_out` is filled meanwhile.

    Raises: AuditInputError, also while items are read.
    """
    if format is not None and format not in FORMATS:
        raise AuditInputError(f"--format {format}: must be one of {', '.join(FORMATS)}")
    if format is None:
        if not Storage(path).exists("manifest.json"):
            raise AuditInputError(
                f"{path}: no data set of ours (no manifest.json in it); say what it is: --format {', '.join(list(FOREIGN)[:-1])} or "
                f"{list(FOREIGN)[-1]}"
            )
        format = OWN
    return format, _own_items(path) if format == OWN else _foreign_items(path, FOREIGN[format], left_out or LeftOut())


def own_records(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The records of a data set of ours, these columns of them where they are there.

    Raises: AuditInputError.
    """
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
            present = [name for name in columns if name in table.schema_arrow.names]
            for batch in table.iter_batches(batch_size=1024, columns=present):
                yield from batch.to_pylist()


def own_captions(path: str) -> Iterator[Captioned]:
    """Of each image of a data set of ours the long caption and what else is said of it: its regions, else its alt text, else the short one.

    Raises: AuditInputError.
    """
    for record in own_records(path, ("key", "alt", "long", "short", "regions")):
        expressions = " ".join(region["long"] or region["short"] or "" for region in record.get("regions") or []).strip()
        yield record["key"], record.get("long") or "", expressions or record.get("alt") or record.get("short") or ""


def _own_items(path: str) -> Iterator[AuditItem]:
    """The regions' items, and the long captions' where their negatives were exported."""
    for record in own_records(path, _COLUMNS):
        image = record["sha256"] or record["key"]
        for region in record.get("regions") or []:
            if region["short"] and region["negatives"]:
                texts, types = zip(*((negative["text"], negative["type"]) for negative in region["negatives"]), strict=True)
                yield AuditItem(positive=region["short"], negatives=texts, image=image, noun=region["head"], types=types)
        if record.get("long") and record.get("negatives"):
            yield from caption_items(record["long"], [(negative["text"], negative["type"]) for negative in record["negatives"]], image)


def _foreign_items(path: str, format: ForeignFormat, left_out: LeftOut) -> Iterator[AuditItem]:
    for name, storage in _files(path, format.suffixes):
        for where, entry in _entries(storage, name, format, left_out):
            try:
                valid = format.shape.model_validate(entry)
            except ValidationError as error:
                left_out.refuse(where, _first(error), f"it must be {format.described}")
                continue
            for item in format.items(valid, name):
                if isinstance(item, AuditItem):
                    yield item
                else:
                    left_out.dropped[item] += 1


def _files(path: str, suffixes: Sequence[str]) -> Iterator[tuple[str, Storage]]:
    """The file, or the files of the folder that have a suffix of the format, with where they lie."""
    folder, _, name = path.rstrip("/").rpartition("/")
    parent = Storage(folder or ("/" if path.startswith("/") else "."))
    if not parent.exists(name):
        raise AuditInputError(f"{path}: no such file or folder")
    if any(entry.path == name for entry in parent.files()):
        yield name, parent
        return
    inside = Storage(path)
    paths = [entry.path for entry in inside.files() if entry.path.endswith(tuple(suffixes))]
    if not paths:
        raise AuditInputError(f"{path}: no file that ends in {' or '.join(suffixes)} in it")
    for entry_name in sorted(paths):
        yield entry_name, inside


def _entries(storage: Storage, name: str, format: ForeignFormat, left_out: LeftOut) -> Iterator[tuple[str, Any]]:
    """(where, object) for each entry of a file."""
    if format.holds == "lines":
        with storage.open(name) as file:
            yield from _lines(file, name, left_out)
        return
    text = _decoded(storage.read(name), name)
    if format.holds == "csv":
        yield from _rows(text, name)
        return
    whole = _parsed(text, name)
    if not isinstance(whole, dict | list):
        raise AuditInputError(f'{name}: must be an object {{"0": {{...}}, ...}}, not {type(whole).__name__}')
    yield from ((f"{name} entry {key}", entry) for key, entry in (whole.items() if isinstance(whole, dict) else enumerate(whole)))


def _rows(text: str, name: str) -> Iterator[tuple[str, Any]]:
    """The rows of a csv file; what stands beyond the named columns is left out, and so is what is empty."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""))
        for row in rows:
            yield f"{name} line {rows.line_num}", {key: value for key, value in row.items() if key is not None and value != ""}
    except csv.Error as error:
        raise AuditInputError(f"{name} line {rows.line_num}: no csv ({error}); correct or remove it") from error
    finally:
        csv.field_size_limit(before)


def _lines(file: Any, name: str, left_out: LeftOut) -> Iterator[tuple[str, Any]]:
    before = 0
    for number, line in enumerate(read_lines(file), start=1):
        where = f"{name} line {number}"
        try:
            text = line.removeprefix(b"\xef\xbb\xbf").decode() if number == 1 else line.decode()
            if text.strip():
                yield where, json.loads(text)
        except UnicodeDecodeError as error:
            place = "" if left_out.skips_bad else f" at byte {before + error.start}"
            left_out.refuse(name if not left_out.skips_bad else where, f"not UTF-8{place}", "convert it first")
        except json.JSONDecodeError as error:
            column = "" if left_out.skips_bad else f" at column {error.colno}"
            left_out.refuse(where, f"not JSON ({error.msg}{column})", "correct or remove it")
        except RecursionError:
            left_out.refuse(where, "nested too deeply to be such a set", "correct or remove it")
        except ValueError:
            left_out.refuse(where, _LONG_NUMBER, "correct or remove it")
        before += len(line) + 1


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AuditInputError(f"{name}: not UTF-8 at byte {error.start}; convert it first") from error


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise AuditInputError(f"{where}: not JSON ({error.msg} at column {error.colno}); correct or remove it") from error
    except RecursionError as error:
        raise AuditInputError(f"{where}: nested too deeply to be such a set") from error
    except ValueError as error:
        raise AuditInputError(f"{where}: {_LONG_NUMBER}; correct or remove it") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else str(message)
