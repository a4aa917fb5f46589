"""An exported data set as its manifest names it, read image by image from its tars; local or s3://. Knows no tensors."""

import logging
import tarfile
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from schemas.dataset import ExportRecord, ShardEntry
from stages.train.config import TrainError
from stages.train.data.exported import ExportedError, ExportedImage, images_of, open_tar, read_manifest
from stages.train.data.order import Place

logger = logging.getLogger(__name__)


class BrokenShard(TrainError):
    """A tar that is missing, cut, or holds fewer images than its manifest says."""


class ExportedDataset:
    """The shards of one manifest. Nothing else in its folder is looked at."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        try:
            self.manifest = read_manifest(self.root)
        except ExportedError as error:
            raise TrainError(str(error)) from error
        self.shards: list[ShardEntry] = [shard for shard in self.manifest.shards if shard.images]

    @property
    def shard_sizes(self) -> list[int]:
        return [shard.images for shard in self.shards]

    @property
    def num_images(self) -> int:
        return sum(self.shard_sizes)

    def read(self, places: Sequence[Place], seam: Place | None = None) -> Iterator[tuple[bytes, ExportRecord]]:
        """The image's bytes and the record at each of the places, in their order. A shard is read once, front to back, from its
        first place on; what comes before its turn waits in memory. Of the seam's shard the images before its index are read in a
        pass of their own, as they come last.

        Raises: BrokenShard.
        """
        for sample in self._read(places, seam):
            if isinstance(sample, BrokenShard):
                raise sample
            yield sample

    def read_what_is_left(self, places: Sequence[Place], seam: Place | None = None) -> Iterator[tuple[bytes, ExportRecord] | None]:
        """As `read`, but None for what a broken or missing shard does not hold; each such shard is logged once."""
        logged: set[str] = set()
        for sample in self._read(places, seam):
            if isinstance(sample, BrokenShard):
                if str(sample) not in logged:
                    logger.warning("%s; its images are left out", sample)
                    logged.add(str(sample))
                yield None
            else:
                yield sample

    def _read(self, places: Sequence[Place], seam: Place | None) -> Iterator[tuple[bytes, ExportRecord] | BrokenShard]:
        def part_of(place: Place) -> tuple[int, bool]:
            return place[0], seam is not None and place[0] == seam[0] and place[1] < seam[1]

        wanted: dict[tuple[int, bool], set[int]] = {}
        for place in places:
            wanted.setdefault(part_of(place), set()).add(place[1])
        left = {part: len(indices) for part, indices in wanted.items()}
        streams: dict[tuple[int, bool], _ShardStream] = {}
        try:
            for place in places:
                part = part_of(place)
                if part not in streams:
                    streams[part] = _ShardStream(self.root, self.shards[part[0]], wanted[part])
                yield streams[part].take(place[1])
                left[part] -= 1
                if not left[part]:
                    streams.pop(part).close()
        finally:
            for stream in streams.values():
                stream.close()

    def read_all(self) -> Iterator[tuple[bytes, ExportRecord]]:
        """All images in the manifest's order."""
        return self.read([(shard, index) for shard, size in enumerate(self.shard_sizes) for index in range(size)])

    def long_captions(self) -> Iterator[tuple[Place, str, str | None]]:
        """Place, key and long caption of every image, from the Parquet files: no image is read."""
        for shard, entry in enumerate(self.shards):
            filesystem, inner = url_to_fs(f"{self.root}/{entry.parquet}")
            with filesystem.open(inner, "rb") as file:
                rows = pq.read_table(file, columns=["key", "long"]).to_pylist()
            for index, row in enumerate(rows):
                yield (shard, index), row["key"], row["long"]

    def groups(self, shards: Sequence[int]) -> dict[Place, tuple[str, ...]]:
        """The reciprocal groups of the images of these shards, from the Parquet files; empty where the data set has none."""
        groups_at: dict[Place, tuple[str, ...]] = {}
        for shard in shards:
            for index, groups in enumerate(_group_column(f"{self.root}/{self.shards[shard].parquet}")):
                if groups:
                    groups_at[shard, index] = groups
        return groups_at


class _ShardStream:
    """One tar, read forward. Images that are wanted later than their neighbours behind them wait here."""

    def __init__(self, root: str, entry: ShardEntry, wanted: set[int]) -> None:
        self._entry, self._wanted = entry, wanted
        self._path = f"{root}/{entry.tar}"
        self._file: Any = None
        self._images = self._forward()
        self._waiting: dict[int, tuple[bytes, ExportRecord]] = {}
        self._broken: BrokenShard | None = None

    def take(self, index: int) -> tuple[bytes, ExportRecord] | BrokenShard:
        while index not in self._waiting:
            if self._broken is None:
                try:
                    image = next(self._images)
                    self._waiting[image.number] = (image.data or b"", image.record)
                    continue
                except StopIteration:
                    problem = f"has no image {index}; its manifest says {self._entry.images} images"
                    self._broken = BrokenShard(f"{self._path}: {problem}")
                except FileNotFoundError:
                    self._broken = BrokenShard(f"{self._path}: is missing")
                except (tarfile.TarError, EOFError) as error:
                    self._broken = BrokenShard(f"{self._path}: cannot be read as a tar: {error}")
                except ExportedError as error:
                    raise TrainError(str(error)) from error
                except OSError as error:
                    raise TrainError(f"{self._path}: cannot be read: {error}") from error
            return self._broken
        return self._waiting.pop(index)

    def close(self) -> None:
        self._images.close()
        if self._file is not None:
            self._file.close()

    def _forward(self) -> Generator[ExportedImage]:
        self._file = open_tar(self._path)
        yield from images_of(self._file, self._path, lambda number, _: number in self._wanted)


def _group_column(path: str) -> list[tuple[str, ...]]:
    """The groups that the regions of each row name; nothing else of the file is read."""
    filesystem, inner = url_to_fs(path)
    with filesystem.open(inner, "rb") as file:
        parquet = pq.ParquetFile(file)
        paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
        wanted = [path for path in paths if path.startswith("regions.") and path.endswith(".group") and path.count(".") == 3]
        if not wanted:
            return []
        rows = parquet.read(columns=wanted).column("regions").to_pylist()
    return [tuple(dict.fromkeys(region["group"] for region in row or () if region["group"])) for row in rows]
