"""The files of a given source, from a listing alone, and what a reader makes of one: records. Knows no format and no stage."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.utils import glob_translate

from pipeline.corpus.params import expand_braces, split_path
from pipeline.given.names import Match
from pipeline.storage import Entry, Storage

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


class GivenError(ValueError):
    """A given source is not there or cannot be read at all; the message says what, where and what to do."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a given source, with the stage that it is read for and what names an image in it."""

    storage: Storage
    path: str
    stage: str
    match: Match

    def open(self) -> Any:
        """A binary file object for reading, seekable."""
        return self.storage.open(self.path)


@dataclass(frozen=True)
class Raw:
    """One record as it stands in the source, or why it could not be read: a word from docs/bring-your-own.md.

    `name` is what names the image, where that is no field of the record.
    """

    place: str
    record: Any = None
    name: str | None = None
    reason: str | None = None
    detail: str | None = None


def source_storage(path: str) -> Storage:
    """The storage whose paths `source_files` lists."""
    return Storage(_split(path)[0])


def source_files(stage: str, path: str, suffixes: Sequence[str]) -> list[Entry]:
    """The files of the source that end so, by path.

    Raises: GivenError where there is none.
    """
    root, pattern = _split(path)
    listing = [entry for entry in Storage(root).walk() if not any(part.startswith(".") for part in entry.path.split("/"))]
    patterns = [re.compile(glob_translate(item)) for item in expand_braces(pattern)] if pattern else []
    found = [entry for entry in listing if any(item.match(entry.path) for item in patterns)] if pattern else listing
    chosen = [entry for entry in found if PurePosixPath(entry.path).suffix.lower() in suffixes]
    compressed = [
        entry for entry in found if is_compressed(entry.path) and PurePosixPath(entry.path).with_suffix("").suffix.lower() in suffixes
    ]
    if not chosen and compressed:
        raise GivenError(f"given.{stage}.path: {path}: {compressed[0].path} is compressed, which is not read: decompress it")
    if not chosen:
        raise GivenError(f"given.{stage}.path: {path}: no file that ends in {' or '.join(suffixes)}: correct path or format")
    return chosen + compressed


def is_compressed(path: str) -> bool:
    """Whether the name says that a file must be decompressed before it is read."""
    return PurePosixPath(path).suffix.lower() in _COMPRESSED


def _split(path: str) -> tuple[str, str | None]:
    """The folder, and the pattern or name below it; null: all of the folder."""
    is_file = Path(path).is_file() if "://" not in path else PurePosixPath(path).suffix != ""
    if is_file and not re.search(r"[*?\[{]", path):
        folder, _, name = path.rpartition("/")
        return folder or "/", name
    return split_path(path)
