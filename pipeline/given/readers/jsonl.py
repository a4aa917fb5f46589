"""Importer of JSON lines: one object a line, UTF-8."""

import json
from collections.abc import Iterator
from typing import Any

from pipeline.corpus.lines import read_lines
from pipeline.given.source import GivenError, Raw, SourceFile

_MAX_DIGITS = 300


def read_jsonl(source: SourceFile) -> Iterator[Raw]:
    """A record for each line that is not blank; a line that cannot be read is a record with its reason.

    Raises: GivenError where the file is one JSON document over several lines, or an array.
    """
    is_first = True
    with source.open() as file:
        for number, line in enumerate(read_lines(file), 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if is_first and (text in (b"{", b"[") or text[:2] in (b"[{", b"[]") or (text[:1] == b"[" and text[-1:] == b",")):
                where = f"given.{source.stage}.path: {source.storage.url(source.path)}"
                raise GivenError(f"{where}: no JSON lines: one object a line was looked for, and one document over the whole file is there")
            if text:
                is_first = False
                yield parse_object(line, f"{source.path}:{number}")


def _integer(digits: str) -> int | float:
    """Of a number with more digits than any float holds, infinity: whoever needs a finite one refuses it."""
    return int(digits) if len(digits) < _MAX_DIGITS else float(digits)


def parse_object(data: bytes, place: str) -> Raw:
    """Bytes of one JSON value as a record."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Raw(place, reason="wrong_encoding", detail=f"not UTF-8: {error.reason} at byte {error.start}")
    try:
        record: Any = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        return Raw(place, reason="malformed_json", detail=str(error)[:200])
    return Raw(place, record)
