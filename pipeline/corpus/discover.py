"""Which shards a corpus has now: names and versions from listings alone; no image is opened."""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.utils import glob_translate

from pipeline.corpus.params import CorpusError, CorpusParams, digest, expand_braces, split_path
from pipeline.storage import Entry, Storage

IMAGE_SUFFIXES = frozenset(("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif", "ppm", "pgm", "pbm"))
SIDECAR_SUFFIXES = frozenset(("json", "txt"))
IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "img")
_SCRATCH = frozenset(("_tmp", "_temporary", "__MACOSX"))
_COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
Kind = Literal["tar", "parquet", "folder", "text"]
_log = logging.getLogger(__name__)


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
    """One shard as listed. `location` is relative to the corpus root; a group of files is named `folder-NNNN-of-NNNN`."""

    kind: Kind
    location: str
    version: str
    size_bytes: int = 0
    files: tuple[FolderFile, ...] = ()

    @property
    def shard_id(self) -> str:
        """Of location and version; of the location alone for files of a folder, so that a group can grow."""
        return digest([self.location, "" if self.kind == "folder" else self.version])


def discover(params: CorpusParams) -> list[ShardFile]:
    """The shards that are there now, by location.

    Raises: CorpusError where the path does not exist, holds no images, or holds a mixture that `format` must settle.
    """
    root, pattern = split_path(params.path)
    storage = Storage(root)
    listing = [entry for entry in storage.walk() if not _is_scratch(entry.path)]
    if not listing:
        raise CorpusError(_missing(params, storage))
    chosen = _matching(listing, pattern)
    finished = _finished(listing)
    kind = _kind(params, storage, chosen)
    if finished and params.format in ("auto", "img2dataset"):
        chosen = _only_finished(params, chosen, kind, finished)
    shards = _shards(params, kind, chosen, listing)
    if not shards and finished:
        raise CorpusError(
            f"{params.path}: none of the shards has its img2dataset _stats.json yet: wait, or set corpus.format to webdataset, "
            "parquet or folder"
        )
    if not shards:
        raise CorpusError(_nothing(params, f"no {_WANTED[kind]}", chosen))
    return shards


_WANTED = {"tar": "*.tar", "parquet": "*.parquet", "text": "*.jsonl", "folder": f"image file ({', '.join(sorted(IMAGE_SUFFIXES))})"}


def suffix_of(path: str) -> str:
    """What follows the last dot of the name, lower case."""
    return PurePosixPath(path).suffix[1:].lower()


def find_image_column(schema: pa.Schema, wanted: str | None) -> str | None:
    """The column that holds encoded bytes or structs with a field `bytes`; `wanted` alone where it is given."""
    names = [wanted] if wanted is not None else [*IMAGE_COLUMNS, *(name for name in schema.names if name.lower() in IMAGE_COLUMNS)]
    return next((name for name in names if name in schema.names and _holds_bytes(schema.field(name).type)), None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_scratch(path: str) -> bool:
    return any(part.startswith(".") or part in _SCRATCH for part in path.split("/"))


def _matching(listing: list[Entry], pattern: str | None) -> list[Entry]:
    if pattern is None:
        return listing
    patterns = expand_braces(pattern)
    names = {item for item in patterns if not re.search(r"[*?\[]", item)}
    expressions = [re.compile(glob_translate(item)) for item in patterns if item not in names]
    return [entry for entry in listing if entry.path in names or any(found.match(entry.path) for found in expressions)]


def _finished(listing: Iterable[Entry]) -> set[str]:
    """What img2dataset has finished: the paths before `_stats.json`."""
    found = (re.fullmatch(r"((?:.*/)?\d+)_stats\.json", entry.path) for entry in listing)
    return {match[1] for match in found if match}


def _kind(params: CorpusParams, storage: Storage, chosen: list[Entry]) -> Kind:
    fixed: dict[str, Kind] = {"webdataset": "tar", "parquet": "parquet", "folder": "folder", "text": "text"}
    if params.format in fixed:
        return fixed[params.format]
    suffixes = {suffix_of(entry.path) for entry in chosen}
    if "tar" in suffixes:
        if suffixes & IMAGE_SUFFIXES:
            raise CorpusError(f"{params.path}: holds tars and image files: set corpus.format to webdataset or folder")
        return "tar"
    table = next((entry.path for entry in chosen if suffix_of(entry.path) == "parquet"), None)
    holds_images = table is not None and _table_holds_images(storage, table, params.image_column)
    if suffixes & IMAGE_SUFFIXES:
        if holds_images:
            raise CorpusError(f"{params.path}: holds image files and Parquet with images: set corpus.format to folder or parquet")
        return "folder"
    if table is not None:
        return "parquet"
    raise CorpusError(_nothing(params, "no tars, Parquet or image files", chosen))


def _table_holds_images(storage: Storage, path: str, wanted: str | None) -> bool:
    try:
        with storage.open(path) as file:
            return find_image_column(pq.read_schema(file), wanted) is not None
    except pa.ArrowInvalid:
        return False


def _only_finished(params: CorpusParams, chosen: list[Entry], kind: Kind, finished: set[str]) -> list[Entry]:
    suffixes = IMAGE_SUFFIXES if kind == "folder" else {kind}
    stems = {entry: entry.path.rpartition("/" if kind == "folder" else ".")[0] for entry in chosen if suffix_of(entry.path) in suffixes}
    unfinished = set(stems.values()) - finished
    if unfinished:
        _log.warning("corpus %s: %d shards have no _stats.json yet and are left for a later run", params.path, len(unfinished))
    return [entry for entry, stem in stems.items() if stem in finished]


def _shards(params: CorpusParams, kind: Kind, chosen: list[Entry], listing: list[Entry]) -> list[ShardFile]:
    if kind == "folder":
        return _groups(params, chosen, listing)
    suffix = "jsonl" if kind == "text" else kind
    found = [entry for entry in chosen if suffix_of(entry.path) == suffix]
    return [ShardFile(kind, entry.path, entry.version, entry.size_bytes) for entry in sorted(found, key=lambda entry: entry.path)]


def _groups(params: CorpusParams, chosen: list[Entry], listing: list[Entry]) -> list[ShardFile]:
    """By digest of the name without its suffix: what shares a key, sidecars too, shares a shard."""
    sidecars: dict[str, list[Entry]] = defaultdict(list)
    for entry in listing:
        if suffix_of(entry.path) in SIDECAR_SUFFIXES:
            sidecars[entry.path.rpartition(".")[0]].append(entry)
    groups: dict[int, list[FolderFile]] = defaultdict(list)
    for entry in sorted(chosen, key=lambda entry: entry.path):
        if suffix_of(entry.path) in IMAGE_SUFFIXES:
            key = entry.path.rpartition(".")[0]
            beside = sidecars.get(key, [])
            version = digest([entry.version, *(item.version for item in beside)])
            number = int(hashlib.sha256(key.encode()).hexdigest()[:12], 16) % params.folder_shards
            groups[number].append(FolderFile(key, entry.path, entry.size_bytes, version, tuple(item.path for item in beside)))
    return [
        ShardFile("folder", f"folder-{number:04d}-of-{params.folder_shards:04d}", _version(files), 0, tuple(files))
        for number, files in sorted(groups.items())
    ]


def _version(files: list[FolderFile]) -> str:
    return digest([[file.path, file.version] for file in files])


def _missing(params: CorpusParams, storage: Storage) -> str:
    where = "the bucket and prefix, and AWS_ENDPOINT_URL" if "://" in params.path else "corpus.path"
    state = "is an empty folder: put images there or correct" if storage.exists("") else "does not exist: correct"
    return f"{params.path}: {state} {where}"


def _nothing(params: CorpusParams, what: str, chosen: list[Entry]) -> str:
    if any(entry.path.endswith(_COMPRESSED) for entry in chosen):
        return f"{params.path}: holds compressed tars, which cannot be read by range: decompress them to .tar"
    return f"{params.path}: {what} among {len(chosen)} files: correct corpus.path or corpus.format"
