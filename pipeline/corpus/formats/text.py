"""A corpus without pixels: each line of a .jsonl file names an image. Knows no image bytes."""

import json
from collections.abc import Sequence

from pipeline.corpus.formats.base import Reader, ShardFile
from pipeline.corpus.formats.describe import alt_of, failed, source_of
from pipeline.corpus.lines import read_lines
from pipeline.corpus.params import CorpusParams
from pipeline.storage import Storage
from schemas.names import storable
from schemas.rows import TEXT_FORMAT, CorpusRow


def read_members(params: CorpusParams, storage: Storage, shard: ShardFile) -> list[CorpusRow]:
    """A row for each line that is not blank; one that names no image is failed, and named by its number."""
    with storage.open(shard.location) as file:
        return [_row(params, shard, line, number) for number, line in enumerate(read_lines(file)) if line.strip()]


def _row(params: CorpusParams, shard: ShardFile, line: bytes, number: int) -> CorpusRow:
    place = CorpusRow(key=f"{number:09d}", path=shard.location, offset=-1, size=len(line), row=number, format=TEXT_FORMAT)
    name = params.key_column or "key"
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return failed(place, reason="unreadable", detail=str(error)[:200])
    key = record.get(name) if isinstance(record, dict) else None
    if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
        return failed(place, reason="unreadable", detail=f"the line has no '{name}'")
    alt, width, height = (record.get(field) for field in (params.alt_field, "width", "height"))
    text, left_out = alt_of(alt if isinstance(alt, str) and alt.strip() else None)
    given = {"key": storable(str(key)), "alt": text, "detail": left_out, **source_of(record)}
    has_size = all(isinstance(side, int) and 0 < side < 2**31 for side in (width, height))
    return place.model_copy(update={**given, "width": width, "height": height} if has_size else given)


def read_bytes(_params: CorpusParams, _storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """There are none."""
    return [None] * len(rows)


READER = Reader(read_members, read_bytes)
