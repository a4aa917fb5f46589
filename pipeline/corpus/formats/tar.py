"""WebDataset tars: members by their headers, sidecars by their key, bytes by ranges. Knows no other format."""

import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import BinaryIO

from pipeline.corpus.formats.base import Read, Reader, ShardFile
from pipeline.corpus.formats.describe import MAX_SIDECAR_BYTES, Sidecars, described, failed, rest_of, too_long
from pipeline.corpus.listed.account import Members, left_out
from pipeline.corpus.names import IMAGE_SUFFIXES, SIDECAR_SUFFIXES, split_member, why_no_image
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.pixels import MAX_FILE_BYTES
from pipeline.storage import Storage
from schemas.names import storable
from schemas.rows import CorpusRow

_BLOCK_BYTES = 512
_SCAN_BYTES = 2**20
_MAX_GAP_BYTES = 2**20
_MAX_SPAN_BYTES = 64 * 2**20
# What tarfile raises on headers that are none: its own errors, and those of the numbers and texts in them.
_BAD_HEADER = (tarfile.TarError, ValueError, OverflowError, EOFError, LookupError, TypeError)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd", b"BZ": "bzip2", b"\xfd7": "xz"}


@dataclass(frozen=True)
class _Place:
    """A member: where its bytes lie, of a link where those of its target do; `problem` says why there are none to be had."""

    number: int
    name: str
    offset: int = -1
    size: int = 0
    target: str | None = None
    problem: str | None = None


def read_members(params: CorpusParams, storage: Storage, shard: ShardFile) -> Read:
    """A row for each image member; where the tar cannot be read on, one for its rest."""
    with storage.open(shard.location) as file:
        return _Tar(params, shard, file).read()


class _Tar:
    """The members of one tar. What follows its end mark, as where tars were joined to one file, is read on."""

    def __init__(self, params: CorpusParams, shard: ShardFile, file: BinaryIO) -> None:
        self.params, self.shard, self.file = params, shard, file
        self.sidecars = Sidecars(params.alt_field)
        self.rows: dict[int, CorpusRow] = {}  # by the member's number
        self.lone: list[tuple[str, str]] = []  # sidecars: key and name
        self.unread: list[tuple[str, str]] = []
        self.end = 0

    def read(self) -> Read:
        """All of its members: first what is no link, then links, which may lead to a member behind them."""
        links, num_members = [], 0
        for place in self._places():
            num_members += 1
            if place.target is None:
                self._take(place)
            else:
                links.append(place)
        end = self.end
        for place in self._resolved(links) if links else ():
            self._take(place)
        images = [self.sidecars.joined(self.rows[number]) for number in sorted(self.rows)]
        is_cut = bool(images) and images[-1].reason == "truncated_shard"
        rest = [] if is_cut else _rest(self.shard, self.file, end)
        keys = {row.key for row in images}
        alone = [(name, "lone_sidecar") for key, name in self.lone if key not in keys]
        counts = Members(num_members + len(rest), len(self.lone) - len(alone), left_out([*self.unread, *alone]))
        return Read([*images, *rest], counts)

    def _places(self) -> Iterator[_Place]:
        number = 0
        start: int | None = 0
        while start is not None:
            self.end = start
            for member in self._headers(start):
                if not member.isdir():
                    yield _place(number, member)
                    number += 1
            start = self._next_part(start)

    def _headers(self, start: int) -> Iterator[tarfile.TarInfo]:
        """The headers from an offset to the next end mark, or to what is no header; `end` is then where that stands."""
        self.file.seek(start)
        try:
            with tarfile.open(fileobj=self.file, mode="r:") as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # typeshed omits it; else it keeps every header of the shard
                    if member.size < 0:
                        return  # a number that tarfile takes, and that leads back to where it has been
                    self.end = tar.offset
                    yield member
        except _BAD_HEADER:
            pass  # what could not be read is named by _rest

    def _next_part(self, start: int) -> int | None:
        """Where something follows the end mark; None where nothing does, or where there is no end mark."""
        if self.end >= self.shard.size_bytes or (self.end == start and start > 0):
            return None
        self.file.seek(self.end)
        block = self.file.read(_BLOCK_BYTES)
        if not block or any(block):
            return None
        position = self.end + len(block)
        while chunk := self.file.read(_SCAN_BYTES):
            if any(chunk):
                first = position + len(chunk) - len(chunk.lstrip(b"\0"))
                return first // _BLOCK_BYTES * _BLOCK_BYTES
            position += len(chunk)
        return None

    def _resolved(self, links: list[_Place]) -> Iterator[_Place]:
        """The links with the place of their target, through links to links; a second pass finds the targets."""
        onward = {_plain(link.name): link.target or "" for link in links}
        ends = {_plain(link.name): _followed(link.target or "", onward) for link in links}
        wanted = set(ends.values())
        targets = {_plain(place.name): place for place in self._places() if place.target is None and _plain(place.name) in wanted}
        for link in links:
            target = targets.get(ends[_plain(link.name)])
            if target is None:
                yield replace(link, problem=f"a link to {link.target}, which is not in this tar")
            else:
                yield replace(link, offset=target.offset, size=target.size, problem=target.problem)

    def _take(self, place: _Place) -> None:
        names = split_member(place.name)
        key, suffix = names or ("", "")
        if suffix in IMAGE_SUFFIXES:
            self.rows[place.number] = self._image(place, key)
        elif suffix in SIDECAR_SUFFIXES:
            self.lone.append((key, place.name))
            self._sidecar(place, key, suffix)
        else:
            self.unread.append((place.name, "no_file" if place.problem and not place.target else why_no_image(place.name)))

    def _sidecar(self, place: _Place, key: str, suffix: str) -> None:
        problem = place.problem
        if problem is None and place.offset + place.size > self.shard.size_bytes:
            problem = "cut off by the end of the tar"
        if problem is None and place.size > MAX_SIDECAR_BYTES:
            problem = f"{place.size} bytes, at most {MAX_SIDECAR_BYTES} are read"
        if problem is None:
            self.sidecars.add(key, suffix, self._content(place))
        else:
            self.sidecars.broken[key] = f".{suffix} sidecar: {problem}"

    def _image(self, place: _Place, key: str) -> CorpusRow:
        row = CorpusRow(key=key, path=self.shard.location, offset=place.offset, size=place.size, member=place.name)
        end, size = place.offset + place.size, self.shard.size_bytes
        if place.problem is not None:
            reason = "link_without_target" if place.target is not None and place.offset < 0 else "unreadable"
            return failed(row, reason=reason, detail=place.problem[:200])
        if end > size:
            return failed(row, reason="truncated_shard", detail=f"the tar ends at byte {size}, this member at {end}")
        if place.size > MAX_FILE_BYTES:
            return too_long(row, place.size)
        return described(self.params, row, self._content(place))

    def _content(self, place: _Place) -> bytes:
        self.file.seek(place.offset)
        return self.file.read(place.size)


def _place(number: int, member: tarfile.TarInfo) -> _Place:
    name = storable(member.name)
    if member.islnk():
        return _Place(number, name, target=_plain(storable(member.linkname)))
    if member.issym():
        return _Place(number, name, target=_plain(str(PurePosixPath(name).parent / storable(member.linkname))))
    if not member.isreg():
        return _Place(number, name, member.offset, problem="it is neither a file nor a link")
    problem = "it is a sparse file, whose bytes lie apart" if member.issparse() else None
    return _Place(number, name, member.offset_data, member.size, problem=problem)


def _plain(name: str) -> str:
    """A member's name without `.` and `..`: what a link leads to."""
    return posixpath.normpath(name).lstrip("/")


def _followed(target: str, onward: dict[str, str]) -> str:
    seen: set[str] = set()
    while target in onward and target not in seen:
        seen.add(target)
        target = onward[target]
    return target


def _rest(shard: ShardFile, file: BinaryIO, end: int) -> list[CorpusRow]:
    """One failed row that stands for the part of a tar that has no readable header; none where the tar ends well."""
    file.seek(min(end, shard.size_bytes))
    block = file.read(_BLOCK_BYTES)
    if (end > 0 and not block) or (len(block) == _BLOCK_BYTES and not any(block)):
        return []
    place = rest_of(shard, end)
    reason = "truncated_shard" if len(block) < _BLOCK_BYTES else "unreadable_shard"
    detail = f"no readable tar header at byte {end}; the {place.size} bytes from there on are not indexed"
    compressed = _COMPRESSED.get(block[:2])
    if end == 0 and compressed:
        detail = f"it is compressed ({compressed}) and cannot be read by range: decompress it"
    return [failed(place, reason=reason, detail=detail)]


def read_bytes(_params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """The members' bytes, by ranges of the tar."""
    spans = _coalesced([(row.offset, row.offset + row.size) for row in rows])
    parts = storage.read_ranges(rows[0].path, spans)
    contents: list[bytes | None] = []
    for row in rows:
        start, part = next(
            (start, part) for (start, end), part in zip(spans, parts, strict=True) if start <= row.offset < max(end, start + 1)
        )
        contents.append(part[row.offset - start : row.offset - start + row.size])
    return contents


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
