"""Marks indexed images: exact duplicates, sizes, what resembles a benchmark, near-duplicates. What was first stays first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.corpus.benchmarks import RESEMBLES, Benchmarks, as_bits
from pipeline.corpus.marks.near import KeptHashes
from pipeline.corpus.marks.rules import filtered, rules_digest, sized
from pipeline.corpus.params import CorpusParams
from schemas.rows import CorpusRow

MARK_COLUMNS = ("key", "status", "reason", "sha256", "duplicate_of", "phash", "near_duplicate_of")


@dataclass(frozen=True)
class Marked:
    """What an index file holds of an image that stays, as far as marks go."""

    key: str
    sha256: str
    duplicate_of: str | None
    phash: str | None
    near_duplicate_of: str | None
    reason: str | None


class Marker:
    """The first image of each content, and the hashes of those that stay: about 350 bytes an image of the whole corpus.

    First `enter` what stays of every shard, then `enter_orphans`, then mark shard after shard.
    """

    def __init__(self, params: CorpusParams, benchmarks: Benchmarks | None) -> None:
        self.params, self.benchmarks = params, benchmarks
        self.rules = rules_digest(params)
        self._first: dict[bytes, str] = {}
        self._orphans: list[tuple[str, str]] = []
        self._kept = KeptHashes(params.near_duplicate_distance) if params.near_duplicates == "filter" else None
        self._settled: dict[str, set[str]] = {}

    def enter(self, shard_id: str, images: Sequence[Marked], *, rules: str, is_marked_again: bool) -> None:
        """What stays of a shard whose marks were made under these rules."""
        for image in images:
            if image.duplicate_of is None:
                self._first.setdefault(bytes.fromhex(image.sha256), f"{shard_id}/{image.key}")
            else:
                self._orphans.append((image.sha256, f"{shard_id}/{image.key}"))
        if self._kept is None or rules != self.rules:
            return
        stay = [image for image in images if image.phash and image.reason is None]
        self._kept.keep(as_bits([image.phash or "" for image in stay]), [f"{shard_id}/{image.key}" for image in stay])
        if is_marked_again:
            self._settled[shard_id] = {image.key for image in stay}

    def enter_orphans(self) -> None:
        """Those whose first has gone: the next takes its place."""
        for sha256, reference in self._orphans:
            self._first.setdefault(bytes.fromhex(sha256), reference)
        self._orphans.clear()

    def mark(self, shard_id: str, rows: Sequence[CorpusRow]) -> list[CorpusRow]:
        """The rows of a shard with the marks that hold now."""
        fresh = (_unmarked(row) for row in rows)
        sized_rows = [sized(self.params, self._exact(f"{shard_id}/{row.key}", row)) for row in fresh]
        return self._near(shard_id, self._keep_out(sized_rows), self._settled.pop(shard_id, ()))

    def _exact(self, reference: str, row: CorpusRow) -> CorpusRow:
        if not row.sha256 or row.status != "ok":
            return row
        first = self._first.setdefault(bytes.fromhex(row.sha256), reference)
        duplicate_of = None if first == reference else first
        marked = row.model_copy(update={"duplicate_of": duplicate_of}) if duplicate_of else row
        is_filtered = duplicate_of is not None and self.params.duplicates == "filter"
        return filtered(marked, reason="duplicate", detail=marked.detail) if is_filtered else marked

    def _keep_out(self, rows: list[CorpusRow]) -> list[CorpusRow]:
        """Filter the images that are ok and resemble one of the benchmarks'."""
        if self.benchmarks is None:
            return rows
        places = [place for place, row in enumerate(rows) if row.status == "ok" and row.phash is not None]
        near = self.benchmarks.nearest(as_bits([rows[place].phash or "" for place in places]))
        for place, closest in zip(places, near, strict=True):
            if closest is not None:
                rows[place] = filtered(rows[place], reason=RESEMBLES, detail=f"{closest[1]} of 64 bits from {closest[0]}")
        return rows

    def _near(self, shard_id: str, rows: list[CorpusRow], settled: Collection[str]) -> list[CorpusRow]:
        """Filter the images that are ok and resemble one that came before and stays."""
        if self._kept is None:
            return rows
        places = [i for i, row in enumerate(rows) if row.status == "ok" and row.phash is not None and row.key not in settled]
        near = self._kept.take(
            as_bits([rows[place].phash or "" for place in places]), [f"{shard_id}/{rows[place].key}" for place in places]
        )
        for place, earlier in zip(places, near, strict=True):
            if earlier is not None:
                row = rows[place].model_copy(update={"near_duplicate_of": earlier.name})
                rows[place] = filtered(row, reason="near_duplicate", detail=f"{earlier.bits} of 64 bits from {earlier.name}")
        return rows


def _unmarked(row: CorpusRow) -> CorpusRow:
    """The row as it was read: whatever is filtered in an index is so by a mark."""
    if row.status != "filtered" and row.duplicate_of is None:
        return row
    update: dict[str, object] = {"duplicate_of": None, "near_duplicate_of": None}
    if row.status == "filtered":
        detail = row.detail if row.reason == "duplicate" else None  # others overwrote what had been read
        update |= {"status": "ok", "reason": None, "detail": detail}
    return row.model_copy(update=update)
