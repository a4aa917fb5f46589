"""The files of one exported shard as they grow: tar and Parquet, the same bytes for the same records. Knows no stage."""

import hashlib
import os
import tarfile
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import arrow_schema, to_table
from schemas.dataset import ExportRecord, FileDigest, TableRecord
from schemas.json_text import json_bytes

_ROWS_PER_GROUP = 1024
_ROWS_AS_OBJECTS = 64  # Python's collector walks through all objects that wait: a fifth of an export's time where 1,024 rows did
_BYTES_PER_GROUP = 64 * 2**20  # of images, where the table holds them
_BYTES_AT_ONCE = 4 * 2**20  # of a tar: a thread that asks for Python's lock more often waits for it each time
_BYTES_READ = 2**20
_PIECES_BEHIND = 4  # that are not written yet
_PARTS_AT_ONCE = 1024  # that a system takes in one call
_IN_TAR = tuple(ExportRecord.model_fields)  # the json beside the image has no more
_IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))  # as the datasets library stores an image
_OWNER = "fgdata"
_EXTENSIONS: Mapping[str, str] = {
    "JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "JPEG2000": "jp2",
    "AVIF": "avif", "HEIF": "heic", "PPM": "ppm",
}  # fmt: skip


def extension(image_format: str | None) -> str:
    """The suffix of a file of this format, by Pillow's name of it; `img` for one that is not known."""
    return _EXTENSIONS.get(image_format or "", "img")


def readable_suffix(suffix: str) -> str:
    """The suffix under which open_clip finds an image: it looks for these alone, and opens what it finds by content."""
    return suffix if suffix in ("jpg", "png", "webp") else "png"


class HashedFile:
    """A file that is only written to, and hashed on the way."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0
        self.path = path

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self._size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()

    def digest(self, name: str) -> FileDigest:
        """What is said of the file under its name in the data set."""
        return FileDigest(path=name, bytes=self._size, sha256=self._digest.hexdigest())


class TarFile:
    """A tar that is written and hashed by another thread, which holds no lock of Python's while it does: the next record is made meanwhile.

    The bytes are those of tarfile's USTAR stream: plain files in one folder, mode 644, no time, one owner. They are not copied here: what
    was written is read again to be hashed, by that thread too, many members at once.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._digest = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tar")
        self._writing: deque[Future[None]] = deque()
        self._parts: list[bytes] = []
        self._size, self._num_bytes = 0, 0
        self._buffer = bytearray(_BYTES_READ)
        self.path = path

    def add(self, name: str, content: bytes) -> None:
        """One file. Waits where much is yet to be written.

        Raises: OSError where an earlier one could not be written.
        """
        self._put(_header(name, len(content)), content, bytes(-len(content) % tarfile.BLOCKSIZE))

    def close(self) -> None:
        """The end of the tar, filled up to whole records; waits until all is written."""
        try:
            self._put(bytes(2 * tarfile.BLOCKSIZE + -(self._size + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE))
            self._hand_over()
            while self._writing:
                self._writing.popleft().result()
        finally:
            self._thread.shutdown()
            self._file.close()

    def digest(self, name: str) -> FileDigest:
        """What is said of the file under its name in the data set."""
        return FileDigest(path=name, bytes=self._size, sha256=self._digest.hexdigest())

    def _put(self, *parts: bytes) -> None:
        self._parts += parts
        num_bytes = sum(map(len, parts))
        self._size, self._num_bytes = self._size + num_bytes, self._num_bytes + num_bytes
        if self._num_bytes >= _BYTES_AT_ONCE:
            self._hand_over()

    def _hand_over(self) -> None:
        if len(self._writing) == _PIECES_BEHIND:
            self._writing.popleft().result()
        self._writing.append(self._thread.submit(self._write, self._parts, self._size - self._num_bytes, self._size))
        self._parts, self._num_bytes = [], 0

    def _write(self, parts: list[bytes], start: int, end: int) -> None:
        place = start
        for first in range(0, len(parts), _PARTS_AT_ONCE):
            group = parts[first : first + _PARTS_AT_ONCE]
            num_bytes = sum(map(len, group))
            written = os.pwritev(self._file.fileno(), group, place)
            while written < num_bytes:  # a full disk raises, here or with the next call
                written += os.pwrite(self._file.fileno(), memoryview(b"".join(group))[written:], place + written)
            place += num_bytes
        view = memoryview(self._buffer)
        while start < end:
            num_bytes = os.preadv(self._file.fileno(), [view[: end - start]], start)
            assert num_bytes, f"{self.path} was cut while it was written"
            self._digest.update(view[:num_bytes])
            start += num_bytes


class ArrayFile:
    """A file that holds one JSON array, written element by element."""

    def __init__(self, path: Path) -> None:
        self.file = HashedFile(path)
        self.num_elements = 0

    def add(self, element: str) -> None:
        self.file.write(((",\n" if self.num_elements else "[\n") + element).encode())
        self.num_elements += 1

    def close(self) -> None:
        self.file.write(b"\n]\n" if self.num_elements else b"[]\n")
        self.file.close()


class ShardFiles:
    """Tar, Parquet and FineHARD file in a temporary folder, written image by image; holds one row group in memory."""

    def __init__(self, folder: Path, *, holds_images: bool = False) -> None:
        self.tar = TarFile(folder / "tar")
        self.parquet = HashedFile(folder / "parquet")
        self.finehard = ArrayFile(folder / "finehard")
        schema = arrow_schema(TableRecord)
        self._schema = schema.append(_IMAGE) if holds_images else schema
        self._holds_images = holds_images
        self._table_writer = pq.ParquetWriter(self.parquet, self._schema, compression="zstd")
        self._waiting: list[TableRecord] = []
        self._images: list[dict[str, Any] | None] = []
        self._tables: list[pa.Table] = []
        self._waiting_bytes = 0

    def __enter__(self) -> "ShardFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and (self._waiting or self._tables):
            self._write_group()
        self._table_writer.close()
        self.tar.close()
        self.parquet.close()
        self.finehard.close()

    def add(self, record: TableRecord, content: bytes | None, suffix: str, text: str | None = None) -> None:
        """One image: its bytes as they are, if there are any, its json and its text into the tar, its row into the Parquet file."""
        if content is not None:
            self.tar.add(f"{record.key}.{suffix}", content)
        self.tar.add(f"{record.key}.json", json_bytes(record, _IN_TAR))
        if text is not None:
            self.tar.add(f"{record.key}.txt", text.encode(errors="replace"))
        if self._holds_images:
            self._images.append(None if content is None else {"bytes": content, "path": f"{record.key}.{suffix}"})
            self._waiting_bytes += len(content or b"")
        self._waiting.append(record)
        num_rows = sum(map(len, self._tables)) + len(self._waiting)
        if num_rows == _ROWS_PER_GROUP or self._waiting_bytes >= _BYTES_PER_GROUP:
            self._write_group()
        elif len(self._waiting) == _ROWS_AS_OBJECTS:
            self._tables.append(self._taken())

    def _taken(self) -> pa.Table:
        table = to_table(self._waiting, TableRecord)
        if self._holds_images:
            table = table.append_column(_IMAGE, pa.array(self._images, _IMAGE.type))
        self._waiting, self._images = [], []
        return table

    def _write_group(self) -> None:
        group = pa.concat_tables([*self._tables, self._taken()]).combine_chunks()
        self._table_writer.write_table(group)
        self._tables, self._waiting_bytes = [], 0


def _header(name: str, size: int) -> bytes:
    """A member's header block: tarfile's own for a member without name and size, with these two and the new checksum laid over it."""
    block, checksum = _nameless()
    named, sized = name.encode("ascii"), b"%011o" % size
    checksum += sum(named) + sum(sized)
    header = b"".join((named.ljust(100, b"\0"), block[100:124], sized, block[135:148], b"%06o\0 " % checksum, block[156:]))
    assert len(header) == tarfile.BLOCKSIZE, f"{name} is too long or too large for a plain header"
    return header


@lru_cache(maxsize=1)
def _nameless() -> tuple[bytes, int]:
    """A header without name and size, and the sum of its bytes where a checksum counts as blanks."""
    member = tarfile.TarInfo()
    member.mode, member.mtime = 0o644, 0
    member.uname = member.gname = _OWNER
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[124:135], block[148:156] = bytes(11), b" " * 8
    return bytes(block), sum(block)
