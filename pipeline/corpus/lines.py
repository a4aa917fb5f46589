"""A corpus without pixels: each line of a .jsonl file names an image. Knows no image bytes."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from pipeline.corpus.discover import ShardFile
from pipeline.corpus.params import CorpusParams
from schemas.rows import TEXT_FORMAT, CorpusRow

_MAX_LINE_BYTES = 16 * 2**20
_CHUNK_BYTES = 2**20


def text_rows(params: CorpusParams, shard: ShardFile, file: BinaryIO) -> list[CorpusRow]:
    """A row for each line that is not blank; one that names no image is failed, and named by its number."""
    return [_row(params, shard, line, number) for number, line in enumerate(read_lines(file)) if line.strip()]


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a binary file, as a stream. A longer line is cut, so that no file can fill the memory, and then is no JSON."""
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > _MAX_LINE_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest


def _row(params: CorpusParams, shard: ShardFile, line: bytes, number: int) -> CorpusRow:
    where: dict[str, Any] = {"path": shard.location, "offset": -1, "size": len(line), "row": number, "format": TEXT_FORMAT}
    name = params.key_column or "key"
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return CorpusRow(key=f"{number:09d}", **where, status="failed", reason="unreadable", detail=str(error)[:200])
    key = record.get(name) if isinstance(record, dict) else None
    if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
        return CorpusRow(key=f"{number:09d}", **where, status="failed", reason="unreadable", detail=f"the line has no '{name}'")
    alt, width, height = (record.get(field) for field in (params.alt_field, "width", "height"))
    has_size = all(isinstance(side, int) and side > 0 for side in (width, height))
    return CorpusRow(
        key=str(key),
        **where,
        alt=alt if isinstance(alt, str) and alt.strip() else None,
        width=width if has_size else None,
        height=height if has_size else None,
    )
