"""Odd sources: names that several images have, files of another kind, numbers and bytes that JSON does not know, ids that stand twice."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.api import open_job
from pipeline.given.readers.coco import words_of
from pipeline.given.source import GivenError
from schemas.rows import GroundRow, Row
from stages.ground import Ground
from tests.support.given_job import given_job, rows_of, write_lines
from tests.support.in_process import carry_all
from tests.support.pictures import encoded, tar_bytes, write


def png(number: int) -> bytes:
    """64 x 48, no two alike."""
    return encoded(Image.new("RGB", (64, 48), (number % 256, 60, 90)))


DOG = {"id": 90, "name": "dog"}


def _coco(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], categories: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {"images": images, "annotations": annotations, "categories": categories or [DOG]}


def _annotation(image: Any, bbox: Any = (5, 5, 20, 20), category: Any = 90) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": list(bbox), "iscrowd": 0}


def _ground(folder: Path, content: Any, form: str = "coco", name: str = "boxes.json", **given: Any) -> dict[str, Row]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / name).write_bytes(data)
    config = given_job(folder, ["caption", "ground"], {"ground": {"format": form, "path": name, "missing": "skip", **given}}, export=None)
    carry_all(config)
    return rows_of(config, "ground")


def _pictures(folder: Path, *names: str) -> None:
    write(folder / "corpus", {name: png(number) for number, name in enumerate(names)})


def _status_or_reason(row: Row) -> str:
    return row.status if row.status == "ok" else str(row.reason)


def _files(form: str, paths: list[str]) -> tuple[str, bytes, dict[str, Any]]:
    """A source of each format whose rows name these files."""
    boxes = [{"bbox": [5, 5, 25, 25], "phrase": "dog"}]
    if form == "coco":
        images = [{"id": number, "file_name": path} for number, path in enumerate(paths)]
        return "b.json", json.dumps(_coco(images, [_annotation(number) for number in range(len(paths))])).encode(), {}
    if form == "finehard":
        regions = [{"bbox": [0.1, 0.1, 0.6, 0.6], "short_expr": "dog"}]
        return "b.json", json.dumps([{"f_path": path, "caption": "x", "bbox_info": regions} for path in paths]).encode(), {}
    records = [{"key": path, "boxes": boxes} for path in paths]
    if form == "jsonl":
        return "b.jsonl", b"".join(json.dumps(record).encode() + b"\n" for record in records), {"match": "file"}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return "b.parquet", sink.getvalue(), {"match": "file"}


@pytest.mark.parametrize("form", ["coco", "finehard", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("paths", "train", "val"),
    [
        (["val/0001.png"], "not_given", "ok"),
        (["data/val/0001.png", "data/train/0001.png"], "ok", "ok"),
        ([r"C:\data\val\0001.png"], "not_given", "ok"),
        (["0001.png"], "ambiguous_name", "ambiguous_name"),
        (["test/0001.png"], "ambiguous_name", "ambiguous_name"),
        (["0001.png", "val/0001.png"], "ambiguous_name", "ok"),
    ],
)
def test_a_name_that_two_images_have_is_told_apart_by_its_folder(form: str, paths: list[str], train: str, val: str, tmp_path: Path) -> None:
    _pictures(tmp_path, "train/0001.png", "val/0001.png", "val/0002.png")
    name, data, given = _files(form, paths)
    rows = _ground(tmp_path, data, form, name, **given)
    assert [_status_or_reason(rows[key]) for key in ("train/0001", "val/0001", "val/0002")] == [train, val, "not_given"]


def test_the_name_of_a_tar_is_a_folder_too(tmp_path: Path) -> None:
    write(tmp_path / "corpus", {f"{shard}.tar": tar_bytes({"0001.png": png(number)}) for number, shard in enumerate(("train", "val"))})
    name, data, given = _files("finehard", ["images/val/0001.png"])
    _ground(tmp_path, data, "finehard", name, **given)
    job = open_job(tmp_path / "job.yaml")
    state = job.state()
    by_tar = {unit.shard_number: rows for unit in [item.units[0] for item in state.items("ground")] for rows in [_table(job, state, unit)]}
    assert sorted(_status_or_reason(row) for rows in by_tar.values() for row in rows) == ["not_given", "ok"]


def _table(job: Any, state: Any, unit: Any) -> list[Row]:
    (table,) = state.tables_of("ground", [unit])
    rows: list[Row] = job.ledger.read(table, Ground.row_type)
    return rows


def test_a_file_alone_of_its_name_is_found_whatever_the_folder_and_one_picture_twice_is_no_doubt(tmp_path: Path) -> None:
    write(tmp_path / "corpus", {"a/0001.png": png(1), "a/0002.png": png(2), "b/0002.png": png(2)})
    rows = _ground(
        tmp_path, _coco([{"id": 1, "file_name": "x/0001.png"}, {"id": 2, "file_name": "0002.png"}], [_annotation(1), _annotation(2)])
    )
    assert {key: _status_or_reason(row) for key, row in rows.items()} == {"a/0001": "ok", "a/0002": "ok", "b/0002": "ok"}


def test_a_namesake_that_comes_later_reruns_the_unit_of_the_first_alone(tmp_path: Path) -> None:
    _pictures(tmp_path, *(f"train/{number:04d}.png" for number in range(6)))
    annotations = _coco([{"id": 1, "file_name": "0001.png"}], [_annotation(1)])
    assert _status_or_reason(_ground(tmp_path, annotations)["train/0001"]) == "ok"
    write(tmp_path / "corpus", {"val/0001.png": png(77)})
    carried = carry_all(tmp_path / "job.yaml")
    rows = rows_of(tmp_path / "job.yaml", "ground")
    assert (_status_or_reason(rows["train/0001"]), _status_or_reason(rows["val/0001"])) == ("ambiguous_name", "ambiguous_name")
    assert carried["ground"] == 2
    assert not any(carry_all(tmp_path / "job.yaml").values())


def test_keys_that_tars_share_are_nobody_s(tmp_path: Path) -> None:
    write(tmp_path / "corpus", {f"{shard}.tar": tar_bytes({"0001.png": png(number)}) for number, shard in enumerate(("a", "b"))})
    write_lines(tmp_path / "c.jsonl", [{"key": "0001", "long": "A mug."}])
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "jsonl", "path": "c.jsonl", "missing": "skip"}}, export=None)
    carry_all(config)
    assert rows_of(config, "caption")["0001"].reason == "ambiguous_name"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("baseball_bat", "baseball bat"),
        ("orange_(fruit)", "orange"),
        ("bow_(decorative_ribbons)", "bow"),
        ("first-aid_kit", "first-aid kit"),
        ("dog", "dog"),
        ("(unnamed)", "(unnamed)"),
        ("car_(automobile)_door", "car door"),
    ],
)
def test_a_category_is_named_in_words(name: str, words: str) -> None:
    assert words_of(name) == words


def test_the_heads_of_lvis_s_names_are_nouns(tmp_path: Path) -> None:
    _pictures(tmp_path, "1.png")
    categories = [{"id": 1, "name": "baseball_bat"}, {"id": 2, "name": "orange_(fruit)"}]
    image = {"id": 1, "coco_url": "http://images.cocodataset.org/train2017/1.png"}
    row = _ground(tmp_path, _coco([image], [_annotation(1, category=1), _annotation(1, (1, 1, 9, 9), 2)], categories))["1"]
    assert isinstance(row, GroundRow)
    assert [(phrase.text, phrase.head) for phrase in row.phrases] == [("baseball bat", "bat"), ("orange", "orange")]


WRONG = {
    "COCO's results": (
        "coco",
        b'[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        "an array of objects with image_id",
    ),
    "COCO's captions": (
        "coco",
        b'{"images": [{"id": 1}], "annotations": [{"id": 1, "caption": "x"}]}',
        "an object with images, annotations",
    ),
    "one record alone": ("finehard", b'{"f_path": "1.png", "caption": "x"}', "an object with f_path, caption"),
    "COCO as FineHARD": ("finehard", json.dumps(_coco([], [])).encode(), "an object with images, annotations, categories"),
    "results as FineHARD": ("finehard", b'[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "an array of objects with image_id, bbox"),
    "a text": ("coco", b'"boxes"', "a single value"),
    "an array as lines": ("jsonl", b'[{"key": "1"},\n{"key": "2"}]\n', "one object a line was looked for"),
    "a document as lines": ("jsonl", b'{\n "key": "1"\n}\n', "one object a line was looked for"),
    "lines of another tool": ("jsonl", b'{"id": 1, "text": "x"}\n{"id": 2, "text": "y"}\n', "has the field 'key'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_of_another_kind_is_refused_with_what_was_looked_for(name: str, tmp_path: Path) -> None:
    form, data, says = WRONG[name]
    _pictures(tmp_path, "1.png")
    with pytest.raises(GivenError) as caught:
        _ground(tmp_path, data, form)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"given.ground.path: {tmp_path / 'boxes.json'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 400, "9" * 5000, "-" + "9" * 400])
@pytest.mark.parametrize("form", ["coco", "finehard", "jsonl"])
def test_a_number_that_no_float_holds_costs_its_box_and_no_other(form: str, number: str, tmp_path: Path) -> None:
    _pictures(tmp_path, "1.png", "2.png")
    name, data, given = _files(form, ["1.png", "2.png"])
    odd, good = {
        "coco": (b'"annotations": [', b'{"image_id": 0, "category_id": 90, "bbox": [1, 1, NUMBER, 9]}, '),
        "finehard": (b'"bbox_info": [', b'{"bbox": [0.1, 0.1, NUMBER, 0.6], "short_expr": "NaN \\" Infinity dog"}, '),
        "jsonl": (b'"boxes": [', b'{"bbox": [1, 1, NUMBER, 9], "phrase": "NaN dog"}, '),
    }[form]
    data = b"\xef\xbb\xbf" + data.replace(odd, odd + good.replace(b"NUMBER", number.encode()), 1)
    rows = _ground(tmp_path, data, form, name, **given)
    first, second = rows["1"], rows["2"]
    assert isinstance(first, GroundRow)
    assert isinstance(second, GroundRow)
    assert (first.status, first.given_rejects, len(first.detections)) == ("ok", {"not_finite": 1}, 1)
    assert (second.status, second.given_rejects) == ("ok", {})


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_what_json_has_no_number_for_is_found_wherever_a_chunk_ends(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.given.readers import stream

    monkeypatch.setattr(stream, "_CHUNK_BYTES", size)
    text = (
        b'\xef\xbb\xbf[{"a": NaN, "b": "NaN \\" Infinity \\\\", "c": [-Infinity, 1.5e3, '
        + b"9" * 310
        + b', -0.25], "": Infinity}, "'
        + b"x" * 50
        + b'"]'
    )
    tolerant, parts = stream._Tolerant(io.BytesIO(text)), []
    while part := tolerant.read(size):
        parts.append(part)
    huge = float("inf")
    assert json.loads(b"".join(parts)) == [{"a": huge, "b": 'NaN " Infinity \\', "c": [huge, 1500.0, huge, -0.25], "": huge}, "x" * 50]


def test_ids_that_stand_twice_are_named(tmp_path: Path) -> None:
    _pictures(tmp_path, "1.png", "2.png", "3.png")
    images = [{"id": 7, "file_name": "1.png"}, {"id": 7, "file_name": "2.png"}, {"id": 8, "file_name": "3.png"}]
    categories = [DOG, {"id": 90, "name": "cat"}, {"id": 1, "name": "cup"}, {"id": 1, "name": "cup"}]
    rows = _ground(tmp_path, _coco(images, [_annotation(7), _annotation(8), _annotation(8, category=1)], categories))
    assert (_status_or_reason(rows["1"]), _status_or_reason(rows["2"])) == ("duplicate_id", "duplicate_id")
    third = rows["3"]
    assert isinstance(third, GroundRow)
    assert ([phrase.text for phrase in third.phrases], third.given_rejects) == (["cup"], {"duplicate_id": 1})


def test_a_compressed_file_beside_the_others_is_named(tmp_path: Path) -> None:
    _pictures(tmp_path, "1.png")
    write(tmp_path / "rows", {"a.jsonl": b'{"key": "1", "long": "A mug."}\n', "b.jsonl.gz": b"\x1f\x8b"})
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "jsonl", "path": "rows", "missing": "skip"}}, export=None)
    matched = open_job(config).state().given["caption"]
    assert (matched.num_matched, dict(matched.reasons)) == (1, {"compressed_file": 1})
    assert "b.jsonl.gz" in pq.read_table(matched.unmatched).column("place").to_pylist()
    (tmp_path / "rows" / "a.jsonl").unlink()
    with pytest.raises(GivenError, match=r"b\.jsonl\.gz is compressed"):
        open_job(config).state()


def test_a_broken_page_of_a_given_table_names_the_file(tmp_path: Path) -> None:
    _pictures(tmp_path, "1.png")
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"key": [str(number) for number in range(2000)], "long": [f"mug {number}" for number in range(2000)]}),
        sink,
        row_group_size=500,
    )
    data = bytearray(sink.getvalue())
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xff" * 400
    (tmp_path / "c.parquet").write_bytes(bytes(data))
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "parquet", "path": "c.parquet", "missing": "skip"}}, export=None)
    with pytest.raises(GivenError, match=r"given\.caption\.path: .*c\.parquet: cannot be read from row"):
        open_job(config).state()


def test_texts_with_controls_and_numbers_without_a_place_fail_their_row_alone(tmp_path: Path) -> None:
    _pictures(tmp_path, "1.png", "2.png", "3.png", "4.png")
    lines: list[Any] = [
        {"key": "1", "long": "a\u0007 mug"},
        b'{"key": "2", "long": "a mug \\ud83d"}',
        {"key": "3", "long": "a\tmug\nand"},
        b'{"key": "4\\ud83d", "long": "x"}',
    ]
    write_lines(tmp_path / "c.jsonl", lines)
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "jsonl", "path": "c.jsonl", "missing": "skip"}}, export=None)
    carry_all(config)
    rows = rows_of(config, "caption")
    assert [_status_or_reason(rows[key]) for key in "1234"] == ["control_characters", "wrong_encoding", "ok", "not_given"]
