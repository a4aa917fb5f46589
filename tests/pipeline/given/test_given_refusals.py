"""Bad given rows: every reason that there is, seen where a user finds it: in a row, in a row's counts, or in the source's list."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.api import open_job
from pipeline.given.boxes import turned
from pipeline.given.checks import REASONS
from pipeline.given.formats import FORMATS, GivenFormat
from pipeline.given.source import Raw, SourceFile
from schemas.rows import GroundRow, HardNegativeRow, RegionCaptionRow
from tests.support.given_job import given_job, rows_of, write_lines
from tests.support.in_process import carry_all
from tests.support.pictures import encoded, tar_bytes, write

LONG = "A red mug stands beside a blue car."
BOX = [10, 5, 40, 35]  # in 60 x 40 pixels
NAN = float("nan")


def _box(bbox: Any = BOX, phrase: Any = "A red mug", **fields: Any) -> dict[str, Any]:
    return {"bbox": bbox, "phrase": phrase, **fields}


CAPTIONS: dict[str, Any] = {
    "wrong_type": {"long": ["a list"]},
    "missing_field": {"note": "neither caption"},
    "empty_text": {"long": "  \n"},
    "null_bytes": {"long": "a mug\0and a car"},
    "control_characters": {"long": "a mug\x07 rings"},
    "wrong_encoding": {"long": "a caf\u00c3\u00a9 table"},  # UTF-8 read as Latin-1 on its way
}
BOXES: dict[str, Any] = {
    "wrong_type": [_box([1, 2, 3])],
    "missing_field": [{"phrase": "a mug"}],
    "empty_text": [_box(phrase=" ")],
    "not_finite": [_box([10, NAN, 40, 35])],
    "inverted": [_box([40, 30, 35, 35])],
    "zero_area": [_box([10, 5, 10, 35])],
    "outside_frame": [_box([10, 5, 61, 35])],
    "looks_xywh": [_box(), _box([30, 20, 20, 10])],
    "looks_normalised": [_box(), _box([0.1, 0.2, 0.5, 0.9])],
    "bad_score": [_box(score=1.5)],
    "span_not_verbatim": [_box(start=2, end=11)],
    "span_out_of_range": [_box(start=30, end=300)],
    "too_many_regions": [_box() for _ in range(9)],
}
ROWS: dict[str, Any] = {
    "other_image_size": {"width": 640, "height": 480, "boxes": [_box()]},
    "stored_orientation": {"width": 60, "height": 40, "boxes": [_box()]},  # the image is stored so, and upright 40 x 60
}

UNREAD = {"malformed_json": 1, "wrong_encoding": 1, "wrong_type": 2, "missing_key": 1, "no_such_image": 1}
CONVENTIONS: dict[str, Any] = {  # reason -> what boxes were declared, one that is not so
    "looks_xyxy": ("xywh", [30, 20, 55, 38]),
    "inverted": ("xywh", [30, 20, -5, 8]),
    "looks_pixels": ("normalised", [10, 5, 40, 35]),
    "outside_frame": ("normalised", [0.5, 0.5, 1.2, 0.9]),
    "span_without_caption": ("xyxy", BOX),
}
ANNOTATIONS = {"crowd": 1, "unknown_category": 1}
REGIONS: dict[str, Any] = {
    "duplicate_region": {"bbox": BOX, "short": "again"},
    "missing_field": {"region": 1},
    "region_not_selected": {"bbox": [1, 1, 9, 9], "short": "elsewhere"},
    "region_out_of_range": {"region": 2, "short": "nobody"},
    "unknown_attribute_type": {"bbox": BOX, "short": "a red mug", "attributes": [{"type": "smell", "value": "sweet"}]},
}


def _edit(kind: str = "colour", start: int = 2, end: int = 5, old: str = "red", new: str = "blue") -> dict[str, Any]:
    return {"type": kind, "start": start, "end": end, "old": old, "new": new}


NEGATIVES: dict[str, Any] = {
    "equals_positive": "A red mug",
    "duplicate_negative": "a blue mug",
    "unknown_edit_type": {"text": "a sweet mug", "edits": [_edit("smell", new="sweet")]},
    "span_out_of_range": {"text": "a blue mug", "edits": [_edit(end=50)]},
    "edit_does_not_replay": {"text": "a green mug", "edits": [_edit()]},
    "too_many_edits": {"text": "a xxx xug", "edits": [_edit("untyped", i, i + 1, "a red mug"[i], "x") for i in (2, 3, 4, 6)]},
}
WHOLE = ("duplicate_row", "truncated_shard", "no_positive", "positive_mismatch")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder of images of 60 x 40 pixels, one for each kind of row here; `stored_orientation` is turned by EXIF."""
    names = {*CAPTIONS, *BOXES, *ROWS, "duplicate_row", "good", "mixed"}
    pictures = {}
    for number, name in enumerate(sorted(names)):
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "stored_orientation" else 1
        pictures[f"corpus/{name}.jpg"] = encoded(Image.new("RGB", (60, 40), (number * 9, 90, 30)), "JPEG", exif=exif)
    write(tmp_path, pictures)
    return tmp_path


def _reasons(config: Path, stage: str) -> dict[str, str | None]:
    rows = rows_of(config, stage).values()
    assert all(row.status == "failed" for row in rows if row.reason and row.reason != "not_given")
    return {row.key: row.reason for row in rows if row.status == "failed"}


def _given(path: str, **fields: Any) -> dict[str, Any]:
    return {"format": "jsonl", "path": path, "missing": "skip", **fields}


def test_a_bad_caption_is_a_failed_row_with_its_reason_and_its_place(corpus: Path) -> None:
    lines = [{"key": key, **record} for key, record in CAPTIONS.items()]
    write_lines(
        corpus / "given.jsonl", [*lines, *({"key": "duplicate_row", "long": text} for text in (LONG, LONG)), {"key": "good", "long": LONG}]
    )
    config = given_job(corpus, ["caption"], {"caption": _given("given.jsonl")}, engines={})
    carry_all(config)
    assert _reasons(config, "caption") == {reason: reason for reason in (*CAPTIONS, "duplicate_row")}
    rows = rows_of(config, "caption")
    assert (rows["good"].status, rows["duplicate_row"].detail) == ("ok", "given.jsonl:7: given.jsonl:7, given.jsonl:8")


def test_what_cannot_be_read_or_names_no_image_is_in_the_list_of_the_source(corpus: Path) -> None:
    lines = [
        b'{"key": "good", "long": ',
        b'{"key": "good", "long": "caf\xe9"}',
        b'"a text"',
        {"long": LONG},
        {"key": "nobody", "long": LONG},
    ]
    write_lines(corpus / "given.jsonl", [*lines, {"key": {"a": 1}}, {"key": "good", "long": LONG}])
    config = given_job(corpus, ["caption"], {"caption": _given("given.jsonl")}, engines={})
    matched = open_job(config).state().given["caption"]
    assert (matched.num_rows, matched.num_matched, matched.reasons) == (7, 1, UNREAD)
    listed = {record["place"]: record["reason"] for record in pq.read_table(matched.unmatched).to_pylist()}
    assert (listed["given.jsonl:1"], listed["given.jsonl:5"]) == ("malformed_json", "no_such_image")
    assert "no_such_image 1, such as given.jsonl:5: nobody" in matched.line()
    carry_all(config)
    assert rows_of(config, "caption")["good"].status == "ok"


def test_a_reader_s_own_word_fails_the_image_that_it_names(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_pages(source: SourceFile) -> Iterator[Raw]:
        yield Raw(f"{source.path}:1", name="good", reason="torn_page", detail="half of it")
        yield Raw(f"{source.path}:2", reason="torn_page")

    monkeypatch.setitem(FORMATS, "pages", GivenFormat("one page an image", (".jsonl",), read_pages))  # type: ignore[arg-type]  # a dict
    write_lines(corpus / "given.jsonl", [{}])
    config = given_job(corpus, ["caption"], {"caption": {"path": "given.jsonl", "format": "pages", "missing": "skip"}}, engines={})
    assert open_job(config).state().given["caption"].reasons == {"torn_page": 1}
    carry_all(config)
    row = rows_of(config, "caption")["good"]
    assert (row.status, row.reason, row.detail) == ("failed", "torn_page", "given.jsonl:1: half of it")


def test_a_bad_box_or_span_fails_its_row_where_it_was_the_only_one(corpus: Path) -> None:
    write_lines(corpus / "captions.jsonl", [{"key": key, "long": LONG} for key in (*BOXES, *ROWS, "good", "mixed")])
    records = [{"key": key, "boxes": boxes} for key, boxes in BOXES.items()] + [{"key": key, **row} for key, row in ROWS.items()]
    mixed = [_box(), _box(start=0, end=9), _box([0, 0, 70, 20]), _box([0, 0, 0, 20]), _box([0, 0, 80, 20]), _box(score=0.7)]
    good = {"key": "good", "width": 60, "height": 40, "boxes": [_box(start=0, end=9), _box([59, 39, 60.005, 40], "speck")]}
    write_lines(corpus / "boxes.jsonl", [*records, {"key": "mixed", "boxes": mixed}, good])
    given = {"caption": _given("captions.jsonl"), "ground": _given("boxes.jsonl", max_regions=8)}
    config = given_job(corpus, ["caption", "ground"], given, engines={})
    carry_all(config)
    assert _reasons(config, "ground") == {reason: reason for reason in (*BOXES, *ROWS)}
    rows = rows_of(config, "ground")
    row = rows["mixed"]
    assert isinstance(row, GroundRow)
    assert (row.status, row.given_rejects) == ("ok", {"outside_frame": 2, "zero_area": 1})
    assert [(box.phrase, box.score) for box in row.detections] == [(0, None), (1, None), (0, 0.7)]
    fine = rows["good"]
    assert isinstance(fine, GroundRow)
    assert [(phrase.text, phrase.start, phrase.end, phrase.head) for phrase in fine.phrases] == [
        ("A red mug", 0, 9, "mug"),
        ("speck", None, None, "speck"),
    ]
    assert fine.detections[1].xyxy == (59, 39, 60, 40)


@pytest.mark.parametrize("reason", CONVENTIONS)
def test_a_box_of_another_convention_than_declared_is_named(reason: str, corpus: Path) -> None:
    boxes, bbox = CONVENTIONS[reason]
    span = {"start": 0, "end": 9} if reason == "span_without_caption" else {}
    write_lines(corpus / "boxes.jsonl", [{"key": "good", "boxes": [_box(bbox, **span)]}])
    config = given_job(corpus, ["ground"], {"ground": _given("boxes.jsonl", boxes=boxes)}, engines={})
    carry_all(config)
    assert _reasons(config, "ground") == {"good": reason}


def test_coco_categories_and_crowds_are_refused_box_by_box(corpus: Path) -> None:
    annotations = [(1, 7, 0), (1, 8, 0), (1, 7, 1), (9, 7, 0)]
    content = {
        "annotations": [{"image_id": i, "category_id": c, "bbox": [10, 5, 30, 30], "iscrowd": crowd} for i, c, crowd in annotations],
        "images": [{"id": 1, "file_name": "somewhere/good.jpg", "width": 60, "height": 40}, {"id": 2, "file_name": "mixed.jpg"}],
        "categories": [{"id": 7, "name": "dining table"}],
    }
    (corpus / "instances.json").write_text(json.dumps(content))
    config = given_job(corpus, ["ground"], {"ground": {"format": "coco", "path": "instances.json", "missing": "skip"}}, engines={})
    assert open_job(config).state().given["ground"].reasons == {"no_such_image": 1}
    carry_all(config)
    row = rows_of(config, "ground")["good"]
    assert isinstance(row, GroundRow)
    assert row.given_rejects == ANNOTATIONS
    assert [(phrase.text, phrase.head) for phrase in row.phrases] == [("dining table", "table")]
    assert [box.xyxy for box in row.detections] == [(10, 5, 40, 35)]


def _region_job(corpus: Path, regions: Any, negatives: Any) -> Path:
    """Two given boxes, their expressions and their negatives for the image `good`."""
    boxes = [_box(), _box([0, 0, 20, 20], "a blue car")]
    write_lines(corpus / "boxes.jsonl", [{"key": "good", "boxes": boxes}])
    write_lines(corpus / "regions.jsonl", [{"key": "good", "regions": regions}])
    write_lines(corpus / "negatives.jsonl", [{"key": "good", "regions": negatives}])
    given = {"ground": _given("boxes.jsonl"), "region_caption": _given("regions.jsonl"), "hard_negative": _given("negatives.jsonl")}
    config = given_job(corpus, ["ground", "select", "region_caption", "hard_negative"], given, engines={})
    carry_all(config)
    return config


def test_an_expression_must_find_its_region_and_an_attribute_its_type(corpus: Path) -> None:
    good = {"bbox": BOX, "short": "a red mug", "attributes": [{"type": "colour", "value": "red"}, {"type": "smell", "value": "sweet"}]}
    bad = [region for reason, region in REGIONS.items() if reason != "unknown_attribute_type"]
    config = _region_job(corpus, [good, *bad], [])
    row = rows_of(config, "region_caption")["good"]
    assert isinstance(row, RegionCaptionRow)
    assert row.given_rejects == dict.fromkeys(sorted(REGIONS), 1)
    assert [(region.short, region.head, region.reason) for region in row.regions] == [
        ("a red mug", "mug", None),
        (None, "car", "not_given"),
    ]
    assert [attribute.value for attribute in row.regions[0].attributes] == ["red"]


def test_a_negative_must_replay_and_say_something_else(corpus: Path) -> None:
    taken = ["a blue mug", {"text": "an orange mug", "edits": [_edit(new="orange")]}, "a red car", "a red mug with a lid"]
    negatives = [
        {"bbox": BOX, "positive": "a red mug", "negatives": [*taken, *NEGATIVES.values()]},
        {"region": 1, "negatives": ["a green car"]},
        {"region": 0, "positive": "another", "negatives": []},
    ]
    config = _region_job(corpus, [{"bbox": BOX, "short": "a red mug"}], negatives)
    row = rows_of(config, "hard_negative")["good"]
    assert isinstance(row, HardNegativeRow)
    (region,) = row.regions
    assert region.rejects == dict.fromkeys(sorted(NEGATIVES), 1)
    assert region.num_proposed == len(region.negatives) + sum(region.rejects.values())
    assert [(negative.text, negative.type, negative.verdict, negative.source) for negative in region.negatives] == [
        ("a blue mug", "colour", "unverified", "given"),
        ("an orange mug", "colour", "unverified", "given"),
        ("a red car", "object", "unverified", "given"),
        ("a red mug with a lid", "untyped", "unverified", "given"),
    ]
    assert row.given_rejects == {**region.rejects, "no_positive": 1, "duplicate_region": 1}


def test_negatives_of_another_positive_are_not_taken(corpus: Path) -> None:
    config = _region_job(
        corpus, [{"bbox": BOX, "short": "a red mug"}], [{"bbox": BOX, "positive": "a tall mug", "negatives": ["a low mug"]}]
    )
    assert _reasons(config, "hard_negative") == {"good": "positive_mismatch"}


def test_a_broken_sidecar_fails_its_image_and_a_cut_tar_says_from_where_on_it_is_not_read(corpus: Path) -> None:
    whole = tar_bytes({"good.json": b'{"caption": "A red mug."}', "mixed.json": b'{"caption": "A car."}'})
    write(corpus, {"side/a.tar": whole[: 1024 + 600]})
    write(corpus, {"side/b.tar": tar_bytes({"bad_score.json": b'{"caption": '})})
    given = {"format": "webdataset-json", "path": "side", "fields": {"long": "caption"}, "missing": "skip"}
    config = given_job(corpus, ["caption"], {"caption": given}, engines={})
    assert open_job(config).state().given["caption"].reasons == {"truncated_shard": 1}
    carry_all(config)
    rows = rows_of(config, "caption")
    assert (rows["good"].status, rows["bad_score"].reason) == ("ok", "malformed_json")


def test_boxes_of_stored_pixels_are_turned_as_exif_turns_the_image(corpus: Path) -> None:
    write_lines(corpus / "boxes.jsonl", [{"key": "stored_orientation", "width": 60, "height": 40, "boxes": [_box([0, 0, 20, 10])]}])
    config = given_job(corpus, ["ground"], {"ground": _given("boxes.jsonl", orientation="stored")}, engines={})
    carry_all(config)
    row = rows_of(config, "ground")["stored_orientation"]
    assert isinstance(row, GroundRow)
    assert (row.width, row.height, row.detections[0].xyxy) == (40, 60, (30, 0, 40, 20))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_is_turned_with_its_pixels(orientation: int) -> None:
    from pipeline.corpus.pixels import decode

    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (40, 24))
    stored.paste((255, 255, 255), (8, 3, 20, 9))
    sink = io.BytesIO()
    stored.save(sink, "PNG", exif=exif)
    upright = decode(sink.getvalue(), 10**6)
    assert isinstance(upright, Image.Image)
    assert upright.convert("L").getbbox() == tuple(map(int, turned((8, 3, 20, 9), 40, 24, orientation)))


def test_the_tables_above_hold_every_reason_there_is() -> None:
    elsewhere = {"ambiguous_name", "duplicate_id", "compressed_file"}  # test_given_odd.py
    shown = {*CAPTIONS, *BOXES, *ROWS, *UNREAD, *CONVENTIONS, *ANNOTATIONS, *REGIONS, *NEGATIVES, *WHOLE, *elsewhere}
    assert shown == set(REASONS)
    assert len(shown) >= 20
