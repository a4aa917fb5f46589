"""Keeps the index under a workdir in step with the corpus: numbers shards, marks duplicates and what resembles a benchmark, lists units."""

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.benchmarks import RESEMBLES, Benchmarks, as_bits, read_benchmarks
from pipeline.corpus.discover import discover
from pipeline.corpus.formats.base import ShardFile
from pipeline.corpus.index import Unit, cut_units, index_shard, staying
from pipeline.corpus.look import looked
from pipeline.corpus.params import CorpusError, CorpusParams
from pipeline.storage import Storage
from schemas.arrow import from_table, to_table
from schemas.pixels import PIXELS
from schemas.rows import CorpusRow

_FOOTER = b"fgdata.corpus"
_ROWS_IN_GROUP = 1024
_FOLDER = "corpus"
_READERS = 16


@dataclass(frozen=True)
class ShardJob:
    """One shard to index: all that a worker needs, picklable. `looks`: of what the index in this workdir knows the headers alone."""

    params: CorpusParams
    shard: ShardFile
    known: list[CorpusRow] | None = None
    reads_all: bool = False
    looks: str | None = None


MapShards = Callable[[Callable[[ShardJob], list[CorpusRow]], Sequence[ShardJob]], Iterable[list[CorpusRow]]]


@dataclass(frozen=True)
class _Footer:
    """What an index file says of itself; listing a corpus reads these alone."""

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


def run_job(job: ShardJob) -> list[CorpusRow]:
    """The rows of one job: what a `map_shards` applies on whatever node."""
    if job.looks is not None:
        return looked(job.params, _read_all(Storage(job.looks), job.shard.shard_id))
    return index_shard(job.params, job.shard, job.known, reads_all=job.reads_all)


def thread_map(function: Callable[[ShardJob], list[CorpusRow]], jobs: Sequence[ShardJob]) -> Iterator[list[CorpusRow]]:
    """Results in order, a few shards at a time."""
    width = min(8, 2 * (os.cpu_count() or 1))
    with ThreadPoolExecutor(width) as pool:
        waiting = [pool.submit(function, job) for job in jobs[:width]]
        for position in range(len(jobs)):
            yield waiting.pop(0).result()
            following = position + width
            if following < len(jobs):
                waiting.append(pool.submit(function, jobs[following]))


def update_index(params: CorpusParams, workdir: Storage, map_shards: MapShards = thread_map) -> list[Unit]:
    """The units of the corpus as it is now, by shard number and place; what is new is indexed first.

    A shard keeps its number for ever; new ones get the next, in order of location. `map_shards` applies a function to
    jobs and returns the results in order (threads here, Ray in a run).

    Raises: CorpusError where the corpus is missing or holds no image, or its list of benchmarks is wrong.
    """
    benchmarks = read_benchmarks(params)
    shards = {shard.shard_id: shard for shard in discover(params)}
    footers = _footers(workdir)
    old = sorted((shard_id for shard_id in shards if shard_id in footers), key=lambda shard_id: footers[shard_id].number)
    new = sorted((shard_id for shard_id in shards if shard_id not in footers), key=lambda shard_id: shards[shard_id].location)
    _look(params, workdir, [shards[shard_id] for shard_id in old], footers, map_shards)
    changed = [shard_id for shard_id in old if _is_stale(params, shards[shard_id], footers[shard_id])]
    if new or changed or any(_marks_are_stale(params, footers[shard_id], shards, benchmarks) for shard_id in old):
        _Update(params, workdir, shards, footers, map_shards, benchmarks).run(old, changed, new)
    current = sorted((footers[shard_id] for shard_id in shards), key=lambda footer: (footer.number, footer.location))
    units = [unit for footer in current for unit in footer.units]
    if not units:
        raise CorpusError(
            f"{params.path}: no images in {len(shards)} shards: members must end in .jpg, .png, .webp or another image suffix"
        )
    return units


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


def index_path(shard_id: str) -> str:
    """Where the index of a shard lies in the workdir."""
    return f"{_FOLDER}/{shard_id}.parquet"


def _look(params: CorpusParams, workdir: Storage, shards: Sequence[ShardFile], footers: dict[str, _Footer], map_shards: MapShards) -> None:
    """Look once at the headers of shards that an older version indexed; a unit whose images have other pixels now has other inputs."""
    old = [shard for shard in shards if footers[shard.shard_id].pixels < PIXELS]
    jobs = [ShardJob(params, shard, looks=workdir.root) for shard in old]
    for shard, rows in zip(old, map_shards(run_job, jobs), strict=True):
        footer = footers[shard.shard_id]
        seen = replace(footer, units=tuple(cut_units(shard, footer.number, rows)), pixels=PIXELS)
        workdir.write(index_path(shard.shard_id), _encoded(rows, seen))
        footers[shard.shard_id] = seen


def _is_stale(params: CorpusParams, shard: ShardFile, footer: _Footer) -> bool:
    return footer.version != shard.version or not params.is_reading(footer.reading)


def _marks_are_stale(params: CorpusParams, footer: _Footer, shards: dict[str, ShardFile], benchmarks: Benchmarks | None) -> bool:
    """Duplicates were marked under another rule, or the first of them has left the corpus; or another list of benchmarks was in force."""
    if footer.benchmarks != (benchmarks.digest if benchmarks else ""):
        return True
    return footer.num_duplicates > 0 and (footer.duplicates != params.duplicates or any(name not in shards for name in footer.originals))


class _Update:
    """One pass that writes every index file that must change, in order of shard number.

    First come the images that were first before, in any shard; so a later addition never turns an old image into a duplicate.
    """

    def __init__(
        self,
        params: CorpusParams,
        workdir: Storage,
        shards: dict[str, ShardFile],
        footers: dict[str, _Footer],
        map_shards: MapShards,
        benchmarks: Benchmarks | None,
    ) -> None:
        self.params, self.workdir, self.shards, self.footers, self.map_shards = params, workdir, shards, footers, map_shards
        self.benchmarks = benchmarks
        self.first: dict[bytes, str] = {}

    def run(self, old: list[str], changed: list[str], new: list[str]) -> None:
        known = {shard_id: _read_all(self.workdir, shard_id) for shard_id in changed}
        self._settle(old, known)
        for shard_id in old:
            footer = self.footers[shard_id]
            is_stale = _marks_are_stale(self.params, footer, self.shards, self.benchmarks)
            if shard_id not in known and (is_stale or known.keys() & set(footer.originals)):
                marked = self._marked(shard_id, _read_all(self.workdir, shard_id))
                self._write(shard_id, footer.number, marked, is_new=False, reading=footer.reading)
        order = [*changed, *new]
        jobs = [self._job(shard_id, known.get(shard_id)) for shard_id in order]
        number = max((footer.number for footer in self.footers.values()), default=-1) + 1
        for shard_id, rows in zip(order, self.map_shards(run_job, jobs), strict=True):
            is_new = shard_id not in known
            self._write(shard_id, number if is_new else self.footers[shard_id].number, self._marked(shard_id, rows), is_new=is_new)
            number = max(number, self.footers[shard_id].number + 1)

    def _job(self, shard_id: str, known: list[CorpusRow] | None) -> ShardJob:
        reads_all = known is not None and not self.params.is_reading(self.footers[shard_id].reading)
        return ShardJob(self.params, self.shards[shard_id], known, reads_all)

    def _settle(self, old: list[str], known: dict[str, list[CorpusRow]]) -> None:
        """Enter what stays: first those that were first, then those whose first has gone."""
        orphans: list[tuple[str, str]] = []
        with ThreadPoolExecutor(_READERS) as pool:
            staying = list(pool.map(lambda shard_id: self._staying(shard_id, known), old))
        for shard_id, images in zip(old, staying, strict=True):
            for key, sha256, duplicate_of in images:
                if duplicate_of is None:
                    self.first.setdefault(bytes.fromhex(sha256), f"{shard_id}/{key}")
                else:
                    orphans.append((sha256, f"{shard_id}/{key}"))
        for sha256, reference in orphans:
            self.first.setdefault(bytes.fromhex(sha256), reference)

    def _staying(self, shard_id: str, known: dict[str, list[CorpusRow]]) -> list[tuple[str, str, str | None]]:
        if shard_id in known:
            rows = staying(self.shards[shard_id], known[shard_id])
            return [(row.key, row.sha256, row.duplicate_of) for row in rows if row.sha256 and _counts(row.status, row.reason)]
        with self.workdir.open(index_path(shard_id)) as file:
            records = pq.read_table(file, columns=["key", "sha256", "duplicate_of", "status", "reason"]).to_pylist()
        return [
            (row["key"], row["sha256"], row["duplicate_of"]) for row in records if row["sha256"] and _counts(row["status"], row["reason"])
        ]

    def _marked(self, shard_id: str, rows: list[CorpusRow]) -> list[CorpusRow]:
        return self._keep_out([self._mark(f"{shard_id}/{row.key}", row) for row in rows])

    def _keep_out(self, rows: list[CorpusRow]) -> list[CorpusRow]:
        """Filter the images that are ok and resemble one of the benchmarks'."""
        if self.benchmarks is None:
            return rows
        places = [place for place, row in enumerate(rows) if row.status == "ok" and row.phash is not None]
        near = self.benchmarks.nearest(as_bits([rows[place].phash or "" for place in places]))
        for place, found in zip(places, near, strict=True):
            if found is not None:
                detail = f"{found[1]} of 64 bits from {found[0]}"
                rows[place] = rows[place].model_copy(update={"status": "filtered", "reason": RESEMBLES, "detail": detail})
        return rows

    def _mark(self, reference: str, row: CorpusRow) -> CorpusRow:
        if not row.sha256 or not _counts(row.status, row.reason):
            return row
        first = self.first.setdefault(bytes.fromhex(row.sha256), reference)
        duplicate_of = None if first == reference else first
        is_filtered = duplicate_of is not None and self.params.duplicates == "filter"
        status, reason = ("filtered", "duplicate") if is_filtered else ("ok", None)
        detail = None if row.reason == RESEMBLES else row.detail  # that of a list that may have changed
        return row.model_copy(update={"duplicate_of": duplicate_of, "status": status, "reason": reason, "detail": detail})

    def _write(self, shard_id: str, number: int, rows: list[CorpusRow], *, is_new: bool, reading: str | None = None) -> None:
        shard = self.shards[shard_id]
        duplicates = [row.duplicate_of for row in rows if row.duplicate_of is not None]
        originals = tuple(sorted({name.partition("/")[0] for name in duplicates} - {shard_id}))
        units = tuple(cut_units(shard, number, rows))
        reading = reading or self.params.reading_digest()
        mark = self.benchmarks.digest if self.benchmarks else ""
        footer = _Footer(
            shard.location, shard.version, number, reading, self.params.duplicates, len(duplicates), originals, units, mark, PIXELS
        )
        content = _encoded(rows, footer)
        if not is_new:
            self.workdir.write(index_path(shard_id), content)
        elif not self.workdir.write_if_absent(index_path(shard_id), content):
            footer = _footer(self.workdir, shard_id)  # another driver was first: its numbers hold
        self.footers[shard_id] = footer


def _counts(status: str, reason: str | None) -> bool:
    """Whether an image takes part in the search for duplicates."""
    return status == "ok" or (status == "filtered" and reason in ("duplicate", RESEMBLES))


def _encoded(rows: Sequence[CorpusRow], footer: _Footer) -> bytes:
    content = {**footer.__dict__, "units": [[unit.id, unit.first_row, unit.num_rows, unit.rows_digest] for unit in footer.units]}
    table = to_table(rows, CorpusRow).replace_schema_metadata({_FOOTER: json.dumps(content).encode()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROWS_IN_GROUP)
    return sink.getvalue()


def _read_all(workdir: Storage, shard_id: str) -> list[CorpusRow]:
    with workdir.open(index_path(shard_id)) as file:
        return from_table(pq.read_table(file), CorpusRow)


def _footers(workdir: Storage) -> dict[str, _Footer]:
    names = [entry.path.rsplit("/", 1)[-1].removesuffix(".parquet") for entry in workdir.files(_FOLDER) if entry.path.endswith(".parquet")]
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(names, pool.map(lambda name: _footer(workdir, name), names), strict=True))


def _footer(workdir: Storage, shard_id: str) -> _Footer:
    try:
        with workdir.open(index_path(shard_id)) as file:
            content: dict[str, Any] = json.loads((pq.read_metadata(file).metadata or {})[_FOOTER])
    except (pa.ArrowInvalid, KeyError) as error:
        raise CorpusError(
            f"{workdir.url(index_path(shard_id))}: not an index of this version: delete it to index its shard again"
        ) from error
    number = content["number"]
    units = tuple(Unit(unit_id, shard_id, number, first, rows, of) for unit_id, first, rows, of in content["units"])
    return _Footer(**{**content, "originals": tuple(content["originals"]), "units": units})
