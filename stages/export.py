"""export: a shard's images with all that was said of them, as tar, Parquet and, on request, FineHARD records."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import Field

from schemas.dataset import ExportRecord, image_key, shard_name
from schemas.finehard import finehard_json, finehard_record
from schemas.rows import CorpusRow, ExportRow, RegionCaptionRow, Row
from stages.base import StageParams, skip_reason
from stages.dataset.files import ShardFiles, extension
from stages.dataset.record import export_record
from stages.dataset.tally import Tally
from stages.dataset.upright import upright
from stages.negatives.candidates import exported, sources

ReadBytes = Callable[[Sequence[CorpusRow]], list[bytes | None]]


class ExportParams(StageParams):
    finehard: bool = Field(False, description="Also write FineHARD records, and their images as loose files, for FG-CLIP's own trainer.")
    allow_unverified: bool = Field(
        False, description="Also export negatives that no judge has looked at (`unverified`); without the stage verify all are."
    )
    allow_leaks: bool = Field(False, description="Export also where the blind audit of the negatives failed; the card says so.")


@dataclass(frozen=True)
class ExportImage:
    """One image of a unit: its index row, and its rows of the stages that export reads, by stage name."""

    corpus: CorpusRow
    rows: Mapping[str, Row]


class Sink(Protocol):
    """Where files go. Paths are relative to the data set; a Path names a temporary file to move or upload before returning."""

    def put(self, path: str, content: bytes | Path) -> None: ...


class Export:
    """Write one shard. The same rows and bytes give the same files: order, times, owners and row groups are fixed.

    A shard of which nothing is exported is written too, empty, so that a set is complete when its numbers are.
    """

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 3
    scope: ClassVar[str] = "shard"
    may_read: ClassVar[tuple[str, ...]] = ("caption", "select", "region_caption")
    row_type: ClassVar[type[ExportRow]] = ExportRow
    params_type: ClassVar[type[ExportParams]] = ExportParams

    def __init__(self, params: ExportParams) -> None:
        self.params = params

    @classmethod
    def reads_among(cls, stages: Collection[str]) -> tuple[str, ...]:
        """The stages that are read, of those that a run has: of those that hold candidates the furthest."""
        return (*(name for name in cls.may_read if name in stages), *sources(stages))

    def run(
        self, shard_number: int, units: Iterable[Sequence[ExportImage]], read_bytes: ReadBytes, sink: Sink, label: str = ""
    ) -> list[ExportRow]:
        """One row an image, in order. Blocks; holds the bytes of one unit in memory. The statistics are put last.

        `label` names what the shard is a function of; it is kept in the statistics.
        """
        name = shard_name(shard_number)
        with tempfile.TemporaryDirectory(prefix="fgdata-export-") as folder:
            with ShardFiles(Path(folder)) as files:
                shard = _Shard(shard_number, files, sink, self.params)
                for unit in units:
                    shard.add(unit, read_bytes)
            sink.put(f"{name}.tar", files.tar.path)
            sink.put(f"{name}.parquet", files.parquet.path)
            if self.params.finehard:
                sink.put(f"finehard/{name}.json", files.finehard.file.path)
        finehard = files.finehard.file.digest(f"finehard/{name}.json") if self.params.finehard else None
        tar, parquet = files.tar.digest(f"{name}.tar"), files.parquet.digest(f"{name}.parquet")
        stats = shard.tally.stats(name, tar, parquet, finehard, files.finehard.num_elements).model_copy(update={"label": label})
        text = json.dumps(stats.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        sink.put(f"{name}_stats.json", f"{text}\n".encode())
        return shard.tally.rows


@dataclass
class _Shard:
    """A shard while it is written."""

    number: int
    files: ShardFiles
    sink: Sink
    params: ExportParams
    tally: Tally = field(default_factory=Tally)

    def add(self, unit: Sequence[ExportImage], read_bytes: ReadBytes) -> None:
        """The images of one unit, in order. An image's key counts all images of the shard, so that no other image moves it."""
        live = [image.corpus for image in unit if _refusal(image) is None]
        contents = iter(read_bytes(live) if live else [])
        for image in unit:
            refusal = _refusal(image)
            row, record = (refusal, None) if refusal else self._export(image, next(contents))
            regions = image.rows.get("region_caption")
            self.tally.add(row, record, regions if isinstance(regions, RegionCaptionRow) else None)

    def _export(self, image: ExportImage, content: bytes | None) -> tuple[ExportRow, ExportRecord | None]:
        """Write one image; its row, and its record unless its bytes are gone. Of a text corpus the record alone is written."""
        corpus = image.corpus
        if content is None and corpus.has_pixels:
            return _failed(corpus, "source_gone", "has gone since it was indexed"), None
        if content is not None and corpus.sha256 and hashlib.sha256(content).hexdigest() != corpus.sha256:
            return _failed(corpus, "source_changed", "not the bytes that were indexed"), None
        denied = exported(image.rows, allows_unverified=self.params.allow_unverified)
        record = export_record(corpus, image.rows, denied, image_key(self.number, len(self.tally.rows)))
        suffix = extension(corpus.format)
        self.files.add(record, content, suffix)
        if self.params.finehard and content is not None:
            self._add_finehard(record, content, suffix)
        self.tally.add_negatives(denied)
        num_negatives = sum(len(region.negatives) for region in record.regions) + len(record.negatives)
        shard = shard_name(self.number)
        return ExportRow(key=corpus.key, shard=shard, num_regions=len(record.regions), num_negatives=num_negatives), record

    def _add_finehard(self, record: ExportRecord, content: bytes, suffix: str) -> None:
        """The image's FineHARD record and its loose file; neither where it has no text, no usable region or no readable pixels.

        The trainer fails on a batch without a box, and on one with a single box: with a box in each record two images suffice.
        """
        loose = upright(content, suffix)
        if loose is None:
            return
        pixels, suffix = loose
        f_path = f"images/{shard_name(self.number)}/{record.key}.{suffix}"
        written = finehard_record(record, f_path)
        if written.caption and written.bbox_info:
            self.files.finehard.add(finehard_json(written))
            self.sink.put(f"finehard/{f_path}", pixels)


def _refusal(image: ExportImage) -> ExportRow | None:
    """The row of an image that something upstream stopped: by the first that did, in order of the stages."""
    upstream = (image.corpus, *(image.rows[name] for name in Export.reads_among(image.rows)))
    for row in upstream:
        if row.status != "ok":
            reason = skip_reason(row)
            return ExportRow(key=image.corpus.key, status="skipped", reason=reason)
    return None


def _failed(corpus: CorpusRow, reason: str, detail: str) -> ExportRow:
    return ExportRow(key=corpus.key, status="failed", reason=reason, detail=f"{corpus.path}: {detail}")
