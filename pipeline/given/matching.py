"""Which given rows are whose: for each shard a table of pointers into the source's rows, and a digest of each unit's rows.

Done by the driver, once for each (source as it is now, shard as it is now); what is there is read off footers. A worker gets
the path of its shard's pointers and reads the rows that they name, and no others.
"""

import hashlib
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.corpus.index import Unit
from pipeline.corpus.params import digest
from pipeline.given.crowds import Crowds, common, find_crowds, images_of, names_file
from pipeline.given.index import name_hash, place_of, read_source, rows_path
from pipeline.given.names import MATCHES, IndexedImage
from pipeline.given.params import GivenParams
from pipeline.storage import Storage

_READERS = 16
_FOOTER = b"fgdata.given"
_POINTERS = pa.schema([("row", pa.int64()), ("file", pa.string()), ("at", pa.int64()), ("is_ambiguous", pa.bool_())])
_UNMATCHED = pa.schema([("name", pa.string()), ("place", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
_ROWS_IN_GROUP = 1024
NOTHING = "0" * 12  # the digest of a unit without a given row


@dataclass(frozen=True)
class Matched:
    """One stage's given rows over a corpus: a digest and a place for each unit, and what became of the source's rows.

    `examples`: for each reason the first row, as its place and the name that it gives. `keeps` are the files of the workdir that this is
    read from.
    """

    stage: str
    digests: Mapping[str, str]
    pointers: Mapping[str, str]
    num_rows: int
    num_matched: int
    reasons: Mapping[str, int]
    examples: Mapping[str, str]
    num_images: int
    num_images_with_row: int
    unmatched: str
    keeps: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "rows": self.num_rows,
            "matched": self.num_matched,
            "unmatched": dict(self.reasons),
            "images": self.num_images,
            "images_with_row": self.num_images_with_row,
        }

    def line(self) -> str:
        """What a user is told of it."""
        rest = self.num_rows - self.num_matched
        why = ", ".join(f"{reason} {count}{self._example(reason)}" for reason, count in self.reasons.items())
        unmatched = f"; {rest} did not ({why}: see {self.unmatched})" if rest else ""
        if rest and not self.num_matched:
            unmatched += f"; given.{self.stage}.match says what names an image in these rows: key, file, path ..."
        return (
            f"given {self.stage}: {self.num_matched} of {self.num_rows} rows matched an image{unmatched}; "
            f"{self.num_images_with_row} of {self.num_images} images have one"
        )

    def _example(self, reason: str) -> str:
        return f", such as {self.examples[reason]}" if reason in self.examples else ""


@dataclass(frozen=True)
class _Rows:
    """All rows of a source in memory, 24 bytes each and their digests: sorted by the hash of their names."""

    hashes: npt.NDArray[np.uint64]
    files: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]
    folders: Sequence[str | None]

    def of(self, name: int) -> list["_Row"]:
        """The rows whose name has this hash."""
        wanted = np.uint64(name)
        start, end = (int(np.searchsorted(self.hashes, wanted, side)) for side in ("left", "right"))
        return [
            _Row(int(self.files[i]), int(self.places[i]), int(self.digests[i]), tuple((self.folders[i] or "").split("/")))
            for i in range(start, end)
        ]


class _Row(NamedTuple):
    file: int
    at: int
    digest: int
    folder: tuple[str, ...]


def match_given(stage: str, params: GivenParams, units: Sequence[Unit], workdir: Storage) -> Matched:
    """The source's rows matched with the images of these units; reads what is new of either.

    Raises: GivenError where the source is not there.
    """
    files = read_source(stage, params, workdir)
    folder = f"{place_of(stage, params)}/{digest(files)}"
    crowds_path = f"{folder}/crowds-{digest([unit.id for unit in units])}.json"
    shards = _by_shard(units)
    names = _pointers(stage, params, files, shards, workdir, crowds_path)
    summary_path = f"{folder}/summary-{digest(sorted(names))}.json"
    if not workdir.exists(summary_path):
        summary = _summarise(stage, params, files, [f"{folder}/{name}" for name in names], workdir, f"{folder}/unmatched.parquet")
        workdir.write(summary_path, json.dumps(summary, sort_keys=True).encode())
    summary = json.loads(workdir.read(summary_path))
    with ThreadPoolExecutor(_READERS) as pool:
        footers = list(pool.map(lambda name: _footer(workdir, f"{folder}/{name}"), names))
    return Matched(
        stage=stage,
        digests={unit_id: mark for footer in footers for unit_id, mark in footer.items()},
        pointers={unit.id: f"{folder}/{name}" for name, part in names.items() for unit in part},
        num_rows=summary["rows"],
        num_matched=summary["matched"],
        reasons=summary["reasons"],
        examples=summary.get("examples", {}),  # earlier versions kept none
        num_images=sum(unit.num_rows for unit in units),
        num_images_with_row=summary["images_with_row"],
        unmatched=workdir.url(f"{folder}/unmatched.parquet"),
        keeps=frozenset(
            [rows_path(stage, params, file_id) for file_id in files]
            + [f"{folder}/{name}" for name in (*names, "unmatched.parquet")]
            + [summary_path, crowds_path]
            + [f"{place_of(stage, params)}/names/{names_file(shard_id, part)}" for shard_id, part in shards.items()]
        ),
    )


def _pointers(
    stage: str, params: GivenParams, files: Sequence[str], shards: Mapping[str, list[Unit]], workdir: Storage, crowds_path: str
) -> dict[str, list[Unit]]:
    """The name of each shard's table of pointers, with its units; what is missing of them is written."""
    folder = crowds_path.rpartition("/")[0]
    rows: _Rows | None = None
    crowds: Crowds | None = None

    def loaded() -> tuple[_Rows, Crowds]:
        nonlocal rows, crowds
        rows = rows or _load(stage, params, files, workdir)
        crowds = crowds or find_crowds(params.matched_by, shards, rows.hashes, workdir, f"{place_of(stage, params)}/names")
        return rows, crowds

    marks = _known_marks(workdir, crowds_path)
    if marks is None:
        marks = {shard_id: mark for shard_id in shards if (mark := loaded()[1].mark(shard_id))}
        workdir.write(crowds_path, json.dumps(marks, sort_keys=True).encode())
    names = {_pointers_name(shard_id, part, marks.get(shard_id)): part for shard_id, part in shards.items()}
    known = {entry.path.rsplit("/", 1)[-1] for entry in workdir.files(folder)}
    for name in names.keys() - known:
        workdir.write(f"{folder}/{name}", _matched_shard(params, files, *loaded(), names[name], workdir))
    return names


def _by_shard(units: Sequence[Unit]) -> dict[str, list[Unit]]:
    shards: dict[str, list[Unit]] = {}
    for unit in units:
        shards.setdefault(unit.shard_id, []).append(unit)
    return shards


def _load(stage: str, params: GivenParams, files: Sequence[str], workdir: Storage) -> _Rows:
    hashes, numbers, places, digests = [], [], [], []
    folders: list[str | None] = []
    for number, file_id in enumerate(files):
        with workdir.open(rows_path(stage, params, file_id)) as file:
            table = pq.read_table(file, columns=["hash", "digest", "folder"])
        named = np.flatnonzero(np.asarray(table.column("hash").is_valid()))
        hashes.append(table.column("hash").take(pa.array(named)).to_numpy().astype(np.uint64))
        marks = table.column("digest").take(pa.array(named)).to_pylist()
        digests.append(np.array([int(mark, 16) for mark in marks], np.uint64))
        places.append(named.astype(np.int64))
        folders += table.column("folder").take(pa.array(named)).to_pylist()
        numbers.append(np.full(len(named), number, np.int32))
    joined = np.concatenate(hashes)
    order = np.argsort(joined, kind="stable")
    sorted_folders = [folders[i] for i in order.tolist()] if any(folders) else [None] * len(order)
    return _Rows(
        joined[order], np.concatenate(numbers)[order], np.concatenate(places)[order], np.concatenate(digests)[order], sorted_folders
    )


def _known_marks(workdir: Storage, path: str) -> dict[str, str] | None:
    return dict(json.loads(workdir.read(path))) if workdir.exists(path) else None


def _pointers_name(shard_id: str, part: Sequence[Unit], mark: str | None) -> str:
    ids = [unit.id for unit in part]
    return f"{shard_id}.{digest([*ids, mark] if mark else ids)}.parquet"


def _matched_shard(
    params: GivenParams, files: Sequence[str], rows: _Rows, crowds: Crowds, units: Sequence[Unit], workdir: Storage
) -> bytes:
    """The pointers of one shard, by row of its index; the digest of each unit's rows in the footer."""
    records, marks = [], {}
    images = images_of(params.matched_by, units, workdir)
    for unit in units:
        content: list[list[object]] = []
        for row in range(unit.first_row, unit.first_row + unit.num_rows):
            for matched, is_ambiguous in _taken(params, rows, crowds, unit.shard_id, row, images[row]):
                records.append({"row": row, "file": files[matched.file], "at": matched.at, "is_ambiguous": is_ambiguous})
                content.append([row - unit.first_row, matched.digest, *(["ambiguous"] if is_ambiguous else [])])
        marks[unit.id] = hashlib.sha256(json.dumps(sorted(content)).encode()).hexdigest()[:12] if content else NOTHING
    table = pa.Table.from_pylist(records, _POINTERS).replace_schema_metadata({_FOOTER: json.dumps(marks).encode()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROWS_IN_GROUP)
    return sink.getvalue()


def _taken(
    params: GivenParams, rows: _Rows, crowds: Crowds, shard_id: str, row: int, named: tuple[str, IndexedImage]
) -> list[tuple[_Row, bool]]:
    """The rows that an image takes, and of each whether it is another's as well: nobody can say whose."""
    name, image = named
    hashed = name_hash(name)
    candidates = rows.of(hashed)
    if len(candidates) > 1:  # of rows of one name those of the image's own folder
        agreed = [common(MATCHES[params.matched_by].image_folder(image), each.folder) for each in candidates]
        candidates = [each for each, count in zip(candidates, agreed, strict=True) if count == max(agreed)]
    taken = ((each, crowds.takes(hashed, shard_id, row, each.folder)) for each in candidates)
    return [(each, is_mine is None) for each, is_mine in taken if is_mine is not False]


def _footer(workdir: Storage, path: str) -> dict[str, str]:
    with workdir.open(path) as file:
        marks: dict[str, str] = json.loads(pq.read_schema(file).metadata[_FOOTER])
    return marks


def _summarise(
    stage: str, params: GivenParams, files: Sequence[str], pointers: Sequence[str], workdir: Storage, unmatched: str
) -> dict[str, object]:
    """Counts of a source's rows by what became of them; those of no image are listed in a table of their own."""
    places: dict[str, list[npt.NDArray[np.int64]]] = {file_id: [] for file_id in files}
    images = 0
    for path in pointers:
        with workdir.open(path) as file:
            table = pq.read_table(file)
        images += len(table.column("row").unique())
        for file_id in table.column("file").unique().to_pylist():
            places[file_id].append(table.filter(pc.field("file") == file_id).column("at").to_numpy())
    total, reasons, examples = 0, Counter[str](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="fgdata-given-") as folder:
        target = Path(folder) / "unmatched"
        with pq.ParquetWriter(target, _UNMATCHED, compression="zstd") as writer:
            for file_id in files:
                used = np.unique(np.concatenate([np.empty(0, np.int64), *places[file_id]]))
                for part, num_rows in _unused(workdir, rows_path(stage, params, file_id), used):
                    writer.write_table(part)
                    total += num_rows
                    reasons.update(part.column("reason").to_pylist())
                    _note_examples(examples, part)
        workdir.write_file(unmatched, target)
    return {
        "rows": total,
        "matched": total - reasons.total(),
        "reasons": dict(sorted(reasons.items())),
        "examples": examples,
        "images_with_row": images,
    }


def _note_examples(examples: dict[str, str], rows: pa.Table) -> None:
    """The first row of each reason that has none yet."""
    for reason in pc.unique(rows.column("reason")).to_pylist():
        if reason not in examples:
            (row,) = rows.filter(pc.field("reason") == reason).slice(0, 1).to_pylist()
            examples[reason] = f"{row['place']}: {row['name'] or row['detail'] or ''}"[:120].removesuffix(": ")


def _unused(workdir: Storage, path: str, used: npt.NDArray[np.int64]) -> Iterator[tuple[pa.Table, int]]:
    """Batch by batch the rows of a source file that no image took, and how many rows the batch had."""
    first = 0
    with workdir.open(path) as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=65536, columns=_UNMATCHED.names):
            taken = used[np.searchsorted(used, first) : np.searchsorted(used, first + batch.num_rows)] - first
            alone = pa.Table.from_batches([batch]).take(pa.array(np.setdiff1d(np.arange(batch.num_rows), taken)))
            reason = pc.fill_null(alone.column("reason"), "no_such_image")
            yield alone.set_column(_UNMATCHED.get_field_index("reason"), "reason", reason), batch.num_rows
            first += batch.num_rows
