"""Images of one shard and an export of them: what tests of the export and of the card look at."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import webdataset
from PIL import Image as PillowImage

from schemas.dataset import ExportRecord, ShardStats
from schemas.rows import (
    Attribute,
    BalanceRow,
    BlindFigures,
    CaptionRow,
    CorpusRow,
    Edit,
    ExportRow,
    HardNegativeRow,
    Negative,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    Row,
    SelectRow,
    Verdict,
    VerifyRow,
)  # fmt: skip
from schemas.stage_json import StageJson
from stages.base import Image, Shard, StageContext
from stages.dataset.card import DataSet, dataset_files, describe_stage_run
from stages.export import Export, ExportParams
from tests.support.pictures import encoded

SIZE = (48, 32)


class FolderSink:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, path: str, content: bytes | Path) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.move(content, target)
        else:
            target.write_bytes(content)


def picture(number: int) -> PillowImage.Image:
    image = PillowImage.new("RGB", SIZE, (number % 256, 60, 90))
    image.paste((250, 250, 0), (0, 0, 16, 8))
    return image


def corpus_row(number: int, content: bytes, image_format: str, **fields: object) -> CorpusRow:
    where = {"key": f"img-{number}", "path": "shard.tar", "offset": 512 * number, "size": len(content), "width": 48, "height": 32}
    digest = hashlib.sha256(content).hexdigest()
    return CorpusRow.model_validate({**where, "sha256": digest, "format": image_format, "alt": f"alt {number}", **fields})


def stage_rows(key: str, num_negatives: int = 10) -> dict[str, Row]:
    """One region of a red cup, the left half of the image, and what all four stages say of it."""
    box = (0.0, 0.0, 24.0, 32.0)
    caption = RegionCaption(
        region=0, xyxy=box, head="cup", short="A red cup", long="A red cup, tall", attributes=[Attribute(type="colour", value="red")]
    )
    denied = [
        Negative(text=f"A c{i} cup", type="colour", edits=[Edit(type="colour", start=2, end=5, old="red", new=f"c{i}")])
        for i in range(num_negatives)
    ]
    return {
        "caption": CaptionRow(key=key, long="A red cup stands.", short="A photo of a cup"),
        "select": SelectRow(key=key, regions=[Region(xyxy=box, score=0.5, phrase="A red cup", start=0, end=9, head="cup")]),
        "region_caption": RegionCaptionRow(key=key, regions=[caption]),
        "hard_negative": HardNegativeRow(key=key, regions=[RegionNegatives(region=0, positive="A red cup", negatives=denied)]),
    }


class ExportedShard:
    """Images with their bytes, and an export of them into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[Image] = []
        self.contents: dict[str, bytes | None] = {}
        self.descriptions: dict[str, StageJson] = {}

    def add(self, content: bytes, image_format: str = "JPEG", rows: dict[str, Row] | None = None, **fields: object) -> None:
        corpus = corpus_row(len(self.images), content, image_format, **fields)
        stages_rows = stage_rows(corpus.key) if rows is None else rows
        self.images.append(Image(corpus, upstream={type(row): row for row in stages_rows.values()}))
        self.contents[corpus.key] = content

    def export(self, *, to: str = "out", unit_size: int = 2, number: int = 7, finehard: bool = True, **params: Any) -> list[ExportRow]:
        units: Iterable[Sequence[Image]] = (self.images[i : i + unit_size] for i in range(0, len(self.images), unit_size))
        context = StageContext(
            "f" * 16,
            read_bytes=lambda rows: [self.contents[row.key] for row in rows],
            sink=FolderSink(self.folder / to),
            descriptions=self.descriptions,
        )
        rows = Export(ExportParams(finehard=finehard, allow_unverified=True, **params), context).process(Shard(number, "", units))
        return [row for row in rows if isinstance(row, ExportRow)]

    def samples(self, to: str = "out", name: str = "00007") -> list[dict[str, Any]]:
        tar = str(self.folder / to / f"{name}.tar")
        return list(webdataset.WebDataset(tar, shardshuffle=False, empty_check=False))

    def records(self, to: str = "out", name: str = "00007") -> list[ExportRecord]:
        table = pq.read_table(self.folder / to / f"{name}.parquet")
        return [ExportRecord.model_validate(row) for row in table.select([*ExportRecord.model_fields]).to_pylist()]

    def stats(self, to: str = "out", name: str = "00007") -> ShardStats:
        return ShardStats.model_validate_json((self.folder / to / f"{name}_stats.json").read_bytes())

    def finehard(self, to: str = "out", name: str = "00007") -> list[dict[str, object]]:
        content = json.loads((self.folder / to / "finehard" / f"{name}.json").read_bytes())
        assert isinstance(content, list)
        return content


def data_set(shard: ExportedShard, kind: str = "transformers", answered_by: Sequence[str] = ("org/model",)) -> dict[str, bytes]:
    for number in range(3):
        shard.add(encoded(picture(number), "JPEG"))
    shard.add(b"", rows={}, status="failed", reason="unreadable")
    shard.export()
    engine = {"kind": kind, "model": "org/model", "revision": "abc123"}
    prompts = {"caption": {"version": "v1"}}
    caption = StageJson(stage="caption", version=2, params={}, prompts=prompts, engines={"captioner": engine}, upstream={})
    export = StageJson(stage="export", version=1, params={}, prompts={}, engines={}, upstream={})
    stages = [
        describe_stage_run("f" * 16, caption, {"caption": answered_by}, {"ok": 3, "failed": 1}),
        describe_stage_run("e" * 16, export, {}, {"ok": 3, "skipped": 1}),
    ]
    return dataset_files(DataSet("0.1.0", [shard.stats()], stages))


def judged(
    verdict: Verdict, *, positive: Verdict = "true", region: int = 0, group: str | None = None, colour: str = "blue"
) -> RegionNegatives:
    edit = Edit(type="colour", start=2, end=5, old="red", new=colour)
    negative = Negative(text=f"A {colour} cup", edits=[edit], type="colour", verdict=verdict, source="reciprocal" if group else "written")
    return RegionNegatives(
        region=region,
        positive="A red cup",
        positive_verdict=positive,
        negatives=[negative],
        num_proposed=2,
        rejects={"surplus": 1},
        group=group,
    )


def with_entries(*entries: RegionNegatives, audits: Sequence[BlindFigures] = ()) -> dict[str, Row]:
    """The rows of a run that ends in balance, or, without audits, in verify."""
    rows = {name: row for name, row in stage_rows("img-0").items() if name != "hard_negative"}
    if audits:
        return rows | {"balance": BalanceRow(key="img-0", regions=list(entries), audits=list(audits))}
    return rows | {"verify": VerifyRow(key="img-0", regions=list(entries))}
