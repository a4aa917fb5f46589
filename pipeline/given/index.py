"""Reads each file of a given source once into the workdir: `given/<stage>/<reading>/rows/<file>.parquet`. Matches nothing.

A row keeps the name of its image, a hash of it, its content as JSON, a digest of that, and its place in the source.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.params import digest
from pipeline.given.formats import FORMATS
from pipeline.given.names import MATCHES
from pipeline.given.params import GivenParams
from pipeline.given.records import GivenRecord, encoded, projected
from pipeline.given.source import GivenError, SourceFile, is_compressed, source_files, source_storage
from pipeline.storage import Storage

# Of how the index holds what is read (folders since 2). In no fingerprint: rows of the same content keep their digest.
_INDEX_VERSION = 2
_SHOWN = 6
_ENOUGH = 2  # nameless records that make a file one of another kind; a single one is listed
_CONTROL = re.compile(r"\\u00(?:0[0-8bcef]|1[0-9a-f]|7f|8[0-46-9a-f]|9[0-9a-f])")  # as `encoded` writes them
_ROWS_IN_GROUP = 256  # a worker reads a row group for each row that it wants, if the source is in another order than the corpus
ROWS_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("hash", pa.uint64()),
        ("digest", pa.string()),
        ("content", pa.string()),
        ("place", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("folder", pa.string()),
    ]
)


def place_of(stage: str, params: GivenParams) -> str:
    """Where the index of a stage's source lies in the workdir."""
    return f"given/{stage}/{params.reading_digest(stage)}-{_INDEX_VERSION}"


def rows_path(stage: str, params: GivenParams, file_id: str) -> str:
    """Where the rows of one source file lie in the workdir."""
    return f"{place_of(stage, params)}/rows/{file_id}.parquet"


def read_source(stage: str, params: GivenParams, workdir: Storage) -> list[str]:
    """The ids of the source's files, all of them read; a file is read again only where its version changed.

    Raises: GivenError where there is no file, or one that is of another kind than was said.
    """
    storage, entries = source_storage(params.path), source_files(stage, params.path, FORMATS[params.format].suffixes)
    known = {entry.path.rsplit("/", 1)[-1].removesuffix(".parquet") for entry in workdir.files(f"{place_of(stage, params)}/rows")}
    ids = {digest([entry.path, entry.version]): entry for entry in entries}
    for file_id, entry in ids.items():
        if file_id not in known:
            source = SourceFile(storage, entry.path, stage, MATCHES[params.matched_by])
            _read_file(params, source, workdir, rows_path(stage, params, file_id))
    return sorted(ids)


def name_hash(name: str) -> int:
    """64 bits: of 12 million names two share one with probability 4e-6."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _read_file(params: GivenParams, source: SourceFile, workdir: Storage, target: str) -> None:
    with tempfile.TemporaryDirectory(prefix="fgdata-given-") as folder:
        path = Path(folder) / "rows"
        with pq.ParquetWriter(path, ROWS_SCHEMA, compression="zstd") as writer:
            waiting: list[dict[str, object]] = []
            for record in _records(params, source):
                waiting.append(_indexed(record))
                if len(waiting) == _ROWS_IN_GROUP:
                    writer.write_table(pa.Table.from_pylist(waiting, ROWS_SCHEMA))
                    waiting = []
            if waiting:
                writer.write_table(pa.Table.from_pylist(waiting, ROWS_SCHEMA))
        workdir.write_file(target, path)


def _records(params: GivenParams, source: SourceFile) -> Iterator[GivenRecord]:
    """Raises: GivenError where no record at all names an image: it is a file of another kind."""
    if is_compressed(source.path):
        yield GivenRecord(source.path, None, {}, "compressed_file", "decompress it, or leave it out by a glob")
        return
    num_records, num_nameless, has = 0, 0, ""
    for raw in FORMATS[params.format].read(source):
        record = projected(source.stage, params, raw)
        num_records += 1
        num_nameless += record.reason == "missing_key"
        if num_records == 1 and isinstance(raw.record, dict):
            has = ", ".join(str(key) for key in [*raw.record][:_SHOWN])
        yield record
    if num_records >= _ENOUGH and num_nameless == num_records:
        where = f"given.{source.stage}.path: {source.storage.url(source.path)}"
        wanted = f"none of its {num_records} records has the field '{params.source_name('key')}' that names an image"
        raise GivenError(f"{where}: {wanted}; the first has {has or 'none'}: correct path, format or fields")


def _indexed(record: GivenRecord) -> dict[str, object]:
    content = encoded(record.content)
    mark = f"{content}\0{record.reason}\0{record.detail}{_changed(content)}"
    return {
        "name": _storable(record.name),
        "hash": None if record.name is None else name_hash(record.name),
        "digest": hashlib.sha256(mark.encode()).hexdigest()[:16],
        "content": content,
        "place": _storable(record.place),
        "reason": record.reason,
        "detail": _storable(record.detail),
        "folder": _storable("/".join(record.folder)),
    }


def _changed(content: str) -> str:
    """A mark of rows that are judged another way than 0.1.0 did: control characters are refused."""
    return "\0controls" if _CONTROL.search(content) else ""


def _storable(text: str | None) -> str | None:
    """Lone surrogates, which JSON can hold and UTF-8 cannot, are written as escapes."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()
