"""An exported data set from Python: its images with all that was said of them, one after another or by key; local or s3://."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePosixPath

from PIL import Image

from pipeline.corpus.pixels import Problem, decode
from schemas.dataset import ExportRecord, ExportRegion, ShardEntry
from schemas.rows import Negative
from stages.train.data.exported import ExportedError, images_of, open_tar, read_manifest

_MAX_PIXELS = 178_956_970


class DatasetError(ValueError):
    """There is no exported data set, or what its manifest names is not there; the message says what, where and what to do."""


@dataclass(frozen=True)
class Sample:
    """One exported image. `data` is the image as the source had it, None where the corpus held no pixels."""

    record: ExportRecord
    data: bytes | None

    @property
    def key(self) -> str:
        """The image's name in the data set."""
        return self.record.key

    @property
    def long(self) -> str | None:
        """The long caption."""
        return self.record.long

    @property
    def short(self) -> str | None:
        """The short caption."""
        return self.record.short

    @property
    def regions(self) -> list[ExportRegion]:
        """Boxes with their expressions, attributes and negatives; `xyxy` in pixels of `image`."""
        return self.record.regions

    @property
    def negatives(self) -> list[Negative]:
        """Texts that are false of the whole image: edits of the long caption, each with its verdict."""
        return self.record.negatives

    @property
    def image(self) -> Image.Image:
        """Upright RGB at full size, the pixels that the captioner saw. Decoded each time.

        Raises: DatasetError where there are no pixels, or the image cannot be read.
        """
        if self.data is None:
            raise DatasetError(f"{self.key}: the data set holds no pixels of it")
        decoded = decode(self.data, _MAX_PIXELS)
        if isinstance(decoded, Problem):
            raise DatasetError(f"{self.key}: {decoded.reason}: {decoded.detail}")
        return decoded


def dataset(path: str | PathLike[str]) -> "Dataset":
    """The data set at a folder or s3:// location.

    Raises: DatasetError where there is no manifest.
    """
    return Dataset(fspath(path))


class Dataset:
    """The shards that a manifest names; nothing else in the folder is looked at. Reads one image at a time."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        try:
            self.manifest = read_manifest(self.root)
        except ExportedError as error:
            raise DatasetError(str(error)) from error
        self._shards = {PurePosixPath(shard.tar).stem: shard for shard in self.manifest.shards}

    def __len__(self) -> int:
        return sum(shard.images for shard in self.manifest.shards)

    def __iter__(self) -> Iterator[Sample]:
        """All images, in the manifest's order.

        Raises: DatasetError where a shard is missing or cut.
        """
        for shard in self.manifest.shards:
            yield from self._read(shard)

    def __getitem__(self, key: str) -> Sample:
        """One image by its key; of its shard's tar headers are read up to it, and no other image.

        Raises: KeyError where no image has this key; TypeError where it is no text.
        """
        if not isinstance(key, str):
            raise TypeError("images are asked for by key, such as data['000000001']; to look at the first: next(iter(data))")
        shard = next((entry for name, entry in self._shards.items() if key.startswith(name)), None)
        for sample in self._read(shard, key) if shard is not None else ():
            return sample
        raise KeyError(f"{key!r} is no image of {self.root}; keys are such as '000000001', the corpus's own are `record.source_key`")

    def _read(self, shard: ShardEntry, key: str | None = None) -> Iterator[Sample]:
        """The shard's images, or the one of this key."""
        path = f"{self.root}/{shard.tar}"
        number = 0
        try:
            with open_tar(path) as file:
                for image in images_of(file, path, lambda _, name: key is None or PurePosixPath(name).name == key):
                    number = image.number + 1
                    yield Sample(image.record, image.data)
        except ExportedError as error:
            raise DatasetError(str(error)) from error
        except (OSError, tarfile.TarError, EOFError) as error:
            raise DatasetError(f"{path}: cannot be read beyond image {number}: {' '.join(str(error).split())[:200]}") from error
        if key is None and number < shard.images:
            raise DatasetError(f"{path}: holds {number} images, the manifest says {shard.images}: copy it again")
