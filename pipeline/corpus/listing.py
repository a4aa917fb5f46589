"""The files under a corpus' root, from names alone: which the path names, and what may lie beside them. Knows no format."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fsspec.utils import glob_translate

from pipeline.corpus.params import CorpusParams, expand_braces, split_path
from pipeline.storage import Entry, Storage

_SCRATCH = frozenset(("_tmp", "_temporary", "__MACOSX"))


@dataclass(frozen=True)
class Listing:
    """One walk below the root, by path. `files` are all that are neither hidden nor scratch, `chosen` those that `corpus.path` names."""

    files: tuple[Entry, ...]
    chosen: tuple[Entry, ...]


def list_files(params: CorpusParams, storage: Storage) -> Listing:
    """What lies there now; empty where the root does not exist."""
    files = tuple(entry for entry in storage.walk() if not _is_scratch(entry.path))
    return Listing(files, _matching(files, split_path(params.path)[1]))


def _is_scratch(path: str) -> bool:
    return any(part.startswith(".") or part in _SCRATCH for part in path.split("/"))


def _matching(files: Sequence[Entry], pattern: str | None) -> tuple[Entry, ...]:
    if pattern is None:
        return tuple(files)
    patterns = expand_braces(pattern)
    names = {item for item in patterns if not re.search(r"[*?\[]", item)}
    expressions = [re.compile(glob_translate(item)) for item in patterns if item not in names]
    return tuple(entry for entry in files if entry.path in names or any(found.match(entry.path) for found in expressions))
