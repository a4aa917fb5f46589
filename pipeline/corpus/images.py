"""Images of a unit: bytes by coalesced ranges, then upright pixels. Blocks; callers run it in threads. Knows no stage."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq
from PIL import Image

from pipeline.corpus.discover import find_image_column
from pipeline.corpus.members import image_bytes
from pipeline.corpus.params import CorpusParams, corpus_storage
from pipeline.corpus.pixels import Problem, decode
from pipeline.storage import Storage
from schemas.rows import CorpusRow, Row

MAX_GAP_BYTES = 2**20
MAX_SPAN_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Loaded:
    """One image: its pixels, upright RGB at full size, or the row that says why there are none."""

    row: CorpusRow
    image: Image.Image | None = None
    problem: Row | None = None


def load_images(params: CorpusParams, rows: Sequence[CorpusRow]) -> list[Loaded]:
    """The images of index rows, in order. Rows whose status is not ok are not read; no bad image raises.

    Raises: FileNotFoundError where a tar or Parquet shard has gone: that is a bad run, not a bad image.
    """
    loaded = []
    for row, data in zip(rows, read_bytes(params, rows), strict=True):
        if row.status != "ok":
            loaded.append(Loaded(row, problem=Row(key=row.key, status=row.status, reason=row.reason, detail=row.detail)))
            continue
        if not row.has_pixels:
            loaded.append(Loaded(row, problem=Row(key=row.key, status="skipped", reason="no_image")))
            continue
        result = _checked(row, data) or decode(data or b"", params.max_pixels_limit)
        if isinstance(result, Problem):
            loaded.append(Loaded(row, problem=Row(key=row.key, status="failed", reason=result.reason, detail=result.detail)))
        else:
            loaded.append(Loaded(row, image=result))
    return loaded


def read_bytes(params: CorpusParams, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """The source bytes of index rows, untouched and in order; None where there are none to be had.

    Raises: FileNotFoundError where a tar or Parquet shard has gone.
    """
    storage = corpus_storage(params)
    found: list[bytes | None] = [None] * len(rows)
    live = [(position, row) for position, row in enumerate(rows) if row.status == "ok" and row.has_pixels]
    whole = [(position, row) for position, row in live if row.version]
    for (position, _), data in zip(whole, storage.read_many([row.path for _, row in whole]), strict=True):
        found[position] = data
    for path in dict.fromkeys(row.path for _, row in live if not row.version):
        members = [(position, row) for position, row in live if row.path == path]
        read = _from_tar if members[0][1].offset >= 0 else _from_parquet
        for (position, _), data in zip(members, read(params, storage, [row for _, row in members]), strict=True):
            found[position] = data
    return found


def coalesced(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Byte ranges [start, end) merged where the gap is under 1 MiB, up to 64 MiB a span; sorted."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if spans and start - spans[-1][1] < MAX_GAP_BYTES and end - spans[-1][0] <= MAX_SPAN_BYTES:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _from_tar(_params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    spans = coalesced([(row.offset, row.offset + row.size) for row in rows])
    parts = storage.read_ranges(rows[0].path, spans)
    found: list[bytes | None] = []
    for row in rows:
        start, part = next(
            (start, part) for (start, end), part in zip(spans, parts, strict=True) if start <= row.offset < max(end, start + 1)
        )
        found.append(part[row.offset - start : row.offset - start + row.size])
    return found


def _from_parquet(params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """Row group by row group, in small batches, up to the last row that is wanted."""
    wanted = {row.row for row in rows}
    found: dict[int, bytes | None] = {}
    with storage.open(rows[0].path) as file:
        table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
        column = find_image_column(table.schema_arrow, params.image_column)
        first = 0
        for group in range(table.num_row_groups):
            here = [number for number in wanted if first <= number < first + table.metadata.row_group(group).num_rows]
            position = first
            for batch in table.iter_batches(batch_size=32, row_groups=[group], columns=[column]) if here else ():
                for number in (number for number in here if position <= number < position + batch.num_rows):
                    found[number] = image_bytes(batch.column(0)[number - position].as_py())
                position += batch.num_rows
                if position > max(here):
                    break
            first += table.metadata.row_group(group).num_rows
    return [found.get(row.row) for row in rows]


def _checked(row: CorpusRow, data: bytes | None) -> Problem | None:
    if data is None:
        return Problem("missing", f"{row.path} has gone since it was indexed")
    if hashlib.sha256(data).hexdigest() != row.sha256:
        return Problem("changed", f"{row.path}: not the bytes that were indexed; index again")
    return None
