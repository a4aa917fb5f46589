import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.corpus.discover import discover
from pipeline.corpus.images import load_images, read_bytes
from pipeline.corpus.params import CorpusError, CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from schemas.rows import CorpusRow
from tests.support.pictures import encoded, png, tar_bytes, write


def _rows(params: CorpusParams, workdir: Path | str) -> list[CorpusRow]:
    storage = Storage(str(workdir))
    return [row for unit in update_index(params, storage) for row in read_rows(storage, unit)]


def _parquet(columns: dict[str, list[object]], **options: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def _assert_all_load(params: CorpusParams, rows: list[CorpusRow], sources: list[bytes]) -> None:
    assert read_bytes(params, rows) == sources
    for row, loaded in zip(rows, load_images(params, rows), strict=True):
        assert loaded.image is not None, loaded.problem
        assert loaded.image.size == (row.width, row.height)


def test_a_webdataset_is_indexed_with_its_sidecars(tmp_path: Path) -> None:
    members = {
        "a/1.png": png(1),
        "a/1.json": b'{"caption": "one", "title": "uno"}',
        "a/2.txt": b"two\n",
        "a/2.PNG": png(2),
        "3.png": png(3),
    }
    write(tmp_path / "corpus", {"0.tar": tar_bytes(members | {"1.seg.png": png(9), "._1.png": b"mac", "README": b"?"})})
    params = CorpusParams(path=str(tmp_path / "corpus"))
    rows = _rows(params, tmp_path / "work")
    assert [(row.key, row.alt, row.path) for row in rows] == [("a/1", "one", "0.tar"), ("a/2", "two", "0.tar"), ("3", None, "0.tar")]
    _assert_all_load(params, rows, [png(1), png(2), png(3)])
    titled = _rows(params.model_copy(update={"alt_field": "title"}), tmp_path / "other")
    assert [row.alt for row in titled] == ["uno", "two", None]


@pytest.mark.parametrize("struct", [False, True])
def test_parquet_is_read_by_row_group_with_hugging_face_s_struct_too(tmp_path: Path, struct: bool) -> None:
    sources = [png(number) for number in range(70)]
    images: list[object] = [{"bytes": data, "path": "x.png"} for data in sources] if struct else list(sources)
    table = _parquet({"image": images, "TEXT": [f"t{number}" for number in range(70)]}, row_group_size=40)
    write(tmp_path / "corpus", {"data/train.parquet": table})
    params = CorpusParams(path=str(tmp_path / "corpus"), unit_size=32)
    storage = Storage(str(tmp_path / "work"))
    units = update_index(params, storage)
    assert [unit.num_rows for unit in units] == [32, 32, 6]
    for unit in units:
        rows = read_rows(storage, unit)
        _assert_all_load(params, rows, sources[unit.first_row : unit.first_row + unit.num_rows])
        assert rows[0].alt == f"t{unit.first_row}"
        assert rows[0].key == f"{unit.first_row:09d}"
    backwards = rows[::-2]
    _assert_all_load(params, backwards, [sources[row.row] for row in backwards])


def test_parquet_columns_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, {"c/x.parquet": _parquet({"pic": [png(1)], "id": [17], "de": ["eins"], "caption": ["one"]})})
    params = CorpusParams(path=f"{tmp_path}/c/x.parquet", image_column="pic", key_column="id", alt_column="de")
    assert [(row.key, row.alt) for row in _rows(params, tmp_path / "work")] == [("17", "eins")]
    with pytest.raises(CorpusError, match=r"x\.parquet: no column 'nr'; it has pic, id"):
        _rows(params.model_copy(update={"key_column": "nr"}), tmp_path / "work2")
    with pytest.raises(CorpusError, match=r"set corpus\.image_column"):
        _rows(CorpusParams(path=f"{tmp_path}/c"), tmp_path / "work3")


def test_a_folder_is_indexed_with_its_sidecars_and_dots_in_names(tmp_path: Path) -> None:
    files = {"x/IMG.2020.01.png": png(1), "x/IMG.2020.02.png": png(2), "x/IMG.2020.02.txt": b"second", "y.png": png(3)}
    write(tmp_path / "corpus", files | {"y.json": b'{"caption": "why"}', ".hidden/z.png": png(4), "notes.md": b"-"})
    params = CorpusParams(path=str(tmp_path / "corpus"), folder_shards=3)
    rows = sorted(_rows(params, tmp_path / "work"), key=lambda row: row.key)
    assert [(row.key, row.alt) for row in rows] == [("x/IMG.2020.01", None), ("x/IMG.2020.02", "second"), ("y", "why")]
    _assert_all_load(params, rows, [png(1), png(2), png(3)])


def test_a_glob_takes_what_it_matches_and_the_sidecars_beside(tmp_path: Path) -> None:
    write(tmp_path / "c", {"a.png": png(1), "a.txt": b"A", "b.jpg": encoded(Image.new("RGB", (9, 9)), "JPEG"), "sub/d.png": png(2)})
    assert [(row.key, row.alt) for row in _rows(CorpusParams(path=f"{tmp_path}/c/*.png"), tmp_path / "w1")] == [("a", "A")]
    deep = _rows(CorpusParams(path=f"{tmp_path}/c/**/*.png"), tmp_path / "w2")
    assert {row.key for row in deep} == {"a", "sub/d"}


def test_webdataset_s_braces_are_understood_and_a_folder_may_hold_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "shards [2020] {a}"
    write(folder, {f"{number:05d}.tar": tar_bytes({f"{number}.png": png(number)}) for number in range(12)})
    assert len(_rows(CorpusParams(path=str(folder)), tmp_path / "w1")) == 12
    folder.rename(tmp_path / "c")
    rows = _rows(CorpusParams(path=f"{tmp_path}/c/{{00008..00010}}.tar"), tmp_path / "w2")
    assert [row.key for row in rows] == ["8", "9", "10"]
    assert len(_rows(CorpusParams(path=f"{tmp_path}/c/0000{{1,3}}.{{tar,zip}}"), tmp_path / "w3")) == 2


@pytest.mark.slow
def test_keys_are_those_that_webdataset_gives(tmp_path: Path) -> None:
    from webdataset.tariterators import base_plus_ext  # imports torch

    names = ["a/b.c/d.png", "./e.png", "f.v2.png", "g.PNG", "h/i-j_k.png"]
    write(tmp_path / "c", {"0.tar": tar_bytes({name: png(number) for number, name in enumerate(names)})})
    expected = [key for key, suffix in map(base_plus_ext, names) if suffix.lower() == "png"]
    rows = _rows(CorpusParams(path=str(tmp_path / "c")), tmp_path / "w")
    assert [row.key for row in rows] == expected == ["a/b.c/d", "./e", "g", "h/i-j_k"]


def _img2dataset_stats(*names: str) -> dict[str, bytes]:
    return {f"{name}_stats.json": b'{"count": 2}' for name in names}


def test_img2dataset_tars_are_taken_when_they_are_finished(tmp_path: Path) -> None:
    meta = _parquet({"key": ["000000000"], "caption": ["one"], "status": ["success"]})
    sample = {"000000000.jpg": png(1), "000000000.txt": b"one", "000000000.json": b'{"caption": "one", "status": "success"}'}
    files = {"00000.tar": tar_bytes(sample), "00000.parquet": meta, "00001.tar": tar_bytes({"000010000.jpg": png(2)})[:700]}
    write(tmp_path / "c", files | _img2dataset_stats("00000") | {"_tmp/1.feather": b""})
    params = CorpusParams(path=str(tmp_path / "c"))
    assert [(row.key, row.alt, row.status) for row in _rows(params, tmp_path / "w")] == [("000000000", "one", "ok")]
    write(tmp_path / "c", {"00001.tar": tar_bytes({"000010000.jpg": png(2)})} | _img2dataset_stats("00001"))
    assert [row.key for row in _rows(params, tmp_path / "w")] == ["000000000", "000010000"]


def test_img2dataset_files_are_a_folder(tmp_path: Path) -> None:
    meta = _parquet({"key": ["000000000"], "caption": ["one"], "status": ["success"]})
    files = {"00000/000000000.jpg": png(1), "00000/000000000.txt": b"one", "00000.parquet": meta, "00001/000010000.jpg": png(2)}
    write(tmp_path / "c", files | _img2dataset_stats("00000"))
    rows = _rows(CorpusParams(path=str(tmp_path / "c"), format="img2dataset"), tmp_path / "w")
    assert [(row.key, row.alt) for row in rows] == [("00000/000000000", "one")]


def test_img2dataset_parquet_names_what_was_not_downloaded(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "jpg": [png(1), None],
        "key": ["000000000", "000000001"],
        "caption": ["one", "two"],
        "status": ["success", "failed_to_download"],
        "error_message": [None, "HTTP Error 404"],
    }
    write(tmp_path / "c", {"00000.parquet": _parquet(columns)} | _img2dataset_stats("00000"))
    rows = _rows(CorpusParams(path=str(tmp_path / "c")), tmp_path / "w")
    assert [(row.key, row.alt, row.status, row.reason) for row in rows] == [
        ("000000000", "one", "ok", None),
        ("000000001", "two", "failed", "not_downloaded"),
    ]
    assert rows[1].detail == "failed_to_download: HTTP Error 404"


def test_one_key_in_two_shards_is_two_images_and_in_one_shard_a_failure(tmp_path: Path) -> None:
    first = tar_bytes([("k.png", png(1)), ("k.jpg", png(2)), ("k.png", png(3)), ("l.png", png(4))])
    write(tmp_path / "c", {"a.tar": first, "b.tar": tar_bytes({"k.png": png(5)})})
    rows = _rows(CorpusParams(path=str(tmp_path / "c")), tmp_path / "w")
    assert [(row.path, row.key, row.reason) for row in rows] == [
        ("a.tar", "k", None),
        ("a.tar", "k#2", "duplicate_key"),
        ("a.tar", "k#3", "duplicate_key"),
        ("a.tar", "l", None),
        ("b.tar", "k", None),
    ]


def test_two_files_of_a_folder_that_differ_in_suffix_share_a_key(tmp_path: Path) -> None:
    write(tmp_path / "c", {"a.png": png(1), "a.webp": encoded(Image.new("RGB", (9, 9)), "WEBP")})
    params = CorpusParams(path=str(tmp_path / "c"))
    assert [(row.key, row.reason) for row in _rows(params, tmp_path / "w")] == [("a", None), ("a#2", "duplicate_key")]
    (tmp_path / "c" / "a.png").unlink()
    assert [(row.key, row.reason, row.format) for row in _rows(params, tmp_path / "w")] == [("a", None, "WEBP")]


@pytest.mark.parametrize("cut", [1024 + 512 + 40, 2048 + 512 + 1])
def test_a_tar_that_is_cut_keeps_what_lies_before_the_cut(tmp_path: Path, cut: int) -> None:
    content = tar_bytes({"a.png": png(1), "b.png": png(2), "c.png": png(3)})
    write(tmp_path / "c", {"0.tar": content[:cut]})
    params = CorpusParams(path=str(tmp_path / "c"))
    rows = _rows(params, tmp_path / "w")
    assert [row.status for row in rows[:-1]] == ["ok"] * (len(rows) - 1)
    assert rows[-1].reason == "truncated_shard"
    loaded = load_images(params, rows)
    assert loaded[0].image is not None
    assert loaded[-1].problem is not None
    assert loaded[-1].problem.reason == "truncated_shard"


def test_a_cut_inside_a_header_and_a_broken_header_leave_a_row_that_says_so(tmp_path: Path) -> None:
    content = tar_bytes({"a.png": png(1), "b.png": png(2)})
    broken = content[:1024] + b"x" * 512 + content[1536:]
    write(tmp_path / "c", {"0.tar": content[: 1024 + 100], "1.tar": broken, "2.tar": b"", "3.tar": b"<html>" * 200})
    rows = _rows(CorpusParams(path=str(tmp_path / "c")), tmp_path / "w")
    assert [(row.key, row.reason) for row in rows] == [
        ("a", None),
        ("0#rest", "truncated_shard"),
        ("a", None),
        ("1#rest", "unreadable_shard"),
        ("2#rest", "truncated_shard"),
        ("3#rest", "unreadable_shard"),
    ]


def test_a_bad_image_is_a_row_with_its_reason_and_the_run_goes_on(tmp_path: Path) -> None:
    photo = encoded(Image.effect_noise((64, 64), 50), "JPEG")
    bad = {"a.jpg": b"", "b.jpg": b"<html>", "c.png": png(1, (200, 200)), "d.jpg": photo[:-300], "e.png": png(2)}
    write(tmp_path / "c", {"0.tar": tar_bytes(bad), "1.tar": tar_bytes({"f.png": png(3)})})
    params = CorpusParams(path=str(tmp_path / "c"), max_pixels_limit=10_000)
    rows = _rows(params, tmp_path / "w")
    assert [(row.key, row.status, row.reason) for row in rows] == [
        ("a", "failed", "empty"),
        ("b", "failed", "unreadable"),
        ("c", "failed", "too_large"),
        ("d", "ok", None),  # its header is whole; the cut shows when it is decoded
        ("e", "ok", None),
        ("f", "ok", None),
    ]
    loaded = load_images(params, rows[:5])
    assert [item.problem.reason if item.problem else None for item in loaded] == [
        "empty",
        "unreadable",
        "too_large",
        "truncated_image",
        None,
    ]


def test_a_broken_parquet_file_is_one_failed_row(tmp_path: Path) -> None:
    good = _parquet({"jpg": [png(1)], "key": ["k"]})
    write(tmp_path / "c", {"0.parquet": good, "1.parquet": good[:-20]})
    rows = _rows(CorpusParams(path=str(tmp_path / "c")), tmp_path / "w")
    assert [(row.key, row.reason) for row in rows] == [("k", None), ("1#rest", "unreadable_shard")]


def test_sizes_are_those_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "c", {"a.jpg": encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)})
    params = CorpusParams(path=str(tmp_path / "c"))
    rows = _rows(params, tmp_path / "w")
    assert (rows[0].width, rows[0].height, rows[0].format) == (20, 40, "JPEG")
    image = load_images(params, rows)[0].image
    assert image is not None
    assert image.size == (20, 40)


def test_a_file_that_vanishes_or_changes_after_the_index_is_a_problem_of_that_image(tmp_path: Path) -> None:
    write(tmp_path / "c", {"a.png": png(1), "b.png": png(2), "d.png": png(3)})
    params = CorpusParams(path=str(tmp_path / "c"), folder_shards=1)
    rows = _rows(params, tmp_path / "w")
    (tmp_path / "c" / "a.png").unlink()
    write(tmp_path / "c", {"b.png": png(4)})
    loaded = load_images(params, rows)
    assert [item.problem.reason if item.problem else None for item in loaded] == ["missing", "changed", None]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"does not exist: correct corpus\.path"),
        ({"notes.md": b"-"}, r"no tars, Parquet or image files among 1 files: correct corpus\.path or corpus\.format"),
        ({"0.tar.gz": b"-"}, r"decompress them to \.tar"),
        ({"a.png": png(1), "b.parquet": _parquet({"jpg": [png(1)]})}, r"set corpus\.format to folder or parquet"),
        ({"a.png": png(1), "0.tar": tar_bytes({"a.png": png(1)})}, r"set corpus\.format to webdataset or folder"),
        ({"0.tar": tar_bytes({"a.mp4": b"-"})}, r"no images in 1 shards"),
        (
            {"00000.tar": tar_bytes({"a.png": png(1)}), "00001_stats.json": b"{}"},
            r"none of the shards has its img2dataset _stats\.json yet: wait, or set",
        ),
    ],
)
def test_a_corpus_that_cannot_be_used_says_what_to_do(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    write(tmp_path / "c", files)
    with pytest.raises(CorpusError, match=message) as caught:
        _rows(CorpusParams(path=str(tmp_path / "c")), tmp_path / "w")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "c") in str(caught.value)


def test_an_asked_for_format_is_not_guessed(tmp_path: Path) -> None:
    write(tmp_path / "c", {"a.png": png(1), "b.parquet": _parquet({"jpg": [png(1)]}), "c.tar": tar_bytes({"x.png": png(1)})})
    for name in ("webdataset", "parquet", "folder"):
        assert {shard.format for shard in discover(CorpusParams(path=str(tmp_path / "c"), format=name))} == {name}


def test_a_broken_sidecar_costs_the_alt_text_alone(tmp_path: Path) -> None:
    write(tmp_path / "c", {"a.png": png(1), "a.json": b"{", "b.png": png(2), "b.json": json.dumps({"caption": 7}).encode()})
    rows = sorted(_rows(CorpusParams(path=str(tmp_path / "c")), tmp_path / "w"), key=lambda row: row.key)
    assert [(row.status, row.alt) for row in rows] == [("ok", None), ("ok", None)]
    assert rows[0].detail is not None
    assert rows[0].detail.startswith(".json sidecar:")


def test_the_index_holds_no_absolute_path(tmp_path: Path) -> None:
    write(tmp_path / "c", {"s/0.tar": tar_bytes({"a.png": png(1)})})
    before = update_index(CorpusParams(path=str(tmp_path / "c")), Storage(str(tmp_path / "w")))
    (tmp_path / "c").rename(tmp_path / "moved")
    assert update_index(CorpusParams(path=str(tmp_path / "moved")), Storage(str(tmp_path / "w"))) == before
