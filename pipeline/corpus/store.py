"""The index files in the workdir: one a shard, its rows and in the footer what a listing needs. Knows no rule and reads no corpus."""

import dataclasses
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.index import Unit
from pipeline.corpus.listed.account import LeftOut
from pipeline.corpus.params import CorpusError
from pipeline.storage import Storage
from schemas.arrow import from_table, to_table
from schemas.rows import CorpusRow

_FOOTER = b"fgdata.corpus"
_ROWS_IN_GROUP = 1024
_FOLDER = "corpus"
READERS = 16


@dataclass(frozen=True)
class Footer:
    """What an index file says of itself; listing a corpus reads these alone. Fields with a default came later than the first index."""

    location: str
    version: str
    number: int
    reading: str
    duplicates: str
    num_duplicates: int
    originals: tuple[str, ...]
    units: tuple[Unit, ...]
    benchmarks: str = ""
    pixels: int = 0
    filters: str = ""
    # The version under which a shard was indexed whose times alone have changed since; empty: `version`.
    born: str = ""
    # What is in the shard beside its images; null: nobody counted, or the corpus' listing does.
    members: int | None = None
    sidecars: int = 0
    left_out: tuple[LeftOut, ...] = ()


def index_path(shard_id: str) -> str:
    """Where the index of a shard lies in the workdir."""
    return f"{_FOLDER}/{shard_id}.parquet"


def read_rows(workdir: Storage, unit: Unit) -> list[CorpusRow]:
    """The index rows of a unit, in order.

    Raises: FileNotFoundError where the workdir holds no such index.
    """
    with workdir.open(index_path(unit.shard_id)) as file:
        table = pq.ParquetFile(file)
        first = unit.first_row // _ROWS_IN_GROUP
        last = (unit.first_row + unit.num_rows - 1) // _ROWS_IN_GROUP
        part = table.read_row_groups(list(range(first, last + 1)))
    return from_table(part.slice(unit.first_row - first * _ROWS_IN_GROUP, unit.num_rows), CorpusRow)


def read_all(workdir: Storage, shard_id: str) -> list[CorpusRow]:
    """All index rows of a shard."""
    with workdir.open(index_path(shard_id)) as file:
        return from_table(pq.read_table(file), CorpusRow)


def read_columns(workdir: Storage, shard_id: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """These columns of a shard's index, a record a row; null where an older index lacks one."""
    with workdir.open(index_path(shard_id)) as file:
        table = pq.ParquetFile(file)
        there = [name for name in names if name in table.schema_arrow.names]
        records: list[dict[str, Any]] = table.read(columns=there).to_pylist()
    return [dict.fromkeys(names) | record for record in records]


def encoded(rows: Sequence[CorpusRow], footer: Footer) -> bytes:
    """An index file's content."""
    units = [[unit.id, unit.first_row, unit.num_rows, unit.rows_digest] for unit in footer.units]
    content = {**footer.__dict__, "units": units, "left_out": [dataclasses.astuple(each) for each in footer.left_out]}
    table = to_table(rows, CorpusRow).replace_schema_metadata({_FOOTER: json.dumps(content).encode()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROWS_IN_GROUP)
    return sink.getvalue()


def read_footers(workdir: Storage) -> dict[str, Footer]:
    """The footer of every index file, by shard id."""
    names = [entry.path.rsplit("/", 1)[-1].removesuffix(".parquet") for entry in workdir.files(_FOLDER) if entry.path.endswith(".parquet")]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(names, pool.map(lambda name: read_footer(workdir, name), names), strict=True))


def read_footer(workdir: Storage, shard_id: str) -> Footer:
    """What one index file says of itself.

    Raises: CorpusError where it is none.
    """
    try:
        with workdir.open(index_path(shard_id)) as file:
            content: dict[str, Any] = json.loads((pq.read_metadata(file).metadata or {})[_FOOTER])
    except (pa.ArrowInvalid, KeyError) as error:
        raise CorpusError(
            f"{workdir.url(index_path(shard_id))}: not an index of this version: delete it to index its shard again"
        ) from error
    number = content["number"]
    units = tuple(Unit(unit_id, shard_id, number, first, rows, of) for unit_id, first, rows, of in content["units"])
    left_out = tuple(LeftOut(*each) for each in content.get("left_out", ()))
    return Footer(**{**content, "originals": tuple(content["originals"]), "units": units, "left_out": left_out})
