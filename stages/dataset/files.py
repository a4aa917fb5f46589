"""The files of one exported shard as they grow: tar and Parquet, the same bytes for the same records. Knows no stage."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import arrow_schema
from schemas.dataset import ExportRecord, FileDigest, TableRecord

_ROWS_PER_GROUP = 1024
_BYTES_PER_GROUP = 64 * 2**20  # of images, where the table holds them
_IN_TAR = set(ExportRecord.model_fields)  # the json beside the image has no more
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
        self.tar = HashedFile(folder / "tar")
        self.parquet = HashedFile(folder / "parquet")
        self.finehard = ArrayFile(folder / "finehard")
        schema = arrow_schema(TableRecord)
        self._schema = schema.append(_IMAGE) if holds_images else schema
        self._holds_images = holds_images
        # Not webdataset's writer: importing it takes torch along where there is one, 3 s in every export worker.
        self._tar_writer = tarfile.open(fileobj=cast(IO[bytes], self.tar), mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  # closed in __exit__
        self._table_writer = pq.ParquetWriter(self.parquet, self._schema, compression="zstd")
        self._waiting: list[dict[str, Any]] = []
        self._waiting_bytes = 0

    def __enter__(self) -> "ShardFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._waiting:
            self._write_group()
        self._tar_writer.close()
        self._table_writer.close()
        self.tar.close()
        self.parquet.close()
        self.finehard.close()

    def add(self, record: TableRecord, content: bytes | None, suffix: str, text: str | None = None) -> None:
        """One image: its bytes as they are, if there are any, its json and its text into the tar, its row into the Parquet file."""
        line = json.dumps(record.model_dump(mode="json", include=_IN_TAR), sort_keys=True, ensure_ascii=False)
        if content is not None:
            self._add_member(f"{record.key}.{suffix}", content)
        self._add_member(f"{record.key}.json", line.encode())
        if text is not None:
            self._add_member(f"{record.key}.txt", text.encode(errors="replace"))
        row = record.model_dump()
        if self._holds_images:
            row["image"] = None if content is None else {"bytes": content, "path": f"{record.key}.{suffix}"}
            self._waiting_bytes += len(content or b"")
        self._waiting.append(row)
        if len(self._waiting) == _ROWS_PER_GROUP or self._waiting_bytes >= _BYTES_PER_GROUP:
            self._write_group()

    def _add_member(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(content), 0o644, 0
        member.uname = member.gname = _OWNER
        self._tar_writer.addfile(member, io.BytesIO(content))
        self._tar_writer.members.clear()  # type: ignore[attr-defined]  # in no stub; else the headers of the whole shard stay in memory

    def _write_group(self) -> None:
        self._table_writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting, self._waiting_bytes = [], 0
