"""Keeps the index under a workdir in step with the corpus: numbers shards, has their images marked, lists units, counts what lies there."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline.corpus.benchmarks import Benchmarks, read_benchmarks
from pipeline.corpus.discover import LinkCheck, Listed, find
from pipeline.corpus.formats.base import ShardFile
from pipeline.corpus.formats.folder import num_shards_of
from pipeline.corpus.formats.table import FORMATS
from pipeline.corpus.index import Unit, cut_units, staying
from pipeline.corpus.jobs import MapShards as MapShards
from pipeline.corpus.jobs import ShardJob as ShardJob
from pipeline.corpus.jobs import run_job as run_job
from pipeline.corpus.jobs import thread_map as thread_map
from pipeline.corpus.listed.account import Account, Members, added_up
from pipeline.corpus.marks.marks import MARK_COLUMNS, Marked, Marker
from pipeline.corpus.marks.rules import rules_digest
from pipeline.corpus.params import CorpusError, CorpusParams
from pipeline.corpus.restored import go_on, named
from pipeline.corpus.store import READERS, Footer, encoded, read_all, read_columns, read_footer, read_footers
from pipeline.corpus.store import index_path as index_path
from pipeline.corpus.store import read_rows as read_rows
from pipeline.storage import Storage
from schemas.pixels import PIXELS
from schemas.rows import CorpusRow


@dataclass(frozen=True)
class Indexed:
    """The units of a corpus by shard number and place, and what else lies there."""

    units: list[Unit]
    account: Account


def update_index(params: CorpusParams, workdir: Storage, map_shards: MapShards = thread_map) -> list[Unit]:
    """The units of the corpus as it is now; see `update_corpus`."""
    return update_corpus(params, workdir, map_shards).units


@dataclass(frozen=True)
class Looked:
    """What the corpus and its index hold now, before anything is brought in step."""

    footers: dict[str, Footer]
    listed: Listed


def look_at(params: CorpusParams, workdir: Storage, check: LinkCheck | None = None) -> Looked:
    """A listing of the corpus, whose links `check` is asked about, and the footers of its index. Writes nothing.

    Raises: CorpusError where the corpus is missing or holds no image.
    """
    footers = read_footers(workdir)
    return Looked(footers, find(params, _num_folder_shards(footers), check))


def update_corpus(params: CorpusParams, workdir: Storage, map_shards: MapShards = thread_map, looked: Looked | None = None) -> Indexed:
    """The units of the corpus as it is now, by shard number and place; what is new is indexed first.

    A shard keeps its number for ever; new ones get the next, in order of location. `map_shards` applies a function to
    jobs and returns the results in order (threads here, Ray in a run). `looked`: what `look_at` just saw.

    Raises: CorpusError where the corpus is missing or holds no image, or its list of benchmarks is wrong.
    """
    benchmarks = read_benchmarks(params)
    looked = looked or look_at(params, workdir)
    footers, listed = looked.footers, looked.listed
    shards = named(listed.shards, footers)
    go_on(params, workdir, shards, footers, map_shards)
    old = sorted((shard_id for shard_id in shards if shard_id in footers), key=lambda shard_id: footers[shard_id].number)
    new = sorted((shard_id for shard_id in shards if shard_id not in footers), key=lambda shard_id: shards[shard_id].location)
    _look(params, workdir, [shards[shard_id] for shard_id in old], footers, map_shards)
    changed = [shard_id for shard_id in old if _is_stale(params, shards[shard_id], footers[shard_id])]
    if new or changed or any(_marks_are_stale(params, footers[shard_id], shards, benchmarks) for shard_id in old):
        _Update(params, workdir, shards, footers, map_shards, benchmarks).run(old, changed, new)
    current = sorted((footers[shard_id] for shard_id in shards), key=lambda footer: (footer.number, footer.location))
    units = [unit for footer in current for unit in footer.units]
    account = _account(listed, current, has_members=not any(FORMATS[shard.format].grows for shard in shards.values()))
    if not units:
        left_out = f"; left out: {', '.join(str(each) for each in account.left_out)}" if account.left_out else ""
        raise CorpusError(
            f"{params.path}: no images in {len(shards)} shards: members must end in .jpg, .png, .webp or another image suffix{left_out}"
        )
    return Indexed(units, account)


def _num_folder_shards(footers: dict[str, Footer]) -> int | None:
    """Into how many shards the files of the folder were grouped when it was indexed last."""
    numbers = [(footer.number, number) for footer in footers.values() if (number := num_shards_of(footer.location))]
    return max(numbers)[1] if numbers else None


def _account(listed: Listed, footers: Sequence[Footer], *, has_members: bool) -> Account:
    images = sum(unit.num_rows for footer in footers for unit in footer.units)
    parts = [footer for footer in footers if footer.members is not None] if has_members else []
    uncounted = [footer for footer in footers if footer.members is None] if has_members else []
    members = sum(footer.members or 0 for footer in parts) + sum(unit.num_rows for footer in uncounted for unit in footer.units)
    left_out = added_up([*listed.left_out, *(each for footer in parts for each in footer.left_out)])
    sidecars = listed.sidecars + sum(footer.sidecars for footer in parts)
    return Account(listed.files, len(footers) if has_members else 0, members, images, sidecars, left_out, len(uncounted))


def _look(params: CorpusParams, workdir: Storage, shards: Sequence[ShardFile], footers: dict[str, Footer], map_shards: MapShards) -> None:
    """Look once at the headers of shards that an older version indexed; a unit whose images have other pixels now has other inputs."""
    old = [shard for shard in shards if footers[shard.shard_id].pixels < PIXELS]
    jobs = [ShardJob(params, shard, looks=workdir.root, since=footers[shard.shard_id].pixels) for shard in old]
    for shard, read in zip(old, map_shards(run_job, jobs), strict=True):
        rows = read.rows
        footer = footers[shard.shard_id]
        seen = replace(footer, units=tuple(cut_units(shard, footer.number, rows)), pixels=PIXELS)
        workdir.write(index_path(shard.shard_id), encoded(rows, seen))
        footers[shard.shard_id] = seen


def _is_stale(params: CorpusParams, shard: ShardFile, footer: Footer) -> bool:
    return footer.version != shard.version or not params.is_reading(footer.reading)


def _marks_are_stale(params: CorpusParams, footer: Footer, shards: dict[str, ShardFile], benchmarks: Benchmarks | None) -> bool:
    """Images were marked under other rules or another list of benchmarks, or the first of a duplicate has left the corpus."""
    if footer.benchmarks != (benchmarks.digest if benchmarks else "") or footer.filters != rules_digest(params):
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
        footers: dict[str, Footer],
        map_shards: MapShards,
        benchmarks: Benchmarks | None,
    ) -> None:
        self.params, self.workdir, self.shards, self.footers, self.map_shards = params, workdir, shards, footers, map_shards
        self.benchmarks = benchmarks
        self.marker = Marker(params, benchmarks)

    def run(self, old: list[str], changed: list[str], new: list[str]) -> None:
        known = {shard_id: read_all(self.workdir, shard_id) for shard_id in changed}
        stale = [shard_id for shard_id in old if shard_id not in known and self._is_marked_again(shard_id, known)]
        self._settle(old, known, {*stale, *changed})
        for shard_id in stale:
            footer = self.footers[shard_id]
            marked = self.marker.mark(shard_id, read_all(self.workdir, shard_id))
            members = Members(footer.members, footer.sidecars, footer.left_out)
            self._write(shard_id, footer.number, marked, members, is_new=False, reading=footer.reading)
        order = [*changed, *new]
        jobs = [self._job(shard_id, known.get(shard_id)) for shard_id in order]
        number = max((footer.number for footer in self.footers.values()), default=-1) + 1
        for shard_id, read in zip(order, self.map_shards(run_job, jobs), strict=True):
            is_new = shard_id not in known
            rows = self.marker.mark(shard_id, read.rows)
            self._write(shard_id, number if is_new else self.footers[shard_id].number, rows, read.members, is_new=is_new)
            number = max(number, self.footers[shard_id].number + 1)

    def _is_marked_again(self, shard_id: str, known: dict[str, list[CorpusRow]]) -> bool:
        footer = self.footers[shard_id]
        return _marks_are_stale(self.params, footer, self.shards, self.benchmarks) or bool(known.keys() & set(footer.originals))

    def _job(self, shard_id: str, known: list[CorpusRow] | None) -> ShardJob:
        reads_all = known is not None and not self.params.is_reading(self.footers[shard_id].reading)
        return ShardJob(self.params, self.shards[shard_id], known, reads_all)

    def _settle(self, old: list[str], known: dict[str, list[CorpusRow]], marked_again: set[str]) -> None:
        """Enter what stays: first those that were first, then those whose first has gone."""
        with ThreadPoolExecutor(READERS) as pool:
            for shard_id, images in zip(old, pool.map(lambda shard_id: self._staying(shard_id, known), old), strict=True):
                rules = self.footers[shard_id].filters
                self.marker.enter(shard_id, images, rules=rules, is_marked_again=shard_id in marked_again)
        self.marker.enter_orphans()

    def _staying(self, shard_id: str, known: dict[str, list[CorpusRow]]) -> list[Marked]:
        """The images of a shard's index whose bytes are as they were and that could be read."""
        if shard_id in known:
            stay = staying(self.shards[shard_id], known[shard_id])
            records = [{name: getattr(row, name) for name in MARK_COLUMNS} for row in stay]
        else:
            records = read_columns(self.workdir, shard_id, MARK_COLUMNS)
        return [
            Marked(**{name: row[name] for name in MARK_COLUMNS if name != "status"})
            for row in records
            if row["sha256"] and row["status"] in ("ok", "filtered")
        ]

    def _write(
        self, shard_id: str, number: int, rows: list[CorpusRow], inside: Members, *, is_new: bool, reading: str | None = None
    ) -> None:
        shard = self.shards[shard_id]
        duplicates = [name for row in rows for name in (row.duplicate_of, row.near_duplicate_of) if name is not None]
        footer = Footer(
            location=shard.location,
            version=shard.version,
            number=number,
            reading=reading or self.params.reading_digest(),
            duplicates=self.params.duplicates,
            num_duplicates=len(duplicates),
            originals=tuple(sorted({name.partition("/")[0] for name in duplicates} - {shard_id})),
            units=tuple(cut_units(shard, number, rows)),
            benchmarks=self.benchmarks.digest if self.benchmarks else "",
            pixels=PIXELS,
            filters=self.marker.rules,
            born=shard.born,
        )
        if not FORMATS[shard.format].grows:  # whose files the listing counts
            footer = replace(footer, members=inside.members, sidecars=inside.sidecars, left_out=inside.left_out)
        content = encoded(rows, footer)
        if not is_new:
            self.workdir.write(index_path(shard_id), content)
        elif not self.workdir.write_if_absent(index_path(shard_id), content):
            footer = read_footer(self.workdir, shard_id)  # another driver was first: its numbers hold
        self.footers[shard_id] = footer
