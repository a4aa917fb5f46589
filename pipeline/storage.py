"""Bytes in and out of one root, local or s3:// and the like, with atomic writes. Knows no ledger and no corpus."""

import contextlib
import errno
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage_errors import named
from schemas.names import original, storable

# Where a listing names each file's version; any other protocol is refused, because its changed bytes would go unseen.
PROTOCOLS = ("file", "local", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory")
# What names the content in a listing of S3, Google Storage, Azure and Hugging Face; else the time does.
_CONTENT_FIELDS = ("ETag", "md5Hash", "content_md5", "etag", "blob_id", "generation")
_TIME_FIELDS = ("mtime", "LastModified", "last_modified", "updated", "created")
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class StorageError(ValueError):
    """A root cannot be reached or written; the message says which and why."""


@dataclass(frozen=True)
class Entry:
    """One file below a root: its path relative to the root, and what names its version."""

    path: str
    size_bytes: int
    version: str


def remote_errors() -> tuple[type[Exception], ...]:
    """What file systems raise: OSError, and the errors of S3's libraries where they are in use."""
    named = (("botocore.exceptions", "BotoCoreError"), ("botocore.exceptions", "ClientError"), ("aiohttp", "ClientError"))
    return (OSError, *(getattr(sys.modules[module], name) for module, name in named if module in sys.modules))


def split_root(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system and the path of a local path or URL, taken as it stands: `::`, `?`, `#` and brackets mean themselves.

    Raises: StorageError where the protocol is unknown or its package is missing.
    """
    protocol, mark, _ = url.partition("://")
    if not mark:
        return LocalFileSystem(), url
    if protocol not in PROTOCOLS:
        known = ", ".join(f"{name}://" for name in ("s3", "gs", "az", "hf"))
        raise StorageError(f"{url}: {protocol}:// is not read, because its listings name no versions: use a local path, {known}")
    try:
        kind = fsspec.get_filesystem_class(protocol)
        options = kind._get_kwargs_from_urls(url)  # noqa: SLF001  # as url_to_fs, which would split the path at `::`
        return kind(**{"use_listings_cache": False, **options}), str(kind._strip_protocol(url))  # noqa: SLF001
    except (ValueError, ImportError) as error:
        extra = "; pip install 'fgdata[s3]'" if protocol.startswith("s3") else ""
        raise StorageError(f"{url}: {error}{extra}") from error


class Storage:
    """One root. Paths are relative to it, with forward slashes; a name that is no text is written as `schemas.names` writes it."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") if "://" in root else str(Path(root).absolute())
        self._fs, self._base = split_root(self.root)
        self._is_local = "file" in _protocols(self._fs)

    def _full(self, path: str) -> str:
        return f"{self._base}/{original(path)}" if path else self._base

    @property
    def local_root(self) -> Path | None:
        """The root's folder where it is local."""
        return Path(self._base) if self._is_local else None

    def url(self, path: str) -> str:
        """The absolute location of a path, readable from any node that sees the root."""
        return f"{self.root}/{path}" if path else self.root

    @named("write", remote_errors)
    def write(self, path: str, content: bytes) -> None:
        """Write all or nothing: one PUT, or a temporary file, fsync and rename."""
        if not self._is_local:
            self._fs.pipe_file(self._full(path), content)
            return
        target = Path(self._full(path))
        temporary = _written_beside(target, content)
        temporary.replace(target)
        _sync_folder(target.parent)

    @named("write", remote_errors)
    def write_file(self, path: str, source: Path) -> None:
        """Write a finished local file all or nothing; the source is moved or copied away from where it was."""
        if not self._is_local:
            self._fs.put_file(str(source), self._full(path))
            source.unlink()
            return
        target = Path(self._full(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".writing-{uuid.uuid4().hex}"
        shutil.move(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)

    @named("write", remote_errors)
    def write_if_absent(self, path: str, content: bytes) -> bool:
        """Write unless the path exists; says whether this call wrote it."""
        if not self._is_local:
            try:
                self._fs.pipe_file(self._full(path), content, mode="create")
            except FileExistsError:
                return False
            return True
        target = Path(self._full(path))
        temporary = _written_beside(target, content)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        _sync_folder(target.parent)
        return True

    @named("read", remote_errors)
    def read(self, path: str) -> bytes:
        """All bytes. Raises: FileNotFoundError."""
        return bytes(self._fs.cat_file(self._full(path)))

    @named("read", remote_errors)
    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes [start, end) of each range, from one open file or parallel range requests."""
        if not self._is_local:
            full = [self._full(path)] * len(ranges)
            return [bytes(part) for part in self._fs.cat_ranges(full, [a for a, _ in ranges], [b for _, b in ranges], on_error="raise")]
        parts = []
        with open(self._full(path), "rb") as file:
            for start, end in ranges:
                file.seek(start)
                parts.append(file.read(end - start))
        return parts

    @named("read", remote_errors)
    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """All bytes of each file, None for one that is gone; requests run side by side where the root is remote."""
        if self._is_local:
            return [_read_if_there(Path(self._full(path))) for path in paths]
        full = [self._full(path) for path in paths]
        contents = self._fs.cat_ranges(full, [None] * len(full), [None] * len(full), on_error="return") if full else []
        for content in contents:
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
        return [None if isinstance(content, Exception) else bytes(content) for content in contents]

    @named("read", remote_errors)
    def open(self, path: str) -> Any:
        """A binary file object for reading, seekable."""
        return open(self._full(path), "rb") if self._is_local else self._fs.open(self._full(path), "rb")

    @named("look for", remote_errors)
    def exists(self, path: str) -> bool:
        """Whether something is there; what cannot be told is raised, and never taken for absence."""
        if self._is_local:
            return _looked_at(self._full(path)) is not None
        return bool(self._fs.exists(self._full(path)))

    @named("look for", remote_errors)
    def is_file(self, path: str) -> bool:
        """Whether a file of exactly this name is there."""
        if self._is_local:
            status = _looked_at(self._full(path))
            return status is not None and stat.S_ISREG(status.st_mode)
        try:
            return bool(self._fs.info(self._full(path))["type"] == "file")
        except FileNotFoundError:
            return False

    @named("remove", remote_errors)
    def delete(self, path: str) -> None:
        self._fs.rm_file(self._full(path))

    @named("list", remote_errors)
    def files(self, path: str = "") -> list[Entry]:
        """The files directly below a folder, by name; empty where there is no such folder."""
        return sorted(self._entries(path, deep=False), key=lambda entry: entry.path)

    @named("list", remote_errors)
    def walk(self, path: str = "") -> list[Entry]:
        """All files below a folder, by path."""
        return sorted(self._entries(path, deep=True), key=lambda entry: entry.path)

    def temporaries(self, older_than_s: float) -> list[Entry]:
        """Temporary files that were left where a write was ended; a remote root has none."""
        if not self._is_local:
            return []
        left = []
        for path in sorted(Path(self._base).rglob(".writing-*")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if time.time() - status.st_mtime > older_than_s:
                    left.append(Entry(str(path.relative_to(self._base)), status.st_size, ""))
        return left

    @named("list", remote_errors)
    def folders(self, path: str = "") -> list[str]:
        """Names of the folders directly below a folder."""
        try:
            items = self._fs.ls(self._full(path), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(item["name"].rstrip("/").rsplit("/", 1)[-1] for item in items if item["type"] == "directory")

    def _entries(self, path: str, *, deep: bool) -> Iterator[Entry]:
        full = self._full(path)
        try:
            items = self._found_below(full) if deep else self._fs.ls(full, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        for item in items:
            name = str(item["name"])
            is_folder = name.endswith("/")  # the mark of one, as consoles make it in a bucket
            if item["type"] == "file" and not is_folder and not name.rsplit("/", 1)[-1].startswith(".writing-"):
                inner = name.removeprefix(self._base).removeprefix("/")
                yield Entry(storable(inner), int(item["size"]), self._version(item))

    def _found_below(self, full: str) -> list[dict[str, Any]]:
        if not self._is_local:
            return list(self._fs.find(full, detail=True).values())
        items, waiting = list(self._fs.ls(full, detail=True)), 0  # its own `find` takes a folder that it cannot read for an empty one
        while waiting < len(items):
            if items[waiting]["type"] == "directory":
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    items += self._fs.ls(items[waiting]["name"], detail=True)
            waiting += 1
        return items

    def _version(self, item: dict[str, Any]) -> str:
        named = next((item[field] for field in _CONTENT_FIELDS if item.get(field)), None)
        if named is not None:
            return str(named).strip('"')
        moment = next((item[field] for field in _TIME_FIELDS if item.get(field) is not None), None)
        if moment is None:
            raise StorageError(f"{self.root}: its listing names no version of {item['name']}: copy the files to s3:// or a local folder")
        if isinstance(moment, str):
            return f"{item['size']}-{moment}"
        return timed_version(int(item["size"]), moment.timestamp() if isinstance(moment, datetime) else float(moment))


def timed_version(size_bytes: int, seconds: float) -> str:
    """What names the version of a file whose content nothing names: its size and the time of its last change."""
    return f"{size_bytes}-{int(seconds * 1_000_000)}"


def _looked_at(path: str) -> os.stat_result | None:
    """What is at a local path; None where nothing is, or nothing can be."""
    try:
        return Path(path).stat()
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _written_beside(target: Path, content: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".writing-{uuid.uuid4().hex}"
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        _discard(temporary)
        raise
    return temporary


def _discard(temporary: Path) -> None:
    """Give a full disk its room back; what cannot be removed now, `gc` removes later."""
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
