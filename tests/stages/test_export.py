import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import webdataset
import yaml
from PIL import ExifTags, Image

from schemas.dataset import ExportRecord, ShardStats
from schemas.rows import (
    Attribute,
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
)  # fmt: skip
from stages.card import DataSet, dataset_files, describe_stage_run
from stages.export import Export, ExportImage, ExportParams
from tests.pictures import encoded

SIZE = (48, 32)
# webdataset 1.0.2 leaves the tars that it reads to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


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


def picture(number: int) -> Image.Image:
    image = Image.new("RGB", SIZE, (number % 256, 60, 90))
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


class Shard:
    """Images with their bytes, and an export of them into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[ExportImage] = []
        self.contents: dict[str, bytes | None] = {}

    def add(self, content: bytes, image_format: str = "JPEG", rows: dict[str, Row] | None = None, **fields: object) -> None:
        corpus = corpus_row(len(self.images), content, image_format, **fields)
        self.images.append(ExportImage(corpus, stage_rows(corpus.key) if rows is None else rows))
        self.contents[corpus.key] = content

    def export(self, *, to: str = "out", unit_size: int = 2, number: int = 7, finehard: bool = True) -> list[ExportRow]:
        units: Iterable[Sequence[ExportImage]] = (self.images[i : i + unit_size] for i in range(0, len(self.images), unit_size))
        sink = FolderSink(self.folder / to)
        return Export(ExportParams(finehard=finehard)).run(number, units, lambda rows: [self.contents[row.key] for row in rows], sink)

    def samples(self, to: str = "out", name: str = "00007") -> list[dict[str, Any]]:
        tar = str(self.folder / to / f"{name}.tar")
        return list(webdataset.WebDataset(tar, shardshuffle=False, empty_check=False))

    def records(self, to: str = "out", name: str = "00007") -> list[ExportRecord]:
        table = pq.read_table(self.folder / to / f"{name}.parquet")
        return [ExportRecord.model_validate(row) for row in table.to_pylist()]

    def stats(self, to: str = "out", name: str = "00007") -> ShardStats:
        return ShardStats.model_validate_json((self.folder / to / f"{name}_stats.json").read_bytes())

    def finehard(self, to: str = "out", name: str = "00007") -> list[dict[str, object]]:
        content = json.loads((self.folder / to / "finehard" / f"{name}.json").read_bytes())
        assert isinstance(content, list)
        return content


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def turned(image_format: str, orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(picture(0).transpose(Image.Transpose.ROTATE_90), image_format, exif=exif)


def test_source_bytes_come_back_untouched_from_the_tar(shard: Shard) -> None:
    contents = [encoded(picture(1), "JPEG"), encoded(picture(2), "PNG"), encoded(picture(3), "WEBP"), turned("JPEG")]
    for content, image_format in zip(contents, ["JPEG", "PNG", "WEBP", "JPEG"], strict=True):
        shard.add(content, image_format)
    shard.export()
    samples = shard.samples()
    assert [sample["__key__"] for sample in samples] == ["000070000", "000070001", "000070002", "000070003"]
    assert [sample[suffix] for sample, suffix in zip(samples, ["jpg", "png", "webp", "jpg"], strict=True)] == contents


def test_json_and_parquet_say_the_same_of_each_image(shard: Shard) -> None:
    for number in range(3):
        shard.add(encoded(picture(number), "PNG"), "PNG", alt="Käse | 100 %")
    rows = shard.export()
    records = shard.records()
    assert [ExportRecord.model_validate_json(sample["json"]) for sample in shard.samples()] == records
    assert [record.source_key for record in records] == [row.key for row in rows] == ["img-0", "img-1", "img-2"]
    region = records[0].regions[0]
    assert (region.bbox, region.short, region.attributes[0].value) == ((0, 0, 0.5, 1), "A red cup", "red")
    assert [negative.verdict for negative in region.negatives] == ["unverified"] * 10
    assert rows[0] == ExportRow(key="img-0", shard="00007", num_regions=1, num_negatives=10)


def test_the_same_rows_give_the_same_files_however_the_units_are_cut(shard: Shard) -> None:
    for number in range(5):
        shard.add(encoded(picture(number), "JPEG"))
    shard.export(to="once", unit_size=2)
    shard.export(to="again", unit_size=5)
    assert files(shard.folder / "once") == files(shard.folder / "again")
    assert len(files(shard.folder / "once")) == 4 + 5


def test_a_large_shard_is_written_in_row_groups_of_one_size(shard: Shard) -> None:
    content = encoded(picture(1), "JPEG")
    for _ in range(1030):
        shard.add(content, rows={})
    shard.export(unit_size=100, finehard=False)
    table = pq.ParquetFile(shard.folder / "out" / "00007.parquet")
    assert [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)] == [1024, 6]
    assert [record.source_key for record in shard.records()] == [f"img-{number}" for number in range(1030)]


def test_the_files_name_no_time_and_no_user_of_this_machine(shard: Shard) -> None:
    shard.add(encoded(picture(1), "JPEG"))
    shard.export()
    with tarfile.open(shard.folder / "out" / "00007.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "fgdata", "fgdata", 0o644)}


def test_the_statistics_hold_the_digests_of_the_files(shard: Shard) -> None:
    shard.add(encoded(picture(1), "JPEG"))
    shard.export()
    stats = shard.stats()
    for said in (stats.tar, stats.parquet, stats.finehard):
        assert said is not None
        content = (shard.folder / "out" / said.path).read_bytes()
        assert (said.bytes, said.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_an_image_that_upstream_stopped_is_skipped_with_the_reason_and_moves_no_other_key(shard: Shard) -> None:
    good, key = encoded(picture(1), "JPEG"), "img-"
    shard.add(good)
    shard.add(b"", rows={}, status="failed", reason="unreadable")
    shard.add(good, rows=stage_rows(f"{key}2") | {"caption": CaptionRow(key=f"{key}2", status="failed", reason="timeout")})
    shard.add(good, rows=stage_rows(f"{key}3") | {"select": SelectRow(key=f"{key}3", status="skipped", reason="no_image")})
    shard.add(good, rows={}, status="filtered", reason="duplicate")
    shard.add(good)
    rows = shard.export()
    assert [(row.status, row.reason) for row in rows] == [
        ("ok", None),
        ("skipped", "upstream_failed"),
        ("skipped", "upstream_failed"),
        ("skipped", "no_image"),
        ("skipped", "upstream_filtered"),
        ("ok", None),
    ]
    assert [record.key for record in shard.records()] == ["000070000", "000070005"]
    stats = shard.stats()
    assert (stats.statuses, stats.images) == ({"ok": 2, "skipped": 4}, 2)
    assert stats.reasons == {"no_image": 1, "upstream_failed": 2, "upstream_filtered": 1}


def test_an_image_whose_bytes_are_gone_or_changed_is_failed(shard: Shard) -> None:
    for number in range(3):
        shard.add(encoded(picture(number), "JPEG"))
    shard.contents["img-0"] = None
    shard.contents["img-1"] = encoded(picture(99), "JPEG")
    rows = shard.export()
    assert [(row.status, row.reason) for row in rows] == [("failed", "source_gone"), ("failed", "source_changed"), ("ok", None)]
    assert len(shard.samples()) == 1


def test_a_run_that_stops_at_caption_exports_captions(shard: Shard) -> None:
    shard.add(encoded(picture(1), "JPEG"), rows={"caption": CaptionRow(key="img-0", long="Long.", short="Short")})
    shard.export(finehard=False)
    (record,) = shard.records()
    assert (record.long, record.short, record.alt, record.regions) == ("Long.", "Short", "alt 0", [])
    assert sorted(files(shard.folder / "out")) == ["00007.parquet", "00007.tar", "00007_stats.json"]


def test_a_shard_of_which_nothing_is_exported_is_written_empty(shard: Shard) -> None:
    shard.add(b"", rows={}, status="failed", reason="unreadable")
    shard.export()
    assert (shard.samples(), shard.records(), shard.finehard()) == ([], [], [])
    assert shard.stats().images == 0


def test_a_box_over_the_edge_is_clipped_in_shares_and_kept_in_pixels(shard: Shard) -> None:
    rows = stage_rows("img-0")
    over = Region(xyxy=(-4.0, 0.0, 60.0, 16.0), score=0.5, phrase="A red cup", start=0, end=9, head="cup")
    shard.add(encoded(picture(1), "JPEG"), rows=rows | {"select": SelectRow(key="img-0", regions=[over])})
    shard.export()
    (region,) = shard.records()[0].regions
    assert (region.xyxy, region.bbox) == ((-4, 0, 60, 16), (0, 0, 1, 0.5))


def test_finehard_records_name_loose_files_that_open_to_the_upright_image(shard: Shard) -> None:
    plain = encoded(picture(0), "JPEG")
    shard.add(plain)
    for content, image_format in ((turned("JPEG"), "JPEG"), (turned("PNG"), "PNG"), (turned("WEBP"), "WEBP")):
        shard.add(content, image_format)
    shard.export()
    root = shard.folder / "out" / "finehard"
    paths = [root / str(record["f_path"]) for record in shard.finehard()]
    assert [path.name for path in paths] == ["000070000.jpg", "000070001.jpg", "000070002.png", "000070003.png"]
    assert paths[0].read_bytes() == plain
    for path in paths:
        with Image.open(path) as image:
            assert (image.size, dict(image.getexif())) == (SIZE, {})
            corner = image.convert("RGB").getpixel((2, 2))
            assert isinstance(corner, tuple)
            assert corner[0] > 200
            assert corner[2] < 60


def test_finehard_leaves_out_what_its_trainer_fails_on(shard: Shard) -> None:
    good = encoded(picture(1), "JPEG")
    shard.add(good, rows={"caption": CaptionRow(key="img-0", long="Long.", short="Short")})
    shard.add(good, rows={name: row for name, row in stage_rows("img-1").items() if name != "caption"}, alt=None)
    shard.add(b"GIF89a, cut", "GIF")
    shard.add(good, rows=stage_rows("img-3", num_negatives=9))
    rows = shard.export()
    assert [row.status for row in rows] == ["ok"] * 4
    (record,) = shard.finehard()
    assert record["f_path"] == "images/00007/000070003.jpg"
    assert shard.stats().finehard_records == 1
    assert len(list((shard.folder / "out" / "finehard" / "images").rglob("*.*"))) == 1


def data_set(shard: Shard, kind: str = "transformers", answered_by: Sequence[str] = ("org/model",)) -> dict[str, bytes]:
    for number in range(3):
        shard.add(encoded(picture(number), "JPEG"))
    shard.add(b"", rows={}, status="failed", reason="unreadable")
    shard.export()
    engine = {"kind": kind, "model": "org/model", "revision": "abc123"}
    caption = {"stage": "caption", "version": 2, "prompts": {"caption": {"version": "v1"}}, "engines": {"captioner": engine}}
    export = {"stage": "export", "version": 1, "prompts": {}, "engines": {}}
    stages = [
        describe_stage_run("f" * 16, caption, {"caption": answered_by}, {"ok": 3, "failed": 1}),
        describe_stage_run("e" * 16, export, {}, {"ok": 3, "skipped": 1}),
    ]
    return dataset_files(DataSet("0.1.0", [shard.stats()], stages))


def test_the_manifest_names_fingerprints_engines_prompts_and_shards(shard: Shard) -> None:
    manifest = json.loads(data_set(shard)["manifest.json"])
    assert manifest["stages"] == {"caption": "f" * 16, "export": "e" * 16}
    assert manifest["engines"]["captioner"] == {"role": "captioner", "kind": "transformers", "model": "org/model", "revision": "abc123"}
    assert manifest["prompts"] == [{"task": "caption", "version": "v1", "answered_by": ["org/model"], "unanswered": False}]
    assert manifest["totals"]["images_in"] == 4
    assert manifest["totals"]["images"] == 3
    assert manifest["shards"][0]["sha256"] == hashlib.sha256((shard.folder / "out" / "00007.tar").read_bytes()).hexdigest()
    assert manifest["rehearsal"] is False


def test_the_card_shows_yield_negatives_and_verdicts(shard: Shard) -> None:
    card = data_set(shard)["README.md"].decode()
    assert "| caption | 3 | 0 | 1 | 0 | 0 |" in card
    assert "| colour | 30 |" in card
    assert "| unverified | 30 |" in card
    assert "| upstream_failed | 1 |" in card
    assert "REHEARSAL" not in card
    assert "No real model" not in card
    front_matter = yaml.safe_load(card.split("---\n")[1])
    assert front_matter["size_categories"] == ["n<1K"]


def test_the_card_shows_leakage_and_uniqueness_of_regions(shard: Shard) -> None:
    rows = stage_rows("img-0")
    said = rows["region_caption"]
    assert isinstance(said, RegionCaptionRow)
    probed = said.regions[0].model_copy(update={"is_unique": True, "swapped": "A red cup", "leaked": True})
    rows["region_caption"] = said.model_copy(update={"regions": [probed]})
    shard.add(encoded(picture(9), "JPEG"), rows=rows)
    card = data_set(shard)["README.md"].decode()
    assert "Of 4 captioned regions 1 have a short expression of their own" in card
    assert "1 were asked about again with another region's crop; 1 kept their text (leakage 100.0%)" in card


def test_a_prompt_that_no_model_has_answered_is_named_on_the_card(shard: Shard) -> None:
    written = data_set(shard, answered_by=())
    assert "No real model has answered these prompts yet: `caption/v1`" in written["README.md"].decode()
    assert json.loads(written["manifest.json"])["prompts"][0]["unanswered"] is True


def test_an_export_of_rehearsal_engines_is_marked_as_a_rehearsal(shard: Shard) -> None:
    written = data_set(shard, kind="rehearsal")
    assert json.loads(written["manifest.json"])["rehearsal"] is True
    assert "REHEARSAL. Do not train on this." in written["README.md"].decode()


def test_a_local_checkpoint_is_named_without_its_folder() -> None:
    engine = {"kind": "groundingdino-py", "weights": "/home/me/swint.pth", "config": "SwinT"}
    stage = {"stage": "ground", "version": 1, "prompts": {}, "engines": {"detector": engine}}
    (described,) = describe_stage_run("0" * 16, stage, {}, {}).engines
    assert "/home" not in described.model_dump_json()
    assert described.model == "SwinT"


def test_the_code_on_the_card_reads_the_data_set(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    card = data_set(shard)["README.md"].decode()
    monkeypatch.chdir(shard.folder / "out")
    tars, tables = re.findall(r"```python\n(.*?)```", card, re.S)
    seen: dict[str, Any] = {}
    exec(tars, seen)
    assert seen["image"].size == SIZE
    exec(tables, seen)
    assert list(seen["expressions"]) == ["A red cup"] * 3
