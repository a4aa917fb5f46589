"""Importer of Parquet: one row an image, nested columns as JSON would have them."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.given.source import GivenError, Raw, SourceFile

_ROWS_AT_ONCE = 256


def read_parquet(source: SourceFile) -> Iterator[Raw]:
    """A record for each row.

    Raises: GivenError where the file is no Parquet.
    """
    with source.open() as file:
        try:
            table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
        except pa.ArrowInvalid as error:
            raise GivenError(f"{source.storage.url(source.path)}: no Parquet file: {str(error)[:200]}; write it again") from error
        number = 0
        for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE):
            for record in batch.to_pylist(maps_as_pydicts="lossy"):
                yield Raw(f"{source.path}:{number}", record)
                number += 1
