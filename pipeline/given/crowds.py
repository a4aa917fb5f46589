"""Names that several images of a corpus have: which of them a given row is of, by the folder that both are in. Reads indexes alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from pipeline.corpus.index import Unit
from pipeline.corpus.params import digest
from pipeline.corpus.update import index_path
from pipeline.given.index import name_hash
from pipeline.given.names import MATCHES, IndexedImage
from pipeline.storage import Storage

_MOST = 1000  # images of one name that are told apart by their folders; of more none is


class Namesake(NamedTuple):
    """One of several images that have a name."""

    shard_id: str
    row: int
    folder: tuple[str, ...]
    sha256: str | None


@dataclass(frozen=True)
class Crowds:
    """The images that share a name with others and that some given row may be of, by the hash of the name; None: too many."""

    namesakes: Mapping[int, Sequence[Namesake] | None]

    def mark(self, shard_id: str) -> str:
        """A digest of all that decides which rows the images of a shard take, where one of them has a namesake; else nothing."""
        mine = {
            name: namesakes
            for name, namesakes in self.namesakes.items()
            if namesakes is None or any(other.shard_id == shard_id for other in namesakes)
        }
        return digest(sorted(mine.items())) if mine else ""

    def takes(self, name: int, shard_id: str, row: int, folder: tuple[str, ...]) -> bool | None:
        """Whether the image of this row takes a given row of this name and folder; None: no one can say whose it is."""
        if name not in self.namesakes:
            return True
        namesakes = self.namesakes[name]
        if namesakes is None:
            return None
        if namesakes[0].sha256 is not None and len({other.sha256 for other in namesakes}) == 1:
            return True  # one picture, wherever it lies
        agreed = [common(other.folder, folder) for other in namesakes]
        best = [other for other, count in zip(namesakes, agreed, strict=True) if count == max(agreed)]
        if max(agreed) > 0 and len(best) == 1:
            return (best[0].shard_id, best[0].row) == (shard_id, row)
        return None


def common(name: Sequence[str], other: Sequence[str]) -> int:
    """How many folders two paths have in common, counted from the file."""
    count = 0
    while count < min(len(name), len(other)) and name[-1 - count] == other[-1 - count]:
        count += 1
    return count


def find_crowds(
    matched_by: str, shards: Mapping[str, Sequence[Unit]], rows: npt.NDArray[np.uint64], workdir: Storage, folder: str
) -> Crowds:
    """The namesakes of a corpus whose name some row of the source has.

    Each shard's hashes of names are written once, 8 bytes an image, so that a new shard costs no look at the old.
    """
    if not shards:
        return Crowds({})
    known = {entry.path.rsplit("/", 1)[-1] for entry in workdir.files(folder)}
    places = {names_file(shard_id, part): part for shard_id, part in shards.items()}
    for name, part in places.items():
        if name not in known:
            fresh = [name_hash(image_name) for image_name, _ in images_of(matched_by, part, workdir)]
            workdir.write(f"{folder}/{name}", np.array(fresh, "<u8").tobytes())
    stored = [np.frombuffer(content or b"", "<u8") for content in workdir.read_many([f"{folder}/{name}" for name in places])]
    names, counts = np.unique(np.concatenate(stored), return_counts=True)
    crowded = np.intersect1d(names[counts > 1], rows)
    if not len(crowded):
        return Crowds({})
    namesakes: dict[int, list[Namesake] | None] = {int(name): [] for name in crowded}
    for part, hashes in zip(places.values(), stored, strict=True):
        crowded_rows = np.flatnonzero(np.isin(hashes, crowded))
        if len(crowded_rows):
            _enter(namesakes, matched_by, part, crowded_rows, workdir)
    return Crowds(namesakes)


def _enter(
    namesakes: dict[int, list[Namesake] | None],
    matched_by: str,
    part: Sequence[Unit],
    crowded_rows: npt.NDArray[np.int64],
    workdir: Storage,
) -> None:
    images = images_of(matched_by, part, workdir)
    for row in crowded_rows.tolist():
        name, image = images[row]
        others = namesakes[name_hash(name)]
        if others is not None and len(others) < _MOST:
            others.append(Namesake(part[0].shard_id, row, MATCHES[matched_by].image_folder(image), image.sha256))
        else:
            namesakes[name_hash(name)] = None


def names_file(shard_id: str, part: Sequence[Unit]) -> str:
    """What the file of a shard's hashed names is called."""
    return f"{shard_id}.{digest([unit.id for unit in part])}.u64"


def images_of(matched_by: str, part: Sequence[Unit], workdir: Storage) -> list[tuple[str, IndexedImage]]:
    """What each image of a shard is called, for this way of matching, by row of the shard's index."""
    shard_id, number = part[0].shard_id, part[0].shard_number
    with workdir.open(index_path(shard_id)) as file:
        records = pq.read_table(file, columns=["key", "path", "member", "sha256"]).to_pylist()
    images = [IndexedImage(**record, shard_number=number, row=row) for row, record in enumerate(records)]
    return [(MATCHES[matched_by].image(image), image) for image in images]
