"""What a corpus format does: find its shards in a listing, read their members, read members' bytes. Knows no format by name."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.corpus.formats.table import FORMATS, Format
from pipeline.corpus.listed.account import Members
from pipeline.corpus.listed.listing import Listing
from pipeline.corpus.params import CorpusParams, digest
from pipeline.storage import Entry, Storage
from schemas.rows import CorpusRow


@dataclass(frozen=True)
class FolderFile:
    """An image file of a folder with its sidecars; `version` changes when any of them does."""

    key: str
    path: str
    size_bytes: int
    version: str
    sidecars: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShardFile:
    """One shard as listed. `location` is relative to the corpus root; a group of files has a made-up one, and `files`.

    `born` is the version under which a file was indexed whose times alone have changed since: it goes on by that name.
    """

    format: str
    location: str
    version: str
    size_bytes: int = 0
    files: tuple[FolderFile, ...] = ()
    born: str = ""

    @property
    def name_version(self) -> str:
        """The version that names the shard and its units."""
        return self.born or self.version

    @property
    def shard_id(self) -> str:
        """Of location and version; of the location alone where the format grows."""
        return digest([self.location, "" if FORMATS[self.format].grows else self.name_version])


def each_file(corpus_format: Format, _params: CorpusParams, listing: Listing) -> list[ShardFile]:
    """A shard for each file of the format, by path."""
    return [
        ShardFile(corpus_format.name, entry.path, entry.version, entry.size_bytes)
        for entry in sorted(listing.chosen, key=lambda entry: entry.path)
        if corpus_format.owns(entry.path)
    ]


@dataclass(frozen=True)
class Read:
    """The images of one shard as rows, and what else is in it."""

    rows: list[CorpusRow]
    members: Members


@dataclass(frozen=True)
class Reader:
    """The functions of one format."""

    # A row for each image of the shard, in its order; units are not cut and keys not yet made unique. A broken image or a cut
    # file is a row; a shard that no image can be sought in is a CorpusError. Rows alone: there is nothing else in the shard.
    read_members: Callable[[CorpusParams, Storage, ShardFile], list[CorpusRow] | Read]
    # The source bytes of rows of one shard (where the format grows, of any), in order; None where there are none to be had.
    read_bytes: Callable[[CorpusParams, Storage, Sequence[CorpusRow]], list[bytes | None]]
    list_shards: Callable[[Format, CorpusParams, Listing], list[ShardFile]] = each_file
    # Whether the listed files of the format, of which there is one at least, hold images; None: their names say so.
    holds_images: Callable[[CorpusParams, Storage, Sequence[Entry]], bool] | None = None


def reader_of(corpus_format: Format) -> Reader:
    """The functions of a format, from its module."""
    reader = importlib.import_module(corpus_format.module).READER
    assert isinstance(reader, Reader), f"{corpus_format.module}.READER is no Reader"
    return reader
