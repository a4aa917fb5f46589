"""WebDataset tars: members by their headers, sidecars by their key, bytes by ranges. Knows no other format."""

import tarfile
from collections.abc import Sequence
from typing import BinaryIO

from pipeline.corpus.formats.base import Reader, ShardFile
from pipeline.corpus.formats.describe import MAX_SIDECAR_BYTES, Sidecars, described, failed, rest_of, too_long
from pipeline.corpus.names import IMAGE_SUFFIXES, SIDECAR_SUFFIXES, split_key
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.pixels import MAX_FILE_BYTES
from pipeline.storage import Storage
from schemas.rows import CorpusRow

_BLOCK_BYTES = 512
_MAX_GAP_BYTES = 2**20
_MAX_SPAN_BYTES = 64 * 2**20


def read_members(params: CorpusParams, storage: Storage, shard: ShardFile) -> list[CorpusRow]:
    """A row for each image member; where the tar cannot be read on, one for its rest."""
    with storage.open(shard.location) as file:
        return _members(params, shard, file)


def _members(params: CorpusParams, shard: ShardFile, file: BinaryIO) -> list[CorpusRow]:
    rows: list[CorpusRow] = []
    sidecars = Sidecars(params.alt_field)
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # typeshed omits it; else it keeps every header of the shard
                end = member.offset_data + -(-member.size // _BLOCK_BYTES) * _BLOCK_BYTES if member.isreg() else tar.offset
                names = split_key(member.name)
                if not member.isreg() or names is None:
                    continue
                key, suffix = names
                if suffix in IMAGE_SUFFIXES:
                    rows.append(_image(params, shard, file, member, key))
                elif suffix in SIDECAR_SUFFIXES and member.size <= MAX_SIDECAR_BYTES:
                    sidecars.add(key, suffix, _content(file, member))
    except tarfile.TarError:
        pass  # what could not be read is named by _rest
    is_cut = bool(rows) and rows[-1].reason == "truncated_shard"
    return [sidecars.joined(row) for row in rows] + ([] if is_cut else _rest(shard, file, end))


def _image(params: CorpusParams, shard: ShardFile, file: BinaryIO, member: tarfile.TarInfo, key: str) -> CorpusRow:
    place = CorpusRow(key=key, path=shard.location, offset=member.offset_data, size=member.size, member=member.name)
    end = member.offset_data + member.size
    if end > shard.size_bytes:
        return failed(place, reason="truncated_shard", detail=f"the tar ends at byte {shard.size_bytes}, this member at {end}")
    if member.size > MAX_FILE_BYTES:
        return too_long(place, member.size)
    return described(params, place, _content(file, member))


def _content(file: BinaryIO, member: tarfile.TarInfo) -> bytes:
    file.seek(member.offset_data)
    return file.read(member.size)


def _rest(shard: ShardFile, file: BinaryIO, end: int) -> list[CorpusRow]:
    """One failed row that stands for the part of a tar that has no readable header; none where the tar ends well."""
    file.seek(min(end, shard.size_bytes))
    block = file.read(_BLOCK_BYTES)
    if (end > 0 and not block) or (len(block) == _BLOCK_BYTES and not any(block)):
        return []
    place = rest_of(shard, end)
    reason = "truncated_shard" if len(block) < _BLOCK_BYTES else "unreadable_shard"
    detail = f"no readable tar header at byte {end}; the {place.size} bytes from there on are not indexed"
    return [failed(place, reason=reason, detail=detail)]


def read_bytes(_params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """The members' bytes, by ranges of the tar."""
    spans = _coalesced([(row.offset, row.offset + row.size) for row in rows])
    parts = storage.read_ranges(rows[0].path, spans)
    found: list[bytes | None] = []
    for row in rows:
        start, part = next(
            (start, part) for (start, end), part in zip(spans, parts, strict=True) if start <= row.offset < max(end, start + 1)
        )
        found.append(part[row.offset - start : row.offset - start + row.size])
    return found


def _coalesced(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Byte ranges [start, end) merged where the gap is under 1 MiB, up to 64 MiB a span; sorted."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if spans and start - spans[-1][1] < _MAX_GAP_BYTES and end - spans[-1][0] <= _MAX_SPAN_BYTES:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


READER = Reader(read_members, read_bytes)
