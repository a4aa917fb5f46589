"""Tars and tables whose times have changed: where a file that was copied, restored or cloned holds what it held, its shard goes on.

Such a file is read once. Where every key, digest and text is that of the old index, the shard keeps its id, its number and its units.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pipeline.corpus.formats.base import Read, ShardFile
from pipeline.corpus.formats.table import FORMATS
from pipeline.corpus.index import cut_units
from pipeline.corpus.jobs import MapShards, ShardJob, run_job
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.store import Footer, encoded, index_path, read_all, read_footer
from pipeline.storage import Storage
from schemas.pixels import PIXELS
from schemas.rows import CorpusRow

UNMARKED = "unmarked"  # as the benchmarks of a footer: the marks are still to be made
_PLACE = ("path", "offset", "size", "row", "member", "pixels", "url", "licence", "source_status")


def named(shards: Sequence[ShardFile], footers: dict[str, Footer]) -> dict[str, ShardFile]:
    """The shards by id: that of the index which knows this version of the file, else one of their own."""
    born = {(footer.location, footer.version): footer.born for footer in footers.values() if footer.born}
    return {shard.shard_id: shard for shard in (replace(each, born=born.get((each.location, each.version), "")) for each in shards)}


def go_on(params: CorpusParams, workdir: Storage, shards: dict[str, ShardFile], footers: dict[str, Footer], map_shards: MapShards) -> None:
    """Read the files that a shard was made of before and whose version is new. `shards` and `footers` are brought up to date.

    One that holds something else is another shard: it is indexed here, its marks still to be made.
    """
    earlier: dict[str, list[str]] = defaultdict(list)
    for shard_id in sorted(footers, key=lambda shard_id: -footers[shard_id].number):
        earlier[footers[shard_id].location].append(shard_id)
    moved = [shard for shard_id, shard in shards.items() if shard_id not in footers and _has_version(shard) and shard.location in earlier]
    moved.sort(key=lambda shard: shard.location)
    number = max((footer.number for footer in footers.values()), default=-1) + 1
    for shard, read in zip(moved, map_shards(run_job, [ShardJob(params, shard) for shard in moved]), strict=True):
        del shards[shard.shard_id]
        again = next((known_id for known_id in earlier[shard.location] if _renew(params, workdir, shard, footers, known_id, read)), None)
        if again is not None:
            shards[again] = replace(shard, born=footers[again].born)
            continue
        shards[shard.shard_id] = shard
        reading = params.reading_digest()
        units = tuple(cut_units(shard, number, read.rows))
        fresh = Footer(shard.location, shard.version, number, reading, params.duplicates, 0, (), units, UNMARKED, PIXELS)
        fresh = replace(fresh, **vars(read.members))
        if not workdir.write_if_absent(index_path(shard.shard_id), encoded(read.rows, fresh)):
            fresh = read_footer(workdir, shard.shard_id)  # another driver was first: its numbers hold
        footers[shard.shard_id] = fresh
        number = max(number, fresh.number) + 1


def _has_version(shard: ShardFile) -> bool:
    return not FORMATS[shard.format].grows


def _renew(params: CorpusParams, workdir: Storage, shard: ShardFile, footers: dict[str, Footer], shard_id: str, read: Read) -> bool:
    """Whether the file holds what this index says; then its places are renewed and the index is of this version."""
    footer = footers[shard_id]
    known = read_all(workdir, shard_id)
    rows = _renewed(known, read.rows, has_text=params.is_reading(footer.reading))
    extra = [row for row in read.rows if row.key not in {old.key for old in known}] if rows is not None else []
    if rows is None or (extra and footer.members is not None):
        return False
    first = max((row.unit for row in known), default=-1) + 1  # what an earlier version did not see in the same file
    rows += [row.model_copy(update={"unit": first + place // params.unit_size}) for place, row in enumerate(extra)]
    born = footer.born or footer.version
    units = tuple(cut_units(replace(shard, born=born), footer.number, rows))
    mark = UNMARKED if extra else footer.benchmarks
    renewed = replace(footer, version=shard.version, born=born, units=units, pixels=PIXELS, benchmarks=mark, **vars(read.members))
    workdir.write(index_path(shard_id), encoded(rows, renewed))
    footers[shard_id] = renewed
    return True


def _renewed(known: Sequence[CorpusRow], read: Sequence[CorpusRow], *, has_text: bool) -> list[CorpusRow] | None:
    """The known rows with the places that were read; None where one is not as it was."""
    by_key = {row.key: row for row in read}
    rows = []
    for old in known:
        new = by_key.get(old.key)
        if new is None or new.sha256 != old.sha256 or (has_text and new.alt != old.alt):
            return None
        if old.sha256 is None and new.reason != old.reason:
            return None
        rows.append(old.model_copy(update={name: getattr(new, name) for name in _PLACE}))
    return rows
