"""The files under a corpus' root, from names alone: which the path names, and what may lie beside them. Knows no format."""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fsspec.utils import glob_translate

from pipeline.corpus.listed.places import locate
from pipeline.corpus.listed.walk import Link, is_scratch, look
from pipeline.corpus.params import expand_braces
from pipeline.storage import Entry, Storage


@dataclass(frozen=True)
class Listing:
    """One walk below the root, by path. `files` are all that are neither hidden nor scratch, `chosen` those that `corpus.path` names.

    `unread` are the paths, with their reasons, that nothing is read of: hidden files, links to nothing. None where the path
    is a pattern or a file: what it does not name is not counted. `links` are those by which chosen files are reached, or would be.
    """

    files: tuple[Entry, ...]
    chosen: tuple[Entry, ...]
    unread: tuple[tuple[str, str], ...] = ()
    links: tuple[Link, ...] = ()


def list_files(path: str, storage: Storage, named: str = "corpus.path") -> Listing:
    """What lies there now; empty where the root does not exist. `named`: what messages call the path.

    Raises: CorpusError where a folder may not be read.
    """
    place = locate(path)
    seen = look(storage, deep=place.name is None or "/" in place.name, named=named)
    files = tuple(entry for entry in seen.files if not is_scratch(entry.path))
    if place.name is not None:
        return _chosen(files, tuple(entry for entry in seen.files if entry.path == place.name), seen.links)
    if place.pattern is not None:
        return _chosen(files, _matching(files, place.pattern), seen.links)
    hidden = ((entry.path, "hidden") for entry in seen.files if is_scratch(entry.path))
    unread = ((path, "hidden" if is_scratch(path) else reason) for path, reason in seen.unread)
    return Listing(files, files, (*hidden, *unread), tuple(link for link in seen.links if not is_scratch(link.path)))


def _chosen(files: tuple[Entry, ...], chosen: tuple[Entry, ...], links: Sequence[Link]) -> Listing:
    """Of links those that a chosen file is, or lies behind."""
    paths = [entry.path for entry in chosen]
    return Listing(files, chosen, links=tuple(link for link in links if _holds(paths, link.path) or _is_below(paths, f"{link.path}/")))


def _holds(paths: Sequence[str], path: str) -> bool:
    place = bisect.bisect_left(paths, path)
    return paths[place : place + 1] == [path]


def _is_below(paths: Sequence[str], folder: str) -> bool:
    place = bisect.bisect_left(paths, folder)
    return place < len(paths) and paths[place].startswith(folder)


def _matching(files: Sequence[Entry], pattern: str) -> tuple[Entry, ...]:
    patterns = expand_braces(pattern)
    names = {item for item in patterns if not re.search(r"[*?\[]", item)}
    expressions = [re.compile(glob_translate(item)) for item in patterns if item not in names]
    return tuple(entry for entry in files if entry.path in names or any(expression.match(entry.path) for expression in expressions))
