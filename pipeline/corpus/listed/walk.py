"""One look at everything below the corpus' root, links followed. Knows no format, and opens no file."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.corpus.params import CorpusError
from pipeline.storage import Entry, Storage, timed_version
from pipeline.storage_errors import failure
from schemas.names import storable

Identity = tuple[int, int]
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
_SCRATCH = frozenset(("_tmp", "_temporary", "__MACOSX", "lost+found"))


def is_scratch(path: str) -> bool:
    """Whether a path is hidden, or lies in a folder that other tools keep for themselves."""
    return any(part.startswith(".") or part in _SCRATCH for part in path.split("/"))


@dataclass(frozen=True)
class Link:
    """A link below the root and the real path of what it leads to, which need not be there yet."""

    path: str
    target: str
    is_folder: bool


@dataclass
class Seen:
    """The files below a root; and by reason the paths of what is there and is no file that could be read.

    `links` are the links that were followed, with what they lead to: all that lead to a folder that is listed here, and of those
    to files one into each folder.
    """

    files: list[Entry] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def look(storage: Storage, *, deep: bool = True, named: str = "corpus.path") -> Seen:
    """What lies below the root now, by path; nothing where there is no such root. `deep=False`: of its own files alone.

    Links to files and folders are followed, wherever they lead. A folder is listed once, without a link where it can be reached so; a link
    that leads to it again, or to a folder that holds the root, is named `link_again`. `named`: what messages call the root.

    Raises: CorpusError where a folder may not be read; StorageFailure where the disk fails.
    """
    root = storage.local_root
    if root is None:
        return Seen(storage.walk() if deep else storage.files())
    seen = Seen()
    if root.is_dir():
        _LocalWalk(root, seen, named).run(deep=deep)
    seen.files.sort(key=lambda entry: entry.path)
    seen.unread.sort()
    return seen


class _LocalWalk:
    """A walk with `os.scandir`; links to folders wait until all that needs no link is listed."""

    def __init__(self, root: Path, seen: Seen, named: str) -> None:
        self.root, self.seen, self.named = root, seen, named
        whole = root.resolve()
        self.listed = {_identity(folder.stat()) for folder in (whole, *whole.parents)}
        self.waiting: list[tuple[str, str]] = []
        self.led_into: set[str] = set()

    def run(self, *, deep: bool) -> None:
        """List everything; links to folders in order of their paths, those that they lead to last."""
        self._folder(str(self.root), "", deep=deep)
        while self.waiting:
            links, self.waiting = sorted(self.waiting), []
            for path, inner in links:
                if self._is_new(Path(path).stat()):
                    self.seen.links.append(Link(storable(inner), os.path.realpath(path), True))
                    self._folder(path, inner, deep=True)
                else:
                    self.seen.unread.append((storable(inner), "link_again"))

    def _is_new(self, status: os.stat_result) -> bool:
        identity = _identity(status)
        is_new = identity not in self.listed
        self.listed.add(identity)
        return is_new

    def _folder(self, folder: str, inner: str, *, deep: bool) -> None:
        waiting = [(folder, inner)]
        while waiting:
            path, below = waiting.pop()
            for entry in self._entries(path, below):
                name = f"{below}/{entry.name}" if below else entry.name
                if self._is_folder(entry, name) and deep:
                    if entry.is_symlink():
                        self.waiting.append((entry.path, name))
                    elif self._is_new(entry.stat(follow_symlinks=False)):
                        waiting.append((entry.path, name))

    def _entries(self, folder: str, inner: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                yield from entries
        except PermissionError as error:
            if not is_scratch(inner):
                where = storable(folder)
                raise CorpusError(f"{where}: this folder may not be read: give rights to it, or move it out of {self.named}") from error
            self.seen.unread.append((storable(inner), "hidden"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise failure(str(self.root), "list", storable(inner), error) from error

    def _is_folder(self, entry: os.DirEntry[str], name: str) -> bool:
        """Whether it is one; files are entered here, and what is neither is named."""
        try:
            status = entry.stat()
        except OSError as error:
            if not entry.is_symlink() and error.errno not in _ABSENT:
                # A disk that cannot say what is there does not make the corpus smaller.
                raise failure(str(self.root), "look at", storable(name), error) from error
            self.seen.unread.append((storable(name), "dangling_link" if entry.is_symlink() else "gone"))
            self._follow(entry, name)
            return False
        if stat.S_ISREG(status.st_mode):
            self.seen.files.append(Entry(storable(name), status.st_size, timed_version(status.st_size, status.st_mtime)))
            self._follow(entry, name)
        elif not stat.S_ISDIR(status.st_mode):
            self.seen.unread.append((storable(name), "no_file"))
        return stat.S_ISDIR(status.st_mode)

    def _follow(self, entry: os.DirEntry[str], name: str) -> None:
        """Remember where a link to a file, or to nothing, leads: once for each folder, so that a million links cost a glance each."""
        if not entry.is_symlink():
            return
        try:
            link = Path(entry.path)
            there = link.parent / link.readlink()
            if str(there.parent) in self.led_into and not there.is_symlink():
                return
        except OSError:
            return
        self.led_into.add(str(there.parent))
        self.seen.links.append(Link(storable(name), os.path.realpath(there), False))


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
