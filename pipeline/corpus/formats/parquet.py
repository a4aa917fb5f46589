"""Parquet with a column of encoded bytes, or of structs with a field `bytes`, as Hugging Face and img2dataset write it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.formats.base import Reader, ShardFile
from pipeline.corpus.formats.describe import SOURCE_NAMES, alt_of, described, failed, rest_of, source_of, too_long
from pipeline.corpus.params import CorpusError, CorpusParams
from pipeline.corpus.pixels import MAX_FILE_BYTES
from pipeline.storage import Entry, Storage
from schemas.names import storable
from schemas.rows import CorpusRow

_IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "img")
_KEY_COLUMNS = ("key", "__key__")
_ALT_COLUMNS = ("caption", "alt", "text", "alt_text")
_SOURCE_COLUMNS = frozenset(("error_message", *(name for names in SOURCE_NAMES.values() for name in names)))
_ROWS_AT_ONCE = 32
_FILES_LOOKED_AT = 8


@dataclass(frozen=True)
class _Columns:
    """Which columns say what."""

    image: str
    key: str | None
    alt: str | None


def holds_images(params: CorpusParams, storage: Storage, files: Sequence[Entry]) -> bool:
    """Whether the first file that can be read has a column of images."""
    for entry in files[:_FILES_LOOKED_AT]:
        try:
            with storage.open(entry.path) as file:
                return _image_column(pq.read_schema(file), params.image_column) is not None
        except (pa.ArrowException, OSError) as error:
            if not _is_of_file(error):
                raise
    return False


def read_members(params: CorpusParams, storage: Storage, shard: ShardFile) -> list[CorpusRow]:
    """A row for each row of the table; of a file that is no Parquet, one failed row.

    Raises: CorpusError where the table lacks a column of images, or one that the configuration names.
    """
    with storage.open(shard.location) as file:
        try:
            table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            if not _is_of_file(error):
                raise
            return [failed(rest_of(shard, 0), reason="unreadable_shard", detail=str(error)[:200])]
        columns = _columns(params, shard, table.schema_arrow)
        state = [name for name in table.schema_arrow.names if name.lower() in _SOURCE_COLUMNS]
        wanted = [name for name in {columns.image, columns.key, columns.alt, *state} if name is not None]
        rows: list[CorpusRow] = []
        try:
            for group in range(table.num_row_groups):  # one by one: a batch over several would be lost with the worst of them
                for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, row_groups=[group], columns=wanted):
                    rows += [_row(params, shard, columns, record, len(rows) + place) for place, record in enumerate(_records(batch))]
        except (pa.ArrowException, OSError) as error:
            if not _is_of_file(error):
                raise
            total = table.metadata.num_rows
            detail = f"rows {len(rows)} to {total - 1} of {total} are not indexed: {' '.join(str(error).split())}"
            place = rest_of(shard, 0).model_copy(update={"offset": -1, "row": len(rows)})
            rows.append(failed(place, reason="unreadable_shard", detail=detail[:200]))
        return rows


def _records(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch; a text that is no UTF-8, which Arrow does not check, holds its bytes as Python's file names do."""
    try:
        records: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError:
        columns = {name: _lenient(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
        records = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return records


def _lenient(column: pa.Array) -> list[Any]:
    if pa.types.is_struct(column.type):
        return [{"bytes": data} for data in column.field("bytes").to_pylist()]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return list(column.to_pylist())
    kind = pa.binary() if pa.types.is_string(column.type) else pa.large_binary()
    return [None if data is None else data.decode("utf-8", "surrogateescape") for data in column.view(kind).to_pylist()]


def _is_of_file(error: Exception) -> bool:
    """Whether what the file holds is at fault. Arrow says so with an OSError too, which has no number as those of disks have."""
    return not isinstance(error, OSError) or (type(error) is OSError and error.errno is None)


def _row(params: CorpusParams, shard: ShardFile, columns: _Columns, record: dict[str, Any], number: int) -> CorpusRow:
    data = _image_bytes(record[columns.image])
    key = record[columns.key] if columns.key is not None else None
    alt, left_out = alt_of(record[columns.alt] if columns.alt is not None else None)
    place = CorpusRow(
        key=f"{number:09d}" if key is None else storable(str(key)),
        path=shard.location,
        offset=-1,
        size=len(data or b""),
        row=number,
        alt=alt,
        detail=left_out,
    ).model_copy(update=source_of(record))
    if data is None and record.get("status", "success") != "success":
        detail = f"{record['status']}: {record.get('error_message')}"[:200]
        return failed(place, reason="not_downloaded", detail=detail)
    if len(data or b"") > MAX_FILE_BYTES:
        return too_long(place, place.size)
    return described(params, place, data or b"")


def read_bytes(params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """The cells' bytes: row group by row group, in small batches, up to the last row that is wanted."""
    wanted = {row.row for row in rows}
    data_by_row: dict[int, bytes | None] = {}
    with storage.open(rows[0].path) as file:
        table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
        column = _image_column(table.schema_arrow, params.image_column)
        first = 0
        for group in range(table.num_row_groups):
            numbers = [number for number in wanted if first <= number < first + table.metadata.row_group(group).num_rows]
            position = first
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, row_groups=[group], columns=[column]) if numbers else ():
                for number in (number for number in numbers if position <= number < position + batch.num_rows):
                    data_by_row[number] = _image_bytes(batch.column(0)[number - position].as_py())
                position += batch.num_rows
                if position > max(numbers):
                    break
            first += table.metadata.row_group(group).num_rows
    return [data_by_row.get(row.row) for row in rows]


def _columns(params: CorpusParams, shard: ShardFile, schema: pa.Schema) -> _Columns:
    image = _image_column(schema, params.image_column)
    for wanted in (params.key_column, params.alt_column):
        if wanted is not None and wanted not in schema.names:
            raise CorpusError(f"{shard.location}: no column {wanted!r}; it has {', '.join(schema.names)}")
    if image is None:
        missing = "column of bytes" if params.image_column is None else f"column of bytes named {params.image_column!r}"
        raise CorpusError(f"{shard.location}: no {missing} among {', '.join(schema.names)}: set corpus.image_column")
    return _Columns(image, params.key_column or _named(schema, _KEY_COLUMNS), params.alt_column or _named(schema, _ALT_COLUMNS))


def _image_column(schema: pa.Schema, wanted: str | None) -> str | None:
    """The column that holds encoded bytes or structs with a field `bytes`; `wanted` alone where it is given."""
    names = [wanted] if wanted is not None else [*_IMAGE_COLUMNS, *(name for name in schema.names if name.lower() in _IMAGE_COLUMNS)]
    return next((name for name in names if name in schema.names and _holds_bytes(schema.field(name).type)), None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _named(schema: pa.Schema, candidates: tuple[str, ...]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(schema.names)}
    return next((by_lower[name] for name in candidates if name in by_lower), None)


def _image_bytes(value: Any) -> bytes | None:
    """The bytes of a cell: binary, or a struct with a field `bytes`."""
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None


READER = Reader(read_members, read_bytes, holds_images=holds_images)
