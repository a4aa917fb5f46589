"""What the index says of one image, whatever holds it: digest, size, sidecars, or why it failed. Opens no file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pipeline.corpus.benchmarks import hash_bytes
from pipeline.corpus.formats.base import ShardFile
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.pixels import MAX_FILE_BYTES, Problem, probe
from schemas.rows import CorpusRow
from schemas.text import cleaned

MAX_SIDECAR_BYTES = 2**20
# Field of the row -> as img2dataset and others call it, in whatever case.
SOURCE_NAMES = {"url": ("url", "source_url"), "licence": ("license", "licence"), "source_status": ("status",)}


@dataclass
class Sidecars:
    """Texts that lie beside images, by key: the json field goes before the txt."""

    alt_field: str
    alts: dict[str, tuple[int, str]] = field(default_factory=dict)
    sources: dict[str, dict[str, str | None]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, suffix: str, data: bytes) -> None:
        text: object = None
        try:
            content = data.decode("utf-8-sig")
            text = content.strip() if suffix == "txt" else json.loads(content)
        except (ValueError, RecursionError) as error:
            self.broken[key] = f".{suffix} sidecar: {error}"[:200]
        if isinstance(text, dict):
            self.sources[key] = source_of(text)
            text = text.get(self.alt_field)
        rank = 0 if suffix == "json" else 1
        alt, left_out = alt_of(text)
        if left_out is not None:
            self.broken[key] = f".{suffix} sidecar: {left_out}"
        if alt is not None and (key not in self.alts or rank < self.alts[key][0]):
            self.alts[key] = (rank, alt)

    def joined(self, row: CorpusRow) -> CorpusRow:
        """The row with its alt text, and whence it came."""
        alt = self.alts.get(row.key)
        detail = row.detail or self.broken.get(row.key)
        if alt is None and detail == row.detail and row.key not in self.sources:
            return row
        return row.model_copy(update={"alt": alt[1] if alt else None, "detail": detail, **self.sources.get(row.key, {})})


def alt_of(value: object) -> tuple[str | None, str | None]:
    """An alt text as it can be stored, null where there is none; and what was left out of it."""
    if not isinstance(value, str) or not value:
        return None, None
    text, left_out = cleaned(value)
    return text or None, left_out


def source_of(record: Mapping[str, object]) -> dict[str, str | None]:
    """`url`, `licence` and `source_status` of an image, as a sidecar, a row or a line names them; null where it does not."""
    by_lower = {str(name).lower(): value for name, value in reversed([*record.items()])}
    fields = {}
    for field_name, names in SOURCE_NAMES.items():
        texts = (
            cleaned(str(value))[0].strip()
            for name in names
            if isinstance(value := by_lower.get(name), str | int) and not isinstance(value, bool)
        )
        fields[field_name] = next((text for text in texts if text), None)
    return fields


def described(params: CorpusParams, place: CorpusRow, data: bytes) -> CorpusRow:
    """The row of an image whose place is known and whose bytes are at hand: digest, upright size, format, or why it failed."""
    header = probe(data, params.max_pixels_limit)
    sha256 = hashlib.sha256(data).hexdigest()
    if isinstance(header, Problem):
        return failed(place.model_copy(update={"sha256": sha256}), reason=header.reason, detail=header.detail)
    phash = hash_bytes(data, params.max_pixels_limit) if params.needs_hashes else None
    size = {"width": header.width, "height": header.height, "pixels": header.pixels}
    return place.model_copy(update={**size, "sha256": sha256, "format": header.format, "phash": phash})


def failed(place: CorpusRow, *, reason: str, detail: str | None) -> CorpusRow:
    """The row of an image that cannot be used; `reason` is a word from docs/formats.md."""
    return place.model_copy(update={"status": "failed", "reason": reason, "detail": detail})


def too_long(place: CorpusRow, size_bytes: int) -> CorpusRow:
    """The row of an image that is not read because of its size."""
    return failed(place, reason="too_large", detail=f"{size_bytes} bytes, at most {MAX_FILE_BYTES} are read")


def rest_of(shard: ShardFile, offset: int) -> CorpusRow:
    """The place that stands for all of a shard from a byte on; `failed` says why it cannot be read."""
    key = f"{PurePosixPath(shard.location).stem}#rest"
    return CorpusRow(key=key, path=shard.location, offset=offset, size=max(0, shard.size_bytes - offset))
