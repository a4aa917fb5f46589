"""On a worker: the given rows of one unit, read by its shard's pointers and made into rows of their stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from pipeline.corpus.images import read_bytes
from pipeline.corpus.index import Unit
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.pixels import stored_orientation
from pipeline.given.boxes import Frame
from pipeline.given.checks import Refused, number_of
from pipeline.given.index import rows_path
from pipeline.given.params import GivenParams
from pipeline.given.records import decoded
from pipeline.given.tables import TABLES
from pipeline.storage import Storage
from schemas.rows import CorpusRow, GivableRow
from stages.base import Image

_MAX_SIDE = 2**31


@dataclass(frozen=True)
class _Record:
    """One indexed row of the source."""

    place: str
    content: str
    reason: str | None
    detail: str | None


_AMBIGUOUS = "several images have this name: name its folder, or match by path"


class GivenTable:
    """The given rows of one stage, unit by unit."""

    def __init__(self, stage: str, params: GivenParams, corpus: CorpusParams, workdir: Storage) -> None:
        self._stage, self._params, self._corpus, self._workdir = stage, params, corpus, workdir

    def rows(self, pointers: str, unit: Unit, members: Sequence[CorpusRow], images: Sequence[Image]) -> dict[str, GivableRow]:
        """The row of each image that has a given one, by key; of the others, where none is to be computed, that it has not.

        Images that the corpus or a stage upstream has stopped are left to the stage, as if nothing were given.
        """
        records = self._read(pointers, unit)
        rows = {}
        for position, (member, image) in enumerate(zip(members, images, strict=True)):
            if member.status != "ok" or any(row.status != "ok" for row in image.upstream.values()):
                continue
            if position in records:
                rows[image.key] = self._row(image, records[position], partial(self._orientation, member))
            elif self._params.missing == "skip":
                rows[image.key] = self._settled(image.key, "skipped", "not_given", None)
        return rows

    def _orientation(self, member: CorpusRow) -> int:
        (data,) = read_bytes(self._corpus, [member])
        return stored_orientation(data or b"")

    def _read(self, pointers: str, unit: Unit) -> dict[int, list[_Record]]:
        """Position in the unit -> the source's rows for it."""
        last = unit.first_row + unit.num_rows
        with self._workdir.open(pointers) as file:
            wanted = pq.read_table(file, filters=[("row", ">=", unit.first_row), ("row", "<", last)]).to_pylist()
        by_file: dict[str, dict[int, _Record]] = {}
        for file_id in dict.fromkeys(pointer["file"] for pointer in wanted):
            places = sorted({pointer["at"] for pointer in wanted if pointer["file"] == file_id})
            by_file[file_id] = self._read_rows(file_id, places)
        records: dict[int, list[_Record]] = {}
        for pointer in wanted:
            row = by_file[pointer["file"]][pointer["at"]]
            if pointer["is_ambiguous"]:
                row = replace(row, reason="ambiguous_name", detail=_AMBIGUOUS)
            records.setdefault(pointer["row"] - unit.first_row, []).append(row)
        return records

    def _read_rows(self, file_id: str, places: Sequence[int]) -> dict[int, _Record]:
        """Rows of one source file by their place in it; only the row groups that hold one are read."""
        records = {}
        with self._workdir.open(rows_path(self._stage, self._params, file_id)) as file:
            table = pq.ParquetFile(file)
            first = 0
            for group in range(table.num_row_groups):
                size = table.metadata.row_group(group).num_rows
                places_in_group = [place for place in places if first <= place < first + size]
                if places_in_group:
                    columns = table.read_row_group(group, columns=["place", "content", "reason", "detail"])
                    taken = columns.take([place - first for place in places_in_group]).to_pylist()
                    records.update({place: _Record(**record) for place, record in zip(places_in_group, taken, strict=True)})
                first += size
        return records

    def _row(self, image: Image, records: Sequence[_Record], orientation: Callable[[], int]) -> GivableRow:
        try:
            ambiguous = next((record for record in records if record.reason == "ambiguous_name"), None)
            if ambiguous is not None:
                raise Refused("ambiguous_name", ambiguous.detail or "")
            if len(records) > 1:
                raise Refused("duplicate_row", ", ".join(record.place for record in records))
            (record,) = records
            if record.reason is not None:  # a reader may have reasons that REASONS does not
                return self._settled(image.key, "failed", record.reason, f"{record.place}: {record.detail or ''}"[:300])
            content = decoded(record.content)
            return TABLES[self._stage].build(image, content, self._params, _frame(image, content, orientation))
        except Refused as refused:
            return self._settled(image.key, "failed", refused.reason, f"{records[0].place}: {refused.detail}"[:300])

    def _settled(self, key: str, status: Any, reason: str, detail: str | None) -> GivableRow:
        return TABLES[self._stage].row_type(key=key, status=status, reason=reason, detail=detail, origin="given")


def _frame(image: Image, content: Mapping[str, Any], orientation: Callable[[], int]) -> Frame | None:
    """The image's own size; where no pixels are at hand, the size that the row gives."""
    if image.width and image.height:
        return Frame(image.width, image.height, orientation)
    if content.get("width") is None or content.get("height") is None:
        return None
    width, height = number_of(content["width"], "'width'"), number_of(content["height"], "'height'")
    if max(width, height) >= _MAX_SIDE:
        raise Refused("wrong_type", f"{width:g} x {height:g} is the size of no image")
    return Frame(int(width), int(height)) if width >= 1 and height >= 1 else None
