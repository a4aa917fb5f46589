"""The files of a given source, from a listing alone, and what a reader makes of one: records. Knows no format and no stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.corpus.listed.listing import Listing, list_files
from pipeline.corpus.listed.places import locate
from pipeline.corpus.listed.walk import Link
from pipeline.corpus.params import CorpusError
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
    """One record as it stands in the source, or why it could not be read: a word from docs/bring-your-own.md, or the reader's own.

    `name` is what names the image, where that is no field of the record. A refused record with a name fails its image; without one it
    stands in the list of what was not taken.
    """

    place: str
    record: Any = None
    name: str | None = None
    reason: str | None = None
    detail: str | None = None


def source_storage(path: str) -> Storage:
    """The storage whose paths `source_files` lists."""
    return Storage(locate(path).folder)


def source_links(stage: str, path: str) -> Sequence[Link]:
    """The links among the files of a local source; a remote one has none, and is not listed for it.

    Raises: GivenError where a folder may not be read.
    """
    return _listed(stage, path).links if source_storage(path).local_root else ()


def source_files(stage: str, path: str, suffixes: Sequence[str]) -> list[Entry]:
    """The files of the source that end so, by path.

    Raises: GivenError where there is none.
    """
    files = _listed(stage, path).chosen
    chosen = [entry for entry in files if PurePosixPath(entry.path).suffix.lower() in suffixes]
    compressed = [
        entry for entry in files if is_compressed(entry.path) and PurePosixPath(entry.path).with_suffix("").suffix.lower() in suffixes
    ]
    if not chosen and compressed:
        raise GivenError(f"given.{stage}.path: {path}: {compressed[0].path} is compressed, which is not read: decompress it")
    if not chosen:
        wrong = f"no file that ends in {' or '.join(suffixes)}" if files or source_storage(path).exists("") else "does not exist"
        raise GivenError(f"given.{stage}.path: {path}: {wrong}: correct path or format")
    return [*chosen, *compressed]


def is_compressed(path: str) -> bool:
    """Whether the name says that a file must be decompressed before it is read."""
    return PurePosixPath(path).suffix.lower() in _COMPRESSED


def _listed(stage: str, path: str) -> Listing:
    """The source's files, by the rules of corpus.path: what exists is taken literally, links are followed, circles guarded."""
    try:
        return list_files(path, source_storage(path), f"given.{stage}.path")
    except CorpusError as error:
        raise GivenError(f"given.{stage}.path: {error}") from error
