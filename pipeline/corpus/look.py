"""A look at the headers of images that an older version indexed: whose pixels are made another way now. Reads no whole shard."""

from collections import defaultdict
from collections.abc import Sequence

from pipeline.corpus.formats.base import reader_of
from pipeline.corpus.formats.table import FORMATS, format_of
from pipeline.corpus.params import CorpusParams, corpus_storage
from pipeline.corpus.pixels import Problem, probe
from pipeline.storage import Storage
from schemas.pixels import SINCE_2
from schemas.rows import CorpusRow

_HEAD_BYTES = 2**15  # a header with a profile is longer only behind an EXIF thumbnail or with a printer's profile: read whole then
_IMAGES_AT_ONCE = 256
_HAVE_LATE_HEADERS = frozenset({"TIFF", "AVIF", "HEIF", "JPEG2000"})
_NEVER_CHANGED = frozenset({"GIF", "BMP", "PPM"})  # neither profiles nor 16 bits with transparency


def looked(params: CorpusParams, rows: Sequence[CorpusRow], since: int) -> list[CorpusRow]:
    """The index rows of one shard, each with the version of its pixels; nothing else of them changes.

    `since`: the version that they say already; formats of which nothing changed after it are not looked at.
    """
    versions: dict[int, int | None] = {}
    wanted = [i for i, row in enumerate(rows) if row.status != "failed" and row.has_pixels and _may_have_changed(row.format, since)]
    for start in range(0, len(wanted), _IMAGES_AT_ONCE):
        part = wanted[start : start + _IMAGES_AT_ONCE]
        versions.update(zip(part, _versions(params, [rows[i] for i in part]), strict=True))
    current = [version if (version := versions.get(i)) is not None else row.pixels for i, row in enumerate(rows)]
    return [row.model_copy(update={"pixels": each}) if each != row.pixels else row for row, each in zip(rows, current, strict=True)]


def _may_have_changed(image_format: str | None, since: int) -> bool:
    return image_format not in _NEVER_CHANGED and (since < 1 or image_format in SINCE_2)


def _versions(params: CorpusParams, rows: Sequence[CorpusRow]) -> list[int | None]:
    """None for what cannot be read, which is the stages' business."""
    storage = corpus_storage(params)
    versions = [_version(params, head) if head else None for head in _heads(storage, rows)]
    rest = [i for i, version in enumerate(versions) if version is None]
    for i, data in zip(rest, _whole(params, storage, [rows[i] for i in rest]), strict=True):
        versions[i] = _version(params, data) if data else None
    return versions


def _version(params: CorpusParams, data: bytes) -> int | None:
    """None where this much of the file does not tell."""
    if _has_no_profile(data):
        return 0
    header = probe(data, params.max_pixels_limit)
    return None if isinstance(header, Problem) else header.pixels


def _has_no_profile(data: bytes) -> bool:
    """Whether a glance says that nothing stands before the pixels that could change them: most images need no more."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return b"ICCP" not in data[:64]  # its reader wants the whole file; a profile would stand first
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        pixels = data.find(b"IDAT")
        return pixels > 0 and not any(chunk in data[:pixels] for chunk in (b"iCCP", b"gAMA", b"tRNS", b"cICP"))
    if data[:3] != b"\xff\xd8\xff":
        return False
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == 0xDA:  # the pixels begin
            return b"ICC_PROFILE" not in data[:position]
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return False


def _heads(storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """The first bytes of each image; None where its header may stand elsewhere, or its bytes have no place of their own."""
    heads: list[bytes | None] = [None] * len(rows)
    places: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row.offset >= 0 and row.format not in _HAVE_LATE_HEADERS:
            places[row.path].append(i)
    for path, places_in_file in places.items():
        ranges = [(rows[i].offset, rows[i].offset + min(rows[i].size, _HEAD_BYTES)) for i in places_in_file]
        try:
            parts = storage.read_ranges(path, ranges)
        except FileNotFoundError:
            continue
        for i, part in zip(places_in_file, parts, strict=True):
            heads[i] = part
    return heads


def _whole(params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    """All bytes of images of one shard."""
    if not rows:
        return []
    readable = [row.model_copy(update={"status": "ok"}) for row in rows]  # those that were filtered too
    return reader_of(FORMATS[format_of(rows[0].path).name]).read_bytes(params, storage, readable)
