"""The members of one shard, one pass over its bytes: tar, Parquet, files of a folder. Cuts no units."""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.benchmarks import hash_bytes
from pipeline.corpus.discover import IMAGE_SUFFIXES, SIDECAR_SUFFIXES, FolderFile, ShardFile, find_image_column, suffix_of
from pipeline.corpus.lines import text_rows
from pipeline.corpus.params import CorpusError, CorpusParams, corpus_storage
from pipeline.corpus.pixels import MAX_FILE_BYTES, Problem, probe
from pipeline.storage import Storage
from schemas.rows import CorpusRow

_MAX_SIDECAR_BYTES = 2**20
_FILES_AT_ONCE = 32
_TAR_BLOCK = 512
_KEY_COLUMNS = ("key", "__key__")
_ALT_COLUMNS = ("caption", "alt", "text", "alt_text")


@dataclass
class _Sidecars:
    """Texts that lie beside images, by key: the json field goes before the txt."""

    alt_field: str
    alts: dict[str, tuple[int, str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, suffix: str, data: bytes) -> None:
        text: object = None
        try:
            content = data.decode("utf-8-sig")
            text = content.strip() if suffix == "txt" else json.loads(content)
        except ValueError as error:
            self.broken[key] = f".{suffix} sidecar: {error}"[:200]
        if isinstance(text, dict):
            text = text.get(self.alt_field)
        rank = 0 if suffix == "json" else 1
        if isinstance(text, str) and text and (key not in self.alts or rank < self.alts[key][0]):
            self.alts[key] = (rank, text)

    def joined(self, key: str, row: CorpusRow) -> CorpusRow:
        alt = self.alts.get(key)
        detail = row.detail or self.broken.get(key)
        return row.model_copy(update={"alt": alt[1] if alt else None, "detail": detail})


def read_members(params: CorpusParams, shard: ShardFile, skip: set[str]) -> list[CorpusRow]:
    """A row for every image of the shard in its own order, units not yet cut; of a folder, paths in `skip` are not read.

    Raises: CorpusError where a Parquet shard has no image column. A broken image or a cut tar is a row, never an error.
    """
    storage = corpus_storage(params)
    if shard.kind == "folder":
        return _folder_rows(params, storage, [file for file in shard.files if file.path not in skip])
    with storage.open(shard.location) as file:
        if shard.kind == "tar":
            return _tar_rows(params, shard, file)
        if shard.kind == "text":
            return text_rows(params, shard, file)
        return _parquet_rows(params, shard, file)


def split_key(member: str) -> tuple[str, str] | None:
    """Key and suffix of a tar member as WebDataset splits them: at the first dot of its name; None for hidden or dotless names."""
    folder, slash, name = member.rpartition("/")
    stem, dot, suffix = name.partition(".")
    if not stem or not dot:
        return None
    return f"{folder}{slash}{stem}", suffix.lower()


def _described(params: CorpusParams, data: bytes, **where: Any) -> CorpusRow:
    """The row of one image whose bytes are at hand: digest, upright size, format, or why it failed."""
    found = probe(data, params.max_pixels_limit)
    sha256 = hashlib.sha256(data).hexdigest()
    if isinstance(found, Problem):
        return CorpusRow(**where, sha256=sha256, status="failed", reason=found.reason, detail=found.detail)
    phash = None if params.benchmark_hashes is None else hash_bytes(data, params.max_pixels_limit)
    return CorpusRow(**where, sha256=sha256, width=found.width, height=found.height, format=found.format, phash=phash)


def _too_long(size: int, **where: Any) -> CorpusRow:
    detail = f"{size} bytes, at most {MAX_FILE_BYTES} are read"
    return CorpusRow(**where, status="failed", reason="too_large", detail=detail)


def _tar_rows(params: CorpusParams, shard: ShardFile, file: BinaryIO) -> list[CorpusRow]:
    rows: list[tuple[str, CorpusRow]] = []
    sidecars = _Sidecars(params.alt_field)
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # typeshed omits it; else it keeps every header of the shard
                end = member.offset_data + -(-member.size // _TAR_BLOCK) * _TAR_BLOCK if member.isreg() else tar.offset
                names = split_key(member.name)
                if member.isreg() and names is not None:
                    _take_member(params, shard, file, member, names, rows, sidecars)
    except tarfile.TarError:
        pass  # what could not be read is named by _rest
    joined = [sidecars.joined(key, row) for key, row in rows]
    last_is_cut = bool(joined) and joined[-1].reason == "truncated_shard"
    return joined if last_is_cut else joined + _rest(shard, file, end)


def _take_member(
    params: CorpusParams,
    shard: ShardFile,
    file: BinaryIO,
    member: tarfile.TarInfo,
    names: tuple[str, str],
    rows: list[tuple[str, CorpusRow]],
    sidecars: _Sidecars,
) -> None:
    key, suffix = names
    if suffix not in IMAGE_SUFFIXES and suffix not in SIDECAR_SUFFIXES:
        return
    where: dict[str, Any] = {"key": key, "path": shard.location, "offset": member.offset_data, "size": member.size, "member": member.name}
    is_image = suffix in IMAGE_SUFFIXES
    if is_image and member.offset_data + member.size > shard.size_bytes:
        detail = f"the tar ends at byte {shard.size_bytes}, this member at {member.offset_data + member.size}"
        rows.append((key, CorpusRow(**where, status="failed", reason="truncated_shard", detail=detail)))
        return
    if is_image and member.size > MAX_FILE_BYTES:
        rows.append((key, _too_long(member.size, **where)))
    elif is_image or member.size <= _MAX_SIDECAR_BYTES:
        file.seek(member.offset_data)
        data = file.read(member.size)
        if is_image:
            rows.append((key, _described(params, data, **where)))
        else:
            sidecars.add(key, suffix, data)


def _rest(shard: ShardFile, file: BinaryIO, end: int) -> list[CorpusRow]:
    """One failed row that stands for the part of a tar that has no readable header; none where the tar ends well."""
    file.seek(min(end, shard.size_bytes))
    block = file.read(_TAR_BLOCK)
    if (end > 0 and not block) or (len(block) == _TAR_BLOCK and not any(block)):
        return []
    reason = "truncated_shard" if len(block) < _TAR_BLOCK else "unreadable_shard"
    size = max(0, shard.size_bytes - end)
    detail = f"no readable tar header at byte {end}; the {size} bytes from there on are not indexed"
    key = f"{PurePosixPath(shard.location).stem}#rest"
    where: dict[str, Any] = {"path": shard.location, "offset": end, "size": size}
    return [CorpusRow(key=key, **where, status="failed", reason=reason, detail=detail)]


def _parquet_rows(params: CorpusParams, shard: ShardFile, file: BinaryIO) -> list[CorpusRow]:
    try:
        table = pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False)
    except pa.ArrowInvalid as error:
        key = f"{PurePosixPath(shard.location).stem}#rest"
        where: dict[str, Any] = {"path": shard.location, "offset": 0, "size": shard.size_bytes}
        return [CorpusRow(key=key, **where, status="failed", reason="unreadable_shard", detail=str(error)[:200])]
    image, key_column, alt_column = _columns(params, shard, table.schema_arrow)
    state = [name for name in ("status", "error_message") if name in table.schema_arrow.names]
    wanted = [name for name in {image, key_column, alt_column, *state} if name is not None]
    rows: list[CorpusRow] = []
    for batch in table.iter_batches(batch_size=_FILES_AT_ONCE, columns=wanted):
        for record in batch.to_pylist():
            number = len(rows)
            key = str(record[key_column]) if key_column is not None and record[key_column] is not None else f"{number:09d}"
            alt = record.get(alt_column) if alt_column is not None else None
            row = _parquet_row(params, shard, record, image=image, key=key, number=number)
            rows.append(row.model_copy(update={"alt": alt if isinstance(alt, str) and alt else None}))
    return rows


def _parquet_row(params: CorpusParams, shard: ShardFile, record: dict[str, Any], *, image: str, key: str, number: int) -> CorpusRow:
    data = image_bytes(record[image])
    where: dict[str, Any] = {"key": key, "path": shard.location, "offset": -1, "size": len(data or b""), "row": number}
    if data is None and record.get("status", "success") != "success":
        message = f"{record['status']}: {record.get('error_message')}"[:200]
        return CorpusRow(**where, status="failed", reason="not_downloaded", detail=message)
    if len(data or b"") > MAX_FILE_BYTES:
        return _too_long(len(data or b""), **where)
    return _described(params, data or b"", **where)


def image_bytes(value: Any) -> bytes | None:
    """The bytes of a Parquet cell: binary, or a struct with a field `bytes`."""
    found = value.get("bytes") if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else None


def _columns(params: CorpusParams, shard: ShardFile, schema: pa.Schema) -> tuple[str, str | None, str | None]:
    image = find_image_column(schema, params.image_column)
    for wanted in (params.key_column, params.alt_column):
        if wanted is not None and wanted not in schema.names:
            raise CorpusError(f"{shard.location}: no column {wanted!r}; it has {', '.join(schema.names)}")
    if image is None:
        what = "column of bytes" if params.image_column is None else f"column of bytes named {params.image_column!r}"
        raise CorpusError(f"{shard.location}: no {what} among {', '.join(schema.names)}: set corpus.image_column")
    return image, params.key_column or _named(schema, _KEY_COLUMNS), params.alt_column or _named(schema, _ALT_COLUMNS)


def _named(schema: pa.Schema, candidates: tuple[str, ...]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(schema.names)}
    return next((by_lower[name] for name in candidates if name in by_lower), None)


def _folder_rows(params: CorpusParams, storage: Storage, files: list[FolderFile]) -> list[CorpusRow]:
    rows: list[CorpusRow] = []
    for start in range(0, len(files), _FILES_AT_ONCE):
        batch = files[start : start + _FILES_AT_ONCE]
        small = [file for file in batch if file.size_bytes <= MAX_FILE_BYTES]
        paths = [file.path for file in small] + [path for file in batch for path in file.sidecars]
        content = dict(zip(paths, storage.read_many(paths), strict=True))
        rows += [_folder_row(params, file, content.get) for file in batch]
    return rows


def _folder_row(params: CorpusParams, file: FolderFile, content: Callable[[str], bytes | None]) -> CorpusRow:
    name = PurePosixPath(file.path).name
    where: dict[str, Any] = {
        "key": file.key,
        "path": file.path,
        "offset": 0,
        "size": file.size_bytes,
        "member": name,
        "version": file.version,
    }
    if file.size_bytes > MAX_FILE_BYTES:
        return _too_long(file.size_bytes, **where)
    data = content(file.path)
    if data is None:
        return CorpusRow(**where, status="failed", reason="missing", detail="listed, and gone when it was to be read")
    sidecars = _Sidecars(params.alt_field)
    for path in file.sidecars:
        text = content(path)
        if text is not None and len(text) <= _MAX_SIDECAR_BYTES:
            sidecars.add(file.key, suffix_of(path), text)
    return sidecars.joined(file.key, _described(params, data, **{**where, "size": len(data)}))


def unique_keys(rows: list[CorpusRow], taken: set[str]) -> Iterator[CorpusRow]:
    """The rows with one key each: a second one of a name is failed `duplicate_key`, its key suffixed #2, #3."""
    for row in rows:
        key, count = row.key, 1
        while key in taken:
            count += 1
            key = f"{row.key}#{count}"
        taken.add(key)
        if count == 1:
            yield row
        else:
            detail = f"key {row.key!r} came before in this shard"
            yield row.model_copy(update={"key": key, "status": "failed", "reason": "duplicate_key", "detail": detail})
