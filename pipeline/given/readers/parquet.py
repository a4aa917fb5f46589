"""Importer of Parquet: one row an image, nested columns as JSON would have them."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.given.source import GivenError, Raw, SourceFile

_ROWS_AT_ONCE = 256


def read_parquet(source: SourceFile) -> Iterator[Raw]:
    """A record for each row; one whose text is no UTF-8 is a record with its reason.

    Raises: GivenError where the file is no Parquet, or a page of it is broken.
    """
    where, number = f"given.{source.stage}.path: {source.storage.url(source.path)}", 0
    with source.open() as file:
        try:
            table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE):
                for record in _records(batch):
                    place = f"{source.path}:{number}"
                    yield (
                        Raw(place, record) if record is not None else Raw(place, reason="wrong_encoding", detail="a text that is not UTF-8")
                    )
                    number += 1
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise  # of the disk or the store, not of what the file holds
            problem = f"cannot be read from row {number} on" if number else "no Parquet file"
            raise GivenError(f"{where}: {problem}: {' '.join(str(error).split())[:200]}; write it again") from error


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    try:
        yield from batch.to_pylist(maps_as_pydicts="lossy")
    except UnicodeDecodeError:
        for position in range(batch.num_rows):
            try:
                yield batch.slice(position, 1).to_pylist(maps_as_pydicts="lossy")[0]
            except UnicodeDecodeError:
                yield None
