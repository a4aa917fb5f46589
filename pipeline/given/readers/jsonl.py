"""Importer of JSON lines: one object a line, UTF-8."""

import json
from collections.abc import Iterator
from typing import Any

from pipeline.corpus.lines import read_lines
from pipeline.given.source import Raw, SourceFile


def read_jsonl(source: SourceFile) -> Iterator[Raw]:
    """A record for each line that is not blank; a line that cannot be read is a record with its reason."""
    with source.open() as file:
        for number, line in enumerate(read_lines(file), 1):
            if line.strip():
                yield parse_object(line, f"{source.path}:{number}")


def parse_object(data: bytes, place: str) -> Raw:
    """Bytes of one JSON value as a record."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Raw(place, reason="wrong_encoding", detail=f"not UTF-8: {error.reason} at byte {error.start}")
    try:
        record: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Raw(place, reason="malformed_json", detail=str(error)[:200])
    return Raw(place, record)
