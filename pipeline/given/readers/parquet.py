"""Importer of Parquet: one row an image, nested columns as JSON would have them."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.given.records import Raw
from pipeline.given.source import GivenError
from pipeline.storage import Entry, Storage

_ROWS_AT_ONCE = 256


def read_parquet(storage: Storage, entry: Entry) -> Iterator[Raw]:
    """A record for each row.

    Raises: GivenError where the file is no Parquet.
    """
    with storage.open(entry.path) as file:
        try:
            table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
        except pa.ArrowInvalid as error:
            raise GivenError(f"{storage.url(entry.path)}: no Parquet file: {str(error)[:200]}; write it again") from error
        number = 0
        for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE):
            for record in batch.to_pylist(maps_as_pydicts="lossy"):
                yield Raw(f"{entry.path}:{number}", record)
                number += 1
