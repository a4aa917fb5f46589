"""The files of one exported shard as they grow: tar and Parquet, the same bytes for the same records. Knows no stage."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import arrow_schema
from schemas.dataset import ExportRecord, FileDigest

_ROWS_PER_GROUP = 1024
_OWNER = "fgdata"
_EXTENSIONS: Mapping[str, str] = {
    "JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "JPEG2000": "jp2",
    "AVIF": "avif", "PPM": "ppm",
}  # fmt: skip


def extension(image_format: str | None) -> str:
    """The suffix of a file of this format, by Pillow's name of it; `img` for one that is not known."""
    return _EXTENSIONS.get(image_format or "", "img")


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

    def __init__(self, folder: Path) -> None:
        self.tar = HashedFile(folder / "tar")
        self.parquet = HashedFile(folder / "parquet")
        self.finehard = ArrayFile(folder / "finehard")
        self._schema = arrow_schema(ExportRecord)
        # Not webdataset's writer: importing it takes torch along where there is one, 3 s in every export worker.
        self._tar_writer = tarfile.open(fileobj=cast(IO[bytes], self.tar), mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  # closed in __exit__
        self._table_writer = pq.ParquetWriter(self.parquet, self._schema, compression="zstd")
        self._waiting: list[ExportRecord] = []

    def __enter__(self) -> "ShardFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._waiting:
            self._write_group(self._waiting)
        self._tar_writer.close()
        self._table_writer.close()
        self.tar.close()
        self.parquet.close()
        self.finehard.close()

    def add(self, record: ExportRecord, content: bytes | None, suffix: str) -> None:
        """One image: its bytes as they are, if there are any, and its json into the tar, its row into the Parquet file."""
        text = json.dumps(record.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        if content is not None:
            self._add_member(f"{record.key}.{suffix}", content)
        self._add_member(f"{record.key}.json", text.encode())
        self._waiting.append(record)
        if len(self._waiting) == _ROWS_PER_GROUP:
            self._write_group(self._waiting)
            self._waiting = []

    def _add_member(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(content), 0o644, 0
        member.uname = member.gname = _OWNER
        self._tar_writer.addfile(member, io.BytesIO(content))
        self._tar_writer.members.clear()  # type: ignore[attr-defined]  # in no stub; else the headers of the whole shard stay in memory

    def _write_group(self, records: Sequence[ExportRecord]) -> None:
        self._table_writer.write_table(pa.Table.from_pylist([record.model_dump() for record in records], schema=self._schema))
