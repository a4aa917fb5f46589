"""An exported data set as its manifest names it, read image by image from its tars; local or s3://. Knows no tensors."""

import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from pydantic import ValidationError

from schemas.dataset import ExportRecord, Manifest, ShardEntry
from stages.train.config import TrainError
from stages.train.data.order import Place

_BLOCK_BYTES = 4 * 2**20
_MANIFEST = "manifest.json"


class ExportedDataset:
    """The shards of one manifest. Nothing else in its folder is looked at."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.manifest = _read_manifest(self.root)
        self.shards: list[ShardEntry] = [shard for shard in self.manifest.shards if shard.images]

    @property
    def shard_sizes(self) -> list[int]:
        return [shard.images for shard in self.shards]

    @property
    def num_images(self) -> int:
        return sum(self.shard_sizes)

    def read(self, places: Sequence[Place]) -> Iterator[tuple[bytes, ExportRecord]]:
        """The image's bytes and the record at each of the places, in their order. A shard is read once, front to back, from its
        first place on; what comes before its turn waits in memory."""
        streams: dict[int, _ShardStream] = {}
        left = _counted(places)
        wanted = set(places)
        try:
            for place in places:
                shard, index = place
                if shard not in streams:
                    streams[shard] = _ShardStream(self.root, self.shards[shard], shard, wanted)
                yield streams[shard].take(index)
                left[shard] -= 1
                if not left[shard]:
                    streams.pop(shard).close()
        finally:
            for stream in streams.values():
                stream.close()

    def read_all(self) -> Iterator[tuple[bytes, ExportRecord]]:
        """All images in the manifest's order."""
        return self.read([(shard, index) for shard, size in enumerate(self.shard_sizes) for index in range(size)])

    def groups(self, shards: Sequence[int]) -> dict[Place, tuple[str, ...]]:
        """The reciprocal groups of the images of these shards, from the Parquet files; empty where the data set has none."""
        found: dict[Place, tuple[str, ...]] = {}
        for shard in shards:
            for index, groups in enumerate(_group_column(f"{self.root}/{self.shards[shard].parquet}")):
                if groups:
                    found[shard, index] = groups
        return found


class _ShardStream:
    """One tar, read forward. Images that are wanted later than their neighbours behind them wait here."""

    def __init__(self, root: str, entry: ShardEntry, number: int, wanted: set[Place]) -> None:
        self._entry, self._number, self._wanted = entry, number, wanted
        self._path = f"{root}/{entry.tar}"
        self._file, self._tar = _open_tar(self._path)
        self._images = self._forward()
        self._waiting: dict[int, tuple[bytes, ExportRecord]] = {}

    def take(self, index: int) -> tuple[bytes, ExportRecord]:
        while index not in self._waiting:
            try:
                number, image, record = next(self._images)
            except StopIteration:
                raise TrainError(f"{self._path}: has no image {index}; its manifest says {self._entry.images} images") from None
            self._waiting[number] = (image, record)
        return self._waiting.pop(index)

    def close(self) -> None:
        self._tar.close()
        self._file.close()

    def _forward(self) -> Iterator[tuple[int, bytes, ExportRecord]]:
        """The wanted images in the tar's order: an image, then its json. A json alone (a corpus without pixels) has no bytes."""
        number, image = 0, ("", b"")
        for member in self._tar:
            is_wanted = (self._number, number) in self._wanted
            stem, _, suffix = member.name.rpartition(".")
            if suffix != "json":
                image = stem, self._content(member) if is_wanted else b""
                continue
            if is_wanted:
                yield number, image[1] if image[0] == stem else b"", self._record(member)
            number += 1
            self._tar.members.clear()  # type: ignore[attr-defined]  # in no stub; else all headers stay in memory

    def _content(self, member: tarfile.TarInfo) -> bytes:
        file = self._tar.extractfile(member)
        return file.read() if file else b""

    def _record(self, member: tarfile.TarInfo) -> ExportRecord:
        try:
            return ExportRecord.model_validate_json(self._content(member))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise TrainError(f"{self._path}: {member.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _open_tar(path: str) -> tuple[Any, tarfile.TarFile]:
    try:
        filesystem, inner = url_to_fs(path)
        file = filesystem.open(inner, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
        return file, tarfile.open(fileobj=file, mode="r:")
    except (OSError, tarfile.TarError) as error:
        raise TrainError(f"{path}: cannot be read as a tar: {error}") from error


def _read_manifest(root: str) -> Manifest:
    path = f"{root}/{_MANIFEST}"
    try:
        filesystem, inner = url_to_fs(path)
        content = filesystem.cat_file(inner)
    except (OSError, ValueError, ImportError) as error:
        raise TrainError(f"{path}: {type(error).__name__}: no exported data set there; `fgdata export` writes one") from error
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise TrainError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; written by another version?") from error


def _group_column(path: str) -> list[tuple[str, ...]]:
    """The groups that the regions of each row name; nothing else of the file is read."""
    filesystem, inner = url_to_fs(path)
    with filesystem.open(inner, "rb") as file:
        parquet = pq.ParquetFile(file)
        paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
        wanted = [one for one in paths if one.startswith("regions.") and one.endswith(".group") and one.count(".") == 3]
        if not wanted:
            return []
        rows = parquet.read(columns=wanted).column("regions").to_pylist()
    return [tuple(dict.fromkeys(region["group"] for region in row or () if region["group"])) for row in rows]


def _counted(places: Sequence[Place]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for shard, _ in places:
        counts[shard] = counts.get(shard, 0) + 1
    return counts
