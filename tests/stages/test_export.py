"""Exported files: bytes, records, statistics, FineHARD."""

import hashlib
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image

from schemas.dataset import ExportRecord
from schemas.rows import (
    CaptionRow,
    ExportRow,
    Region,
    SelectRow,
)  # fmt: skip
from schemas.stage_json import StageJson
from tests.support.exported_shard import SIZE, ExportedShard, picture, stage_rows
from tests.support.pictures import encoded

# webdataset 1.0.2 leaves the tars that it reads to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def shard(tmp_path: Path) -> ExportedShard:
    return ExportedShard(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def turned(image_format: str, orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(picture(0).transpose(Image.Transpose.ROTATE_90), image_format, exif=exif)


def test_source_bytes_come_back_untouched_from_the_tar(shard: ExportedShard) -> None:
    contents = [encoded(picture(1), "JPEG"), encoded(picture(2), "PNG"), encoded(picture(3), "WEBP"), turned("JPEG")]
    for content, image_format in zip(contents, ["JPEG", "PNG", "WEBP", "JPEG"], strict=True):
        shard.add(content, image_format)
    shard.export()
    samples = shard.samples()
    assert [sample["__key__"] for sample in samples] == ["000070000", "000070001", "000070002", "000070003"]
    assert [sample[suffix] for sample, suffix in zip(samples, ["jpg", "png", "webp", "jpg"], strict=True)] == contents


def test_json_and_parquet_say_the_same_of_each_image(shard: ExportedShard) -> None:
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


def test_the_same_rows_give_the_same_files_however_the_units_are_cut(shard: ExportedShard) -> None:
    for number in range(5):
        shard.add(encoded(picture(number), "JPEG"))
    shard.export(to="once", unit_size=2)
    shard.export(to="again", unit_size=5)
    assert files(shard.folder / "once") == files(shard.folder / "again")
    assert len(files(shard.folder / "once")) == 4 + 5


def test_with_no_text_asked_for_the_tar_holds_images_and_records_alone(shard: ExportedShard) -> None:
    for image_format in ("JPEG", "GIF"):
        shard.add(encoded(picture(1), image_format), image_format, url="https://example.org/1", licence="CC0-1.0")
    shard.export(to="none", txt="none", coco=True, images_in_parquet=True)
    with tarfile.open(shard.folder / "none" / "00007.tar") as tar:
        assert tar.getnames() == ["000070000.jpg", "000070000.json", "000070001.gif", "000070001.json"]
    record = json.loads(shard.samples(to="none")[0]["json"])
    assert set(record) == set(ExportRecord.model_fields)


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [("short", ["A photo of a cup", "alt 1", "Long.", ""]), ("long", ["A red cup stands.", "alt 1", "Long.", ""]),
     ("alt", ["alt 0", "alt 1", "Long.", ""])],
)  # fmt: skip
def test_every_image_has_the_text_that_is_wanted_or_the_next_best(shard: ExportedShard, wanted: str, texts: list[str]) -> None:
    content = encoded(picture(1), "JPEG")
    shard.add(content)
    shard.add(content, rows={})
    shard.add(content, rows={"caption": CaptionRow(key="img-2", long="Long.")}, alt=None)
    shard.add(content, rows={}, alt=None)
    shard.export(txt=wanted)
    assert [sample["txt"].decode() for sample in shard.samples()] == texts


def test_beside_texts_an_image_of_any_format_is_named_as_open_clip_looks_for_it(shard: ExportedShard) -> None:
    content = encoded(picture(1), "GIF")
    shard.add(content, "GIF")
    shard.export(txt="short")
    assert shard.samples()[0]["png"] == content


def test_a_row_says_whence_its_image_and_its_texts_came(shard: ExportedShard) -> None:
    writer = {"kind": "vllm", "model": "org/writer", "revision": "abc"}
    engines_of = {"caption": {"captioner": {"kind": "openai", "model": "org/big"}}, "hard_negative": {"writer": writer}}
    shard.descriptions = {
        name: StageJson(stage=name, version=1, params={}, prompts={}, engines=engines, upstream={}) for name, engines in engines_of.items()
    }
    rows = stage_rows("img-0")
    given = rows["region_caption"].model_copy(update={"origin": "given"})
    shard.add(
        encoded(picture(1), "JPEG"),
        rows=rows | {"region_caption": given},
        url="https://example.org/1",
        licence="CC0-1.0",
        source_status="success",
    )
    shard.export()
    (row,) = pq.read_table(shard.folder / "out" / "00007.parquet").to_pylist()
    assert (row["source_url"], row["licence"], row["source_status"]) == ("https://example.org/1", "CC0-1.0", "success")
    made = {maker["of"]: (maker["kind"], maker["model"], maker["revision"]) for maker in row["made_by"]}
    assert made["long"] == made["short"] == ("openai", "org/big", None)
    assert made["negatives"] == ("vllm", "org/writer", "abc")
    assert made["regions"] == ("given", None, None)
    assert made["alt"] == ("corpus", None, None)
    assert shard.stats().licences == {"CC0-1.0": 1}
    assert shard.stats().made_by["negatives: vllm org/writer abc"] == 1


def test_a_large_shard_is_written_in_row_groups_of_one_size(shard: ExportedShard) -> None:
    content = encoded(picture(1), "JPEG")
    for _ in range(1030):
        shard.add(content, rows={})
    shard.export(unit_size=100, finehard=False)
    table = pq.ParquetFile(shard.folder / "out" / "00007.parquet")
    assert [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)] == [1024, 6]
    assert [record.source_key for record in shard.records()] == [f"img-{number}" for number in range(1030)]


def test_the_files_name_no_time_and_no_user_of_this_machine(shard: ExportedShard) -> None:
    shard.add(encoded(picture(1), "JPEG"))
    shard.export()
    with tarfile.open(shard.folder / "out" / "00007.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "fgdata", "fgdata", 0o644)}


def test_the_statistics_hold_the_digests_of_the_files(shard: ExportedShard) -> None:
    shard.add(encoded(picture(1), "JPEG"))
    shard.export()
    stats = shard.stats()
    for file in (stats.tar, stats.parquet, stats.finehard):
        assert file is not None
        content = (shard.folder / "out" / file.path).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_an_image_that_upstream_stopped_is_skipped_with_the_reason_and_moves_no_other_key(shard: ExportedShard) -> None:
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


def test_an_image_whose_bytes_are_gone_or_changed_is_failed(shard: ExportedShard) -> None:
    for number in range(3):
        shard.add(encoded(picture(number), "JPEG"))
    shard.contents["img-0"] = None
    shard.contents["img-1"] = encoded(picture(99), "JPEG")
    rows = shard.export()
    assert [(row.status, row.reason) for row in rows] == [("failed", "source_gone"), ("failed", "source_changed"), ("ok", None)]
    assert len(shard.samples()) == 1


def test_a_run_that_stops_at_caption_exports_captions(shard: ExportedShard) -> None:
    shard.add(encoded(picture(1), "JPEG"), rows={"caption": CaptionRow(key="img-0", long="Long.", short="Short")})
    shard.export(finehard=False)
    (record,) = shard.records()
    assert (record.long, record.short, record.alt, record.regions) == ("Long.", "Short", "alt 0", [])
    assert sorted(files(shard.folder / "out")) == ["00007.parquet", "00007.tar", "00007_stats.json"]


def test_a_shard_of_which_nothing_is_exported_is_written_empty(shard: ExportedShard) -> None:
    shard.add(b"", rows={}, status="failed", reason="unreadable")
    shard.export()
    assert (shard.samples(), shard.records(), shard.finehard()) == ([], [], [])
    assert shard.stats().images == 0


def test_a_box_over_the_edge_is_clipped_in_shares_and_kept_in_pixels(shard: ExportedShard) -> None:
    rows = stage_rows("img-0")
    over = Region(xyxy=(-4.0, 0.0, 60.0, 16.0), score=0.5, phrase="A red cup", start=0, end=9, head="cup")
    shard.add(encoded(picture(1), "JPEG"), rows=rows | {"select": SelectRow(key="img-0", regions=[over])})
    shard.export()
    (region,) = shard.records()[0].regions
    assert (region.xyxy, region.bbox) == ((-4, 0, 60, 16), (0, 0, 1, 0.5))


def test_finehard_records_name_loose_files_that_open_to_the_upright_image(shard: ExportedShard) -> None:
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


def test_finehard_leaves_out_what_its_trainer_fails_on(shard: ExportedShard) -> None:
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
