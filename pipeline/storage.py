"""Bytes in and out of one root, local or s3://, with atomic writes. Knows no ledger and no corpus."""

import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs


class StorageError(ValueError):
    """A root cannot be reached or written; the message says which and why."""


@dataclass(frozen=True)
class Entry:
    """One file below a root: its path relative to the root, and what names its version."""

    path: str
    size_bytes: int
    version: str


def remote_errors() -> tuple[type[Exception], ...]:
    """What file systems raise: OSError, and botocore's own where S3 is in use."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError, botocore.BotoCoreError) if botocore else (OSError,)


def split_root(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system and the path of a local path or URL.

    Raises: StorageError where the protocol is unknown or its package is missing.
    """
    try:
        filesystem, path = url_to_fs(url, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        extra = "; pip install 'fgdata[s3]'" if url.startswith("s3://") else ""
        raise StorageError(f"{url}: {error}{extra}") from error
    return filesystem, path


class Storage:
    """One root. Paths are relative to it, with forward slashes."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") if "://" in root else str(Path(root).absolute())
        self._fs, self._base = split_root(self.root)
        self._is_local = "file" in _protocols(self._fs)

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    def url(self, path: str) -> str:
        """The absolute location of a path, readable from any node that sees the root."""
        return f"{self.root}/{path}" if path else self.root

    def write(self, path: str, content: bytes) -> None:
        """Write all or nothing: one PUT, or a temporary file, fsync and rename."""
        if not self._is_local:
            self._fs.pipe_file(self._full(path), content)
            return
        target = Path(self._full(path))
        temporary = _written_beside(target, content)
        temporary.replace(target)
        _sync_folder(target.parent)

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

    def read(self, path: str) -> bytes:
        """All bytes. Raises: FileNotFoundError."""
        return bytes(self._fs.cat_file(self._full(path)))

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

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """All bytes of each file, None for one that is gone; requests run side by side where the root is remote."""
        if self._is_local:
            return [_read_if_there(Path(self._full(path))) for path in paths]
        full = [self._full(path) for path in paths]
        found = self._fs.cat_ranges(full, [None] * len(full), [None] * len(full), on_error="return") if full else []
        for content in found:
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
        return [None if isinstance(content, Exception) else bytes(content) for content in found]

    def open(self, path: str) -> Any:
        """A binary file object for reading, seekable."""
        return self._fs.open(self._full(path), "rb")

    def exists(self, path: str) -> bool:
        return bool(self._fs.exists(self._full(path)))

    def delete(self, path: str) -> None:
        self._fs.rm_file(self._full(path))

    def files(self, path: str = "") -> list[Entry]:
        """The files directly below a folder, by name; empty where there is no such folder."""
        return sorted(self._entries(path, deep=False), key=lambda entry: entry.path)

    def walk(self, path: str = "") -> list[Entry]:
        """All files below a folder, by path."""
        return sorted(self._entries(path, deep=True), key=lambda entry: entry.path)

    def folders(self, path: str = "") -> list[str]:
        """Names of the folders directly below a folder."""
        try:
            found = self._fs.ls(self._full(path), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(item["name"].rstrip("/").rsplit("/", 1)[-1] for item in found if item["type"] == "directory")

    def _entries(self, path: str, *, deep: bool) -> Iterator[Entry]:
        full = self._full(path)
        try:
            found = list(self._fs.find(full, detail=True).values()) if deep else self._fs.ls(full, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        for item in found:
            name = str(item["name"])
            if item["type"] == "file" and not name.rsplit("/", 1)[-1].startswith(".writing-"):
                yield Entry(name.removeprefix(self._base).lstrip("/"), int(item["size"]), _version(item))


def _read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _version(item: dict[str, Any]) -> str:
    etag = item.get("ETag")
    if etag:
        return str(etag).strip('"')
    moment = item.get("mtime") or item.get("LastModified") or 0
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
    return f"{item['size']}-{int(seconds * 1_000_000)}"


def _written_beside(target: Path, content: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".writing-{uuid.uuid4().hex}"
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
