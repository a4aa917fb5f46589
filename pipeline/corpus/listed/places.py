"""What `corpus.path` names: a folder, a file or a pattern. What exists is taken literally, brackets and all. Lists nothing."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.corpus.formats.table import FORMATS
from pipeline.storage import Storage
from schemas.names import storable

_SHARD_SUFFIXES = frozenset(f".{suffix}" for row in FORMATS.values() if not row.grows for suffix in row.suffixes)


@dataclass(frozen=True)
class Place:
    """The folder that locations are relative to; of it one file, or the files that a pattern names, or all."""

    folder: str
    name: str | None = None
    pattern: str | None = None


def locate(path: str) -> Place:
    """Where a corpus lies. A look at what exists decides between a name and a pattern; of a remote path once a process."""
    return _located_remote(path) if "://" in path else _located(path, Path.is_file, Path.exists)


def _located(path: str, is_file: Callable[[Path], bool], exists: Callable[[Path], bool]) -> Place:
    path = path.rstrip("/") or "/"
    if is_file(Path(path)):
        folder, slash, name = path.rpartition("/")
        return Place(folder or slash or ".", storable(name))
    parts = path.split("/")
    for number, part in enumerate(parts):
        if is_pattern(part) and not exists(Path("/".join(parts[: number + 1]))):
            return Place("/".join(parts[:number]) or ("/" if path.startswith("/") else "."), pattern="/".join(parts[number:]))
    return Place(path)


@functools.lru_cache(256)
def _located_remote(path: str) -> Place:
    path = path.rstrip("/")
    folder = path.rpartition("/")[0].rstrip("/")
    name = path[len(folder) + 1 :]  # of a key with `//` the slashes too
    if not is_pattern(path) and PurePosixPath(path).suffix in _SHARD_SUFFIXES:
        return Place(folder, storable(name))
    root, _, below = path.partition("://")
    parts = below.split("/")
    for number in range(1, len(parts)):
        part = f"{root}://{'/'.join(parts[: number + 1])}"
        if is_pattern(parts[number]) and not Storage(part).exists(""):
            return Place(f"{root}://{'/'.join(parts[:number])}", pattern="/".join(parts[number:]))
    is_one_file = len(parts) > 1 and "." in name and Storage(path).is_file("")
    return Place(folder, storable(name)) if is_one_file else Place(path)


def is_pattern(part: str) -> bool:
    """Whether a path's part holds signs of a pattern; it is one where nothing of that name exists."""
    return re.search(r"[*?\[{]", part) is not None
