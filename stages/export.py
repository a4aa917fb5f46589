"""export: a shard's images with all that was said of them, as tar, Parquet and, on request, FineHARD records."""

import gc
import hashlib
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from schemas.dataset import ExportRecord, FileDigest, image_key, shard_name
from schemas.finehard import finehard_json, finehard_record
from schemas.hashed import added
from schemas.rows import BalanceRow, CorpusRow, ExportRow, RegionCaptionRow, Row
from schemas.stage_json import StageJson
from stages.base import Image, ReadBytes, Shard, ShardStage, Sink
from stages.dataset.coco import CocoShard
from stages.dataset.files import ShardFiles, extension, readable_suffix
from stages.dataset.record import export_record, table_record, text_of
from stages.dataset.tally import Tally
from stages.dataset.upright import upright
from stages.negatives.candidates import PROPOSING, holders, released
from stages.params import StageParams, Surroundings

_NEW_OBJECTS = 50_000
_THRESHOLD = gc.get_threshold()  # outside, whichever of two exports side by side ends last


class ExportParams(StageParams):
    finehard: bool = Field(False, description="Also write FineHARD records, and their images as loose files, for FG-CLIP's own trainer.")
    allow_unverified: bool = Field(
        False, description="Also export negatives that no judge has looked at (`unverified`); without the stage verify all are."
    )
    allow_leaks: bool = Field(False, description="Export also where the blind audit of the negatives failed; the card says so.")
    txt: Literal["short", "long", "alt", "none"] = added(
        "none",
        before="none",
        description="Which caption stands in `<key>.txt` beside each image, where open_clip and others look for it; another one where an "
        "image has it not. Images are then named .jpg, .png or .webp, whatever their format: open_clip sees no others.",
    )
    coco: bool = added(False, before=False, description="Also write COCO files: instances whose category is the head noun, and captions.")
    images_in_parquet: bool = added(
        False, before=False, description="Also put the images' bytes into the Parquet files, as the datasets library stores them."
    )


class Export(ShardStage[ExportParams, ExportRow]):
    """Write one shard. The same rows and bytes give the same files: order, times, owners and row groups are fixed.

    A shard of which nothing is exported is written too, empty, so that a set is complete when its numbers are.
    """

    name = "export"
    version = 5
    may_read = ("caption", "select", "region_caption")
    gated_by = "balance"

    @classmethod
    def reads_among(cls, stages: Collection[str]) -> tuple[str, ...]:
        return (*super().reads_among(stages), *holders(stages))

    @classmethod
    def problems(cls, params: ExportParams, around: Surroundings) -> Iterator[str]:
        """Nothing unverified is exported unless the user says so."""
        if around.export_to is None:
            yield "export_to is missing: `export_to: PLACE` says where the data set goes"
        if not params.allow_unverified and "verify" not in around.stages and any(name in around.stages for name in PROPOSING):
            yield (
                "stages.export would release negatives that no judge has looked at: add the stage verify, run with "
                "--allow-unverified, or set stages.export.allow_unverified to true"
            )
        chooser = around.stages.get("balance")
        if chooser is not None and "verify" in around.stages and getattr(chooser, "allow_unverified", False) != params.allow_unverified:
            yield (
                "stages.balance.allow_unverified and stages.export.allow_unverified differ: "
                "set both, or none and run with --allow-unverified"
            )

    @classmethod
    def objections(cls, params: ExportParams, row: Row) -> list[str] | None:
        """The leaks that the blind audit of the shard's block found, as `regions/length` and the like."""
        if params.allow_leaks:
            return []
        audits = row.audits if isinstance(row, BalanceRow) else []
        return [f"{audit.of}/{leak}" for audit in audits if audit.verdict == "fail" for leak in audit.leaks] if audits else None

    @classmethod
    def refusal(cls, num_items: int, objections: Sequence[str]) -> str:
        return (
            f"{num_items} shards are not exported: the blind audit of their negatives failed ({', '.join(objections)}); "
            "give balance more candidates (max_negatives, over_generation) or more rounds, or set stages.export.allow_leaks: true"
        )

    def run(self, shard: Shard) -> list[Row]:
        """Holds the bytes of one unit in memory. The statistics are put last; they keep the shard's label."""
        sink, read_bytes, name = self.context.sink, self.context.read_bytes, shard_name(shard.number)
        assert sink is not None, "a run that exports says where to"
        assert read_bytes is not None, "a shard stage is given the source's bytes"
        with _rarely_collecting(), tempfile.TemporaryDirectory(prefix="fgdata-export-") as folder:
            with ShardFiles(Path(folder), holds_images=self.params.images_in_parquet) as files:
                writer = _Writer(shard.number, files, sink, read_bytes, self.params, self.context.descriptions)
                for unit in shard.units:
                    writer.add(unit)
            sink.put(f"{name}.tar", files.tar.path)
            sink.put(f"{name}.parquet", files.parquet.path)
            if self.params.finehard:
                sink.put(f"finehard/{name}.json", files.finehard.file.path)
        finehard = files.finehard.file.digest(f"finehard/{name}.json") if self.params.finehard else None
        tar, parquet = files.tar.digest(f"{name}.tar"), files.parquet.digest(f"{name}.parquet")
        stats = writer.tally.stats(name, tar, parquet, finehard, files.finehard.num_elements).model_copy(
            update={
                "label": shard.label,
                "text": None if self.params.txt == "none" else self.params.txt,
                "holds_images": self.params.images_in_parquet,
                "coco": self._put_coco(writer.coco, name),
            }
        )
        text = json.dumps(stats.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        sink.put(f"{name}_stats.json", f"{text}\n".encode())
        return [*writer.tally.rows]

    def _put_coco(self, coco: CocoShard | None, name: str) -> list[FileDigest]:
        assert self.context.sink is not None
        written = []
        for kind, content in coco.files().items() if coco else ():
            path = f"coco/{name}_{kind}.json"
            self.context.sink.put(path, content)
            written.append(FileDigest(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))
        return written


@dataclass
class _Writer:
    """A shard while it is written."""

    number: int
    files: ShardFiles
    sink: Sink
    read_bytes: ReadBytes
    params: ExportParams
    before: Mapping[str, StageJson]
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.coco = CocoShard(self.number) if self.params.coco else None

    def add(self, unit: Sequence[Image]) -> None:
        """The images of one unit, in order. An image's key counts all images of the shard, so that no other image moves it."""
        settled = [Export.settled(image) for image in unit]
        live = [image.corpus for image, row in zip(unit, settled, strict=True) if row is None]
        contents = iter(self.read_bytes(live) if live else [])
        for image, row in zip(unit, settled, strict=True):
            if isinstance(row, ExportRow):
                self.tally.add(row)
            else:
                self.tally.add(*self._export(image, next(contents)), image.optional(RegionCaptionRow))

    def _export(self, image: Image, content: bytes | None) -> tuple[ExportRow, ExportRecord | None]:
        """Write one image; its row, and its record unless its bytes are gone. Of a text corpus the record alone is written."""
        corpus = image.corpus
        if content is None and corpus.has_pixels:
            return _failed(corpus, "source_gone", "has gone since it was indexed"), None
        if content is not None and corpus.sha256 and hashlib.sha256(content).hexdigest() != corpus.sha256:
            return _failed(corpus, "source_changed", "not the bytes that were indexed"), None
        denied = released(image.upstream.values(), allows_unverified=self.params.allow_unverified)
        record = export_record(image, denied, image_key(self.number, len(self.tally.rows)))
        suffix, row = extension(corpus.format), table_record(image, record, self.before)
        wanted = None if self.params.txt == "none" else self.params.txt
        member = readable_suffix(suffix) if wanted else suffix
        self.files.add(row, content, member, text_of(record, wanted) if wanted else None)
        self.tally.add_source(row, None if content is None else member)
        if self.coco is not None:
            self.coco.add(record, len(self.tally.rows), f"{record.key}.{member}")
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
            self.tally.num_flagged += sum(box.flag_short_neg for box in written.bbox_info)
            self.sink.put(f"finehard/{f_path}", pixels)


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Python's collector looks for circles among all objects each 700 new ones: a tenth of an export's time, and records have none."""
    gc.set_threshold(_NEW_OBJECTS, *_THRESHOLD[1:])
    try:
        yield
    finally:
        gc.set_threshold(*_THRESHOLD)


def _failed(corpus: CorpusRow, reason: str, detail: str) -> ExportRow:
    return ExportRow(key=corpus.key, status="failed", reason=reason, detail=f"{corpus.path}: {detail}")
