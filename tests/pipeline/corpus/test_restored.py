"""A tar or table whose times alone have changed is the shard that it was."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.images import load_images
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from tests.support.pictures import png, tar_bytes, write


def _write_shard(path: Path, kind: str, texts: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    if kind == "parquet":
        pq.write_table(pa.table({"key": ["a", "b", "c"], "image": [png(1), png(2), png(1)], "caption": texts}), path)
    else:
        members = [(f"{key}.png", png(n)) for key, n in zip("abc", (1, 2, 1), strict=True)]
        path.write_bytes(tar_bytes([*members, *((f"{key}.txt", text.encode()) for key, text in zip("abc", texts, strict=True))]))


@pytest.fixture
def workdir(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "work"))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_copied_shard_keeps_its_units_and_is_read_once(tmp_path: Path, workdir: Storage, kind: str) -> None:
    for name in ("0", "1"):
        _write_shard(tmp_path / "c" / f"{name}.{kind}", kind, ["x", "y", name])
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=2)
    before = update_index(params, workdir)
    shutil.copytree(tmp_path / "c", tmp_path / "clone")
    shutil.rmtree(tmp_path / "c")
    for number, path in enumerate(sorted((tmp_path / "clone").iterdir())):
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    moved = params.model_copy(update={"path": str(tmp_path / "clone")})
    assert update_index(moved, workdir) == before
    rows = [row for unit in before for row in read_rows(workdir, unit)]
    assert all(loaded.image for loaded in load_images(moved, rows))
    read: list[str] = []
    assert update_index(moved, workdir, lambda function, jobs: (read.append(job.shard.location) or function(job) for job in jobs)) == before
    assert read == []


def test_members_in_another_order_keep_their_units_and_get_new_places(tmp_path: Path, workdir: Storage) -> None:
    members = [(f"{number}.png", png(number)) for number in range(5)]
    write(tmp_path / "c", {"0.tar": tar_bytes(members)})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=2)
    before = update_index(params, workdir)
    write(tmp_path / "c", {"0.tar": tar_bytes([("README", b"packed anew"), *members[::-1]])})
    assert update_index(params, workdir) == before
    rows = [row for unit in before for row in read_rows(workdir, unit)]
    assert [row.key for row in rows] == ["0", "1", "2", "3", "4"]
    assert all(loaded.image for loaded in load_images(params, rows))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_another_text_is_another_shard_and_what_came_back_is_the_old_one(tmp_path: Path, workdir: Storage, kind: str) -> None:
    path = tmp_path / "c" / f"0.{kind}"
    _write_shard(path, kind, ["x", "y", "z"])
    params = CorpusParams(path=str(tmp_path / "c"))
    before = update_index(params, workdir)
    _write_shard(path, kind, ["x", "y", "other"])
    os.utime(path, (5, 5))
    other = update_index(params, workdir)
    assert [unit.shard_number for unit in other] == [1]
    assert {unit.id for unit in other}.isdisjoint(unit.id for unit in before)
    _write_shard(path, kind, ["x", "y", "z"])
    os.utime(path, (6, 6))
    assert update_index(params, workdir) == before


def test_duplicates_of_a_restored_shard_go_on_naming_it(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"0.tar": tar_bytes({"a.png": png(1)}), "1.tar": tar_bytes({"b.png": png(1)})})
    params = CorpusParams(path=str(tmp_path / "c"), duplicates="filter")
    before = update_index(params, workdir)
    os.utime(tmp_path / "c" / "0.tar", (7, 7))
    write(tmp_path / "c", {"2.tar": tar_bytes({"c.png": png(1)})})
    after = update_index(params, workdir)
    assert after[:2] == before
    assert [read_rows(workdir, unit)[0].duplicate_of for unit in after] == [None, *[f"{before[0].shard_id}/a"] * 2]


def test_a_shard_that_holds_something_else_is_marked_with_the_others(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"0.tar": tar_bytes({"a.png": png(1)}), "1.tar": tar_bytes({"b.png": png(2)})})
    params = CorpusParams(path=str(tmp_path / "c"), duplicates="filter")
    update_index(params, workdir)
    write(tmp_path / "c", {"0.tar": tar_bytes({"a.png": png(2), "x.png": png(3)})})
    units = update_index(params, workdir)
    rows = {row.key: (row.status, row.reason) for unit in units for row in read_rows(workdir, unit)}
    assert rows == {"b": ("ok", None), "a": ("filtered", "duplicate"), "x": ("ok", None)}
    assert update_index(params, workdir) == units
