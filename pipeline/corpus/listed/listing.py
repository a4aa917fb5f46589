"""The files under a corpus' root, from names alone: which the path names, and what may lie beside them. Knows no format."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fsspec.utils import glob_translate

from pipeline.corpus.listed.places import locate
from pipeline.corpus.listed.walk import is_scratch, look
from pipeline.corpus.params import CorpusParams, expand_braces
from pipeline.storage import Entry, Storage


@dataclass(frozen=True)
class Listing:
    """One walk below the root, by path. `files` are all that are neither hidden nor scratch, `chosen` those that `corpus.path` names.

    `unread` are the paths, with their reasons, that nothing is read of: hidden files, links to nothing. None where the path
    is a pattern or a file: what it does not name is not counted.
    """

    files: tuple[Entry, ...]
    chosen: tuple[Entry, ...]
    unread: tuple[tuple[str, str], ...] = ()
    is_whole: bool = True


def list_files(params: CorpusParams, storage: Storage) -> Listing:
    """What lies there now; empty where the root does not exist.

    Raises: CorpusError where a folder may not be read.
    """
    place = locate(params.path)
    seen = look(storage, deep=place.name is None)
    files = tuple(entry for entry in seen.files if not is_scratch(entry.path))
    if place.name is not None:
        return Listing(files, tuple(entry for entry in seen.files if entry.path == place.name), is_whole=False)
    if place.pattern is not None:
        return Listing(files, _matching(files, place.pattern), is_whole=False)
    hidden = ((entry.path, "hidden") for entry in seen.files if is_scratch(entry.path))
    unread = ((path, "hidden" if is_scratch(path) else reason) for path, reason in seen.unread)
    return Listing(files, files, (*hidden, *unread))


def _matching(files: Sequence[Entry], pattern: str) -> tuple[Entry, ...]:
    patterns = expand_braces(pattern)
    names = {item for item in patterns if not re.search(r"[*?\[]", item)}
    expressions = [re.compile(glob_translate(item)) for item in patterns if item not in names]
    return tuple(entry for entry in files if entry.path in names or any(found.match(entry.path) for found in expressions))
