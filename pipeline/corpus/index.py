"""One shard to its index rows, and rows to units. A pure function of the shard: runs on any node."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.corpus.formats.base import Read, ShardFile
from pipeline.corpus.formats.table import FORMATS
from pipeline.corpus.members import read_members, unique_keys
from pipeline.corpus.params import CorpusParams, digest
from schemas.names import original, storable
from schemas.rows import CorpusRow


@dataclass(frozen=True)
class Unit:
    """A contiguous slice of a shard's index: what is scheduled. `rows_digest` changes with anything a first stage sees.

    `id` is a digest of the shard's location, its version (of a folder: the members' content) and the member keys.
    """

    id: str
    shard_id: str
    shard_number: int
    first_row: int
    num_rows: int
    rows_digest: str


def index_shard(params: CorpusParams, shard: ShardFile, known: list[CorpusRow] | None = None, *, reads_all: bool = False) -> Read:
    """The rows of a shard in unit order, and what else is in it: each image's place, digest, upright size, alt text, or why it failed.

    `known` is its earlier index. Members keep their units. A folder's file that has not changed is not read again, unless
    `reads_all`; one that has is read and stays in its unit, one that vanished leaves its unit smaller, new ones form new
    units at the end.
    """
    earlier = known or []
    kept = [] if reads_all else unchanged(shard, earlier)
    read = read_members(params, shard, {_path(row) for row in kept})
    rows = kept + list(unique_keys(read.rows, {row.key for row in kept}))
    unit_of = {_place(row): row.unit for row in earlier}
    order = {_place(row): number for number, row in enumerate(earlier)}
    old = [row.model_copy(update={"unit": unit_of[_place(row)]}) for row in rows if _place(row) in unit_of]
    new = [row for row in rows if _place(row) not in unit_of]
    first = max(unit_of.values(), default=-1) + 1
    cut = [row.model_copy(update={"unit": first + number // params.unit_size}) for number, row in enumerate(new)]
    return Read(sorted(old, key=lambda row: order[_place(row)]) + cut, read.members)


def unchanged(shard: ShardFile, known: Sequence[CorpusRow]) -> list[CorpusRow]:
    """The known rows of a shard's files that are as they were; none of a shard that is one file, which is read whole."""
    versions = {file.path: file.version for file in shard.files}
    return [row for row in known if versions.get(_path(row)) == row.version and row.reason != "duplicate_key"]


def staying(shard: ShardFile, known: Sequence[CorpusRow]) -> list[CorpusRow]:
    """The known rows whose bytes are as they were, though other parameters may say other things of them."""
    return unchanged(shard, known) if FORMATS[shard.format].grows else list(known)


def cut_units(shard: ShardFile, number: int, rows: Sequence[CorpusRow]) -> list[Unit]:
    """The units of an indexed shard, in order of its rows."""
    starts = [position for position, row in enumerate(rows) if position == 0 or row.unit != rows[position - 1].unit]
    units = []
    for start, end in pairwise([*starts, len(rows)]):
        part = rows[start:end]
        if FORMATS[shard.format].grows:
            members = [[row.key, row.sha256 or row.version] for row in part]
            identity: list[object] = [shard.location, members]
        else:
            identity = [shard.location, shard.name_version, [row.key for row in part]]
        units.append(Unit(digest(identity), shard.shard_id, number, start, end - start, _rows_digest(part)))
    return units


def _rows_digest(rows: Sequence[CorpusRow]) -> str:
    return digest([_seen(row) for row in rows])


def _seen(row: CorpusRow) -> list[object]:
    """What a first stage sees of an image. Pixels that are as they ever were add nothing, so that units without others stay."""
    seen: list[object] = [row.key, row.status, row.reason, row.sha256, row.width, row.height, row.alt]
    return [*seen, row.pixels] if row.pixels else seen


def _place(row: CorpusRow) -> tuple[str, int, int, str]:
    """What tells a shard's rows apart; the member too, because a link lies where its target does."""
    return _path(row), row.offset, row.row, row.member


def _path(row: CorpusRow) -> str:
    """As a listing writes it now: earlier versions wrote control characters of names as they are."""
    return storable(original(row.path))
