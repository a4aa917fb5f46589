"""Image files of a folder with their sidecars: shards are groups by digest of the key, which a new file does not move."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath

from pipeline.corpus.formats.base import FolderFile, Reader, ShardFile
from pipeline.corpus.formats.describe import MAX_SIDECAR_BYTES, Sidecars, described, failed, too_long
from pipeline.corpus.formats.table import Format
from pipeline.corpus.listed.listing import Listing
from pipeline.corpus.names import SIDECAR_SUFFIXES, suffix_of
from pipeline.corpus.params import CorpusParams, digest
from pipeline.corpus.pixels import MAX_FILE_BYTES
from pipeline.storage import Entry, Storage
from schemas.rows import CorpusRow

MAX_SHARDS = 9999
_FILES_AT_ONCE, _REQUESTS_AT_ONCE = 32, 128
_THREADS, _HEAVY_BYTES = 4, 2**18  # threads help where digests and decoding take the time, not where Python does
_IMAGES_IN_SHARD = 4000  # on average: 2,667 to 6,000 from 2,000 images on, so that nearly all units are full


def list_shards(corpus_format: Format, params: CorpusParams, listing: Listing) -> list[ShardFile]:
    """Groups by digest of the name without its suffix: what shares a key, sidecars too, shares a shard."""
    sidecars: dict[str, list[Entry]] = defaultdict(list)
    for entry in listing.files:
        if suffix_of(entry.path) in SIDECAR_SUFFIXES:
            sidecars[_key(entry)].append(entry)
    groups: dict[int, list[FolderFile]] = defaultdict(list)
    images = sorted((entry for entry in listing.chosen if corpus_format.owns(entry.path)), key=lambda entry: entry.path)
    width = params.folder_shards or min(MAX_SHARDS, max(1, round(len(images) / _IMAGES_IN_SHARD)))
    for entry in images:
        key = _key(entry)
        beside = sidecars.get(key, [])
        version = digest([entry.version, *(item.version for item in beside)])
        number = int(hashlib.sha256(key.encode()).hexdigest()[:12], 16) % width
        groups[number].append(FolderFile(key, entry.path, entry.size_bytes, version, tuple(item.path for item in beside)))
    return [
        ShardFile(corpus_format.name, f"folder-{number:04d}-of-{width:04d}", _version(files), 0, tuple(files))
        for number, files in sorted(groups.items())
    ]


def num_shards_of(location: str) -> int | None:
    """Of how many shards a location that `list_shards` made is one; None: it made it not."""
    match = re.fullmatch(r"folder-\d{4}-of-(\d{4})", location)
    return int(match[1]) if match else None


def _key(entry: Entry) -> str:
    return entry.path.rpartition(".")[0]


def _version(files: list[FolderFile]) -> str:
    return digest([[file.path, file.version] for file in files])


def read_members(params: CorpusParams, storage: Storage, shard: ShardFile) -> list[CorpusRow]:
    """A row for each file."""
    rows: list[CorpusRow] = []
    at_once = _FILES_AT_ONCE if storage.local_root else _REQUESTS_AT_ONCE
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(shard.files), at_once):
            batch = shard.files[start : start + at_once]
            small = [file for file in batch if file.size_bytes <= MAX_FILE_BYTES]
            paths = [file.path for file in small] + [path for file in batch for path in file.sidecars]
            content = dict(zip(paths, storage.read_many(paths), strict=True))
            is_heavy = params.needs_hashes or sum(file.size_bytes for file in small) > _HEAVY_BYTES * len(small)
            rows += (pool.map if is_heavy else map)(partial(_row, params, content.get), batch)
    return rows


def _row(params: CorpusParams, content: Callable[[str], bytes | None], file: FolderFile) -> CorpusRow:
    name = PurePosixPath(file.path).name
    place = CorpusRow(key=file.key, path=file.path, offset=0, size=file.size_bytes, member=name, version=file.version)
    if file.size_bytes > MAX_FILE_BYTES:
        return too_long(place, file.size_bytes)
    data = content(file.path)
    if data is None:
        return failed(place, reason="missing", detail="listed, and gone when it was to be read")
    sidecars = Sidecars(params.alt_field)
    for path in file.sidecars:
        text = content(path)
        if text is not None and len(text) <= MAX_SIDECAR_BYTES:
            sidecars.add(file.key, suffix_of(path), text)
    return sidecars.joined(described(params, place.model_copy(update={"size": len(data)}), data))


def read_bytes(_params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """The files' bytes; None for one that has gone."""
    return storage.read_many([row.path for row in rows])


READER = Reader(read_members, read_bytes, list_shards)
