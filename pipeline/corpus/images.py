"""Images of a unit: their bytes, then upright pixels. Blocks; callers run it in threads. Knows no stage and no format."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from pipeline.corpus.formats.base import reader_of
from pipeline.corpus.formats.table import FORMATS, format_of
from pipeline.corpus.params import CorpusParams, corpus_storage
from pipeline.corpus.pixels import Problem, decode
from schemas.rows import CorpusRow, Row


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
    positions: dict[tuple[str, str], list[int]] = defaultdict(list)  # of a format and shard; files of a folder are read together
    for position, row in enumerate(rows):
        if row.status == "ok":
            corpus_format = format_of(row.path)
            positions[corpus_format.name, "" if corpus_format.grows else row.path].append(position)
    content: list[bytes | None] = [None] * len(rows)
    for (name, _), places in positions.items():
        read = reader_of(FORMATS[name]).read_bytes(params, storage, [rows[place] for place in places])
        for place, data in zip(places, read, strict=True):
            content[place] = data
    return content


def _checked(row: CorpusRow, data: bytes | None) -> Problem | None:
    if data is None:
        return Problem("missing", f"{row.path} has gone since it was indexed")
    if hashlib.sha256(data).hexdigest() != row.sha256:
        return Problem("changed", f"{row.path}: not the bytes that were indexed; index again")
    return None
