"""export: a shard's images with all that was said of them, as tar, Parquet and, on request, FineHARD records."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import Field

from schemas.dataset import ExportRecord, FileDigest, ShardStats, image_key, shard_name
from schemas.finehard import FineHardRecord, finehard_file, finehard_record
from schemas.rows import CorpusRow, ExportRow, Row
from stages.base import StageParams
from stages.export_files import ShardFiles, extension
from stages.export_record import export_record
from stages.export_upright import upright

ReadBytes = Callable[[Sequence[CorpusRow]], list[bytes | None]]


class ExportParams(StageParams):
    finehard: bool = Field(False, description="Also write FineHARD records, and their images as loose files, for FG-CLIP's own trainer.")


@dataclass(frozen=True)
class ExportImage:
    """One image of a unit: its index row, and its rows of the stages that export reads, by stage name."""

    corpus: CorpusRow
    rows: Mapping[str, Row]


class Sink(Protocol):
    """Where files go. Paths are relative to the data set; a Path names a temporary file to move or upload before returning."""

    def put(self, path: str, content: bytes | Path) -> None: ...


@dataclass
class _Tally:
    """What the shard's statistics count, image by image."""

    rows: list[ExportRow] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def count(self, record: ExportRecord) -> None:
        for name, text in (("alt", record.alt), ("long", record.long), ("short", record.short)):
            self.captions[name] += text is not None
            self.words[name] += len((text or "").split())
        negatives = [negative for region in record.regions for negative in region.negatives]
        self.types.update(negative.type for negative in negatives)
        self.verdicts.update(negative.verdict for negative in negatives)


class Export:
    """Write one shard. The same rows and bytes give the same files: order, times, owners and row groups are fixed.

    A shard of which nothing is exported is written too, empty, so that a set is complete when its numbers are.
    """

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 1
    scope: ClassVar[str] = "shard"
    may_read: ClassVar[tuple[str, ...]] = ("caption", "select", "region_caption", "hard_negative")
    row_type: ClassVar[type[ExportRow]] = ExportRow
    params_type: ClassVar[type[ExportParams]] = ExportParams

    def __init__(self, params: ExportParams) -> None:
        self.params = params

    def run(self, shard_number: int, units: Iterable[Sequence[ExportImage]], read_bytes: ReadBytes, sink: Sink) -> list[ExportRow]:
        """One row an image, in order. Blocks; holds the bytes of one unit in memory. The statistics are written last."""
        shard = shard_name(shard_number)
        tally = _Tally()
        records: list[FineHardRecord] = []
        with tempfile.TemporaryDirectory(prefix="fgdata-export-") as folder:
            with ShardFiles(Path(folder)) as files:
                for unit in units:
                    self._write_unit(shard_number, unit, read_bytes, sink, files, tally, records)
            sink.put(f"{shard}.tar", files.tar.path)
            sink.put(f"{shard}.parquet", files.parquet.path)
        loose = self._put_finehard(shard, records, sink)
        stats = _stats(shard, tally, files, loose, len(records))
        sink.put(f"{shard}_stats.json", _as_json(stats))
        return tally.rows

    def _write_unit(
        self,
        shard_number: int,
        unit: Sequence[ExportImage],
        read_bytes: ReadBytes,
        sink: Sink,
        files: ShardFiles,
        tally: _Tally,
        records: list[FineHardRecord],
    ) -> None:
        live = [image.corpus for image in unit if _refusal(image) is None]
        contents = iter(read_bytes(live) if live else [])
        for image in unit:
            refusal = _refusal(image) or _source_problem(image.corpus, content := next(contents))
            if refusal is not None:
                tally.rows.append(refusal)
                continue
            assert content is not None
            record = export_record(image.corpus, image.rows, image_key(shard_number, len(tally.rows)))
            suffix = extension(image.corpus.format)
            files.add(record, content, suffix)
            tally.count(record)
            tally.rows.append(_exported(image.corpus.key, shard_number, record))
            if self.params.finehard:
                records += _loose(record, content, suffix, shard_name(shard_number), sink)

    def _put_finehard(self, shard: str, records: Sequence[FineHardRecord], sink: Sink) -> FileDigest | None:
        if not self.params.finehard:
            return None
        content, path = finehard_file(records), f"finehard/{shard}.json"
        sink.put(path, content)
        return FileDigest(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _refusal(image: ExportImage) -> ExportRow | None:
    """The row of an image that something upstream stopped: by the first that did, in order of the stages."""
    upstream = (image.corpus, *(image.rows[name] for name in Export.may_read if name in image.rows))
    for row in upstream:
        if row.status != "ok":
            reason = row.reason if row.status == "skipped" and row.reason else f"upstream_{row.status}"
            return ExportRow(key=image.corpus.key, status="skipped", reason=reason)
    return None


def _source_problem(corpus: CorpusRow, content: bytes | None) -> ExportRow | None:
    if content is None:
        return ExportRow(key=corpus.key, status="failed", reason="source_gone", detail=f"{corpus.path} has gone since it was indexed")
    if corpus.sha256 and hashlib.sha256(content).hexdigest() != corpus.sha256:
        return ExportRow(key=corpus.key, status="failed", reason="source_changed", detail=f"{corpus.path}: not the bytes that were indexed")
    return None


def _exported(key: str, shard_number: int, record: ExportRecord) -> ExportRow:
    num_negatives = sum(len(region.negatives) for region in record.regions)
    return ExportRow(key=key, shard=shard_name(shard_number), num_regions=len(record.regions), num_negatives=num_negatives)


def _loose(record: ExportRecord, content: bytes, suffix: str, shard: str, sink: Sink) -> list[FineHardRecord]:
    """The image's FineHARD record, its file put; none where it has no text or no usable region.

    The trainer's regional loss fails where a batch holds no box, or only one: with a box in each record two images suffice.
    """
    if not (record.long or record.short or record.alt):
        return []
    pixels, suffix = upright(content, suffix)
    f_path = f"images/{shard}/{record.key}.{suffix}"
    written = finehard_record(record, f_path)
    if not written.bbox_info:
        return []
    sink.put(f"finehard/{f_path}", pixels)
    return [written]


def _stats(shard: str, tally: _Tally, files: ShardFiles, finehard: FileDigest | None, finehard_records: int) -> ShardStats:
    exported = [row for row in tally.rows if row.status == "ok"]
    return ShardStats(
        name=shard,
        statuses=_sorted(Counter(row.status for row in tally.rows)),
        reasons=_sorted(Counter(row.reason for row in tally.rows if row.reason)),
        images=len(exported),
        regions=sum(row.num_regions for row in exported),
        negatives=sum(row.num_negatives for row in exported),
        negatives_by_type=_sorted(tally.types),
        negatives_by_verdict=_sorted(tally.verdicts),
        captions=_sorted(tally.captions),
        caption_words=_sorted(tally.words),
        tar=files.tar.digest(f"{shard}.tar"),
        parquet=files.parquet.digest(f"{shard}.parquet"),
        finehard=finehard,
        finehard_records=finehard_records,
    )


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _as_json(stats: ShardStats) -> bytes:
    return (json.dumps(stats.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
