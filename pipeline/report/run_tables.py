"""What a report reads of one run: current tables only, one at a time, pruned to columns. Writes nothing, knows no page."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.api import Job, open_job
from pipeline.corpus.index import Unit
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from pipeline.ledger.tables import Table
from pipeline.storage import Storage
from stages.export import Export

Value = TypeVar("Value")
Result = TypeVar("Result")
READERS, WINDOW = 16, 512
_NESTING = re.compile(r"\.list\.element|\.key_value")


@dataclass(frozen=True)
class Coverage:
    """How much of a stage the figures were read from."""

    images_read: int
    images_committed: int

    @property
    def is_whole(self) -> bool:
        return self.images_read == self.images_committed


@dataclass(frozen=True)
class RunTables:
    """One configuration with the listing of its ledger at one moment; what is committed later is not seen."""

    path: Path
    job: Job
    state: State
    _placed: dict[str, dict[str, tuple[Item, Table | None]]] = field(default_factory=dict, repr=False)

    @property
    def stages(self) -> list[str]:
        """In run order, export last although other stages may not be read by it."""
        return sorted((node.name for node in self.state.graph), key=lambda name: name == Export.name)

    @property
    def workdir(self) -> Storage:
        return self.job.ledger.workdir

    @property
    def num_images(self) -> int:
        return sum(item.num_images for item in self.state.items(self.stages[0]))

    def committed(self, stage: str) -> list[tuple[Item, Table]]:
        """The stage's current tables, ordered by the digests that name their items: any first part of it is a fair sample."""
        if stage not in self.state.nodes:
            return []
        tables = [(item, table) for item, table in self.state.current_tables(stage) if table is not None]
        return sorted(tables, key=lambda pair: pair[0].id)

    def items(self, stage: str) -> dict[str, Item]:
        """Id -> item of those that have a table each."""
        return {item.id: item for item, _ in self.state.current_tables(stage)}

    def placed(self, stage: str, unit: Unit) -> tuple[Table | None, int]:
        """The stage's current table that holds a unit's rows, and the position of the first of them in it."""
        if stage not in self._placed:
            tables = self.state.current_tables(stage)
            self._placed[stage] = {unit.id: (item, table) for item, table in tables for unit in item.units}
        item, table = self._placed[stage][unit.id]
        before = [other.num_rows for other in item.units[: [member.id for member in item.units].index(unit.id)]]
        return table, sum(before)

    def sampled(self, stage: str, max_images: int) -> tuple[list[Table], Coverage]:
        """Tables that hold at least `max_images` images, or all there are; the same units in every stage."""
        chosen: list[Table] = []
        read = total = 0
        for item, table in self.committed(stage):
            total += item.num_images
            if read < max_images:
                chosen.append(table)
                read += item.num_images
        return chosen, Coverage(read, total)


def open_run(path: Path) -> RunTables:
    """The run of a configuration as it is now.

    Raises: ConfigError, StorageError, CorpusError.
    """
    job = open_job(path)
    return RunTables(path, job, job.state())


def read_columns(workdir: Storage, table: Table, wanted: Sequence[str]) -> pa.Table:
    """The table's columns at these dotted paths (`regions.negatives.type`) and below; paths that it lacks are left out."""
    with workdir.open(table.path) as file:
        parquet = pq.ParquetFile(file)
        leaves = [parquet.schema.column(i).path for i in range(len(parquet.schema))]
        return parquet.read(columns=[leaf for leaf in leaves if _is_wanted(leaf, wanted)])


def side_by_side(function: Callable[[Value], Result], values: Sequence[Value]) -> Iterator[Result]:
    """The results in order, several reads at a time: footers on S3 are a round trip each."""
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(values), WINDOW):
            yield from pool.map(function, values[start : start + WINDOW])


def _is_wanted(leaf: str, wanted: Sequence[str]) -> bool:
    path = _NESTING.sub("", leaf)
    return any(path == name or path.startswith(f"{name}.") for name in wanted)


def explode(table: pa.Table, column: str) -> pa.StructArray | None:
    """The structs of all lists of a column, in order; None where the table lacks the column."""
    if column not in table.schema.names:
        return None
    return _flat(table.column(column).combine_chunks())


def child(structs: pa.StructArray | None, name: str) -> pa.Array | None:
    """A field of structs; None where they lack it."""
    if structs is None or structs.type.get_field_index(name) < 0:
        return None
    return structs.field(name)


def children(structs: pa.StructArray | None, name: str) -> tuple[pa.Array, pa.Array] | None:
    """The members of a list field of all structs, and of each the position of its struct."""
    lists = child(structs, name)
    if lists is None:
        return None
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    parents: pa.Array = pc.list_parent_indices(lists)
    return _flat(lists), parents


def _flat(lists: Any) -> Any:
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    return pc.list_flatten(lists)


def column_values(table: pa.Table, column: str) -> Iterator[Any]:
    """The values of a whole column; nothing where the table lacks it. What stands inside lists is for `explode` and `child`."""
    assert "." not in column, f"{column} is inside a column: see explode"
    if column in table.schema.names:
        yield from table.column(column).to_pylist()
