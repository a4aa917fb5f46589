"""A corpus format is its file and one row of the table: nothing else tells formats apart."""

import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.corpus.discover import discover
from pipeline.corpus.formats.base import Reader, ShardFile
from pipeline.corpus.formats.describe import described
from pipeline.corpus.formats.table import FORMATS, Format, format_of, tabled
from pipeline.corpus.images import load_images, read_bytes
from pipeline.corpus.listed.places import locate
from pipeline.corpus.members import file_name_of, place_of
from pipeline.corpus.names import IMAGE_SUFFIXES, suffix_of
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from schemas.rows import CorpusRow
from tests.support.pictures import png, tar_bytes, write

ZIP = Format(name="zip", module="toy_zip", suffixes=frozenset({"zip"}), noun="zips", wanted="*.zip")


def _zip_members(params: CorpusParams, storage: Storage, shard: ShardFile) -> list[CorpusRow]:
    rows = []
    with storage.open(shard.location) as file, zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if suffix_of(entry.filename) in IMAGE_SUFFIXES:
                key = entry.filename.rpartition(".")[0]
                place = CorpusRow(key=key, path=shard.location, offset=-1, size=entry.file_size, member=entry.filename)
                rows.append(described(params, place, archive.read(entry)))
    return rows


def _zip_bytes(_params: CorpusParams, storage: Storage, rows: Sequence[CorpusRow]) -> list[bytes | None]:
    assert len({row.path for row in rows}) == 1
    with storage.open(rows[0].path) as file, zipfile.ZipFile(file) as archive:
        return [archive.read(row.member) for row in rows]


def test_a_row_of_the_table_and_a_reader_make_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("toy_zip")
    module.READER = Reader(_zip_members, _zip_bytes)
    monkeypatch.setitem(sys.modules, "toy_zip", module)
    monkeypatch.setitem(FORMATS, "zip", ZIP)
    for number in (0, 1):
        write(tmp_path / "c", {f"{number}.zip": b""})
        with zipfile.ZipFile(tmp_path / "c" / f"{number}.zip", "w") as archive:
            archive.writestr("x/a.png", png(2 * number))
            archive.writestr("x/b.png", png(2 * number + 1))
            archive.writestr("notes.md", b"-")
    params = CorpusParams(path=str(tmp_path / "c")).model_copy(update={"format": "zip"})
    assert [shard.location for shard in discover(params)] == ["0.zip", "1.zip"]
    workdir = Storage(str(tmp_path / "w"))
    rows = [row for unit in update_index(params, workdir) for row in read_rows(workdir, unit)]
    assert [(row.key, row.status) for row in rows] == [("x/a", "ok"), ("x/b", "ok")] * 2
    assert read_bytes(params, rows[::-1]) == [png(number) for number in (3, 2, 1, 0)]
    assert all(loaded.image is not None for loaded in load_images(params, rows))
    assert place_of(rows[0].path, rows[0].member, rows[0].key) == "x/a.png"


def test_each_format_of_the_table_is_a_choice_of_the_configuration_and_names_its_own_files() -> None:
    for name, row in FORMATS.items():
        assert CorpusParams(path="x", format=name).format == name
        for suffix in row.suffixes:
            assert format_of(f"a/b.{suffix.upper()}") is row
            assert row.grows or locate(f"s3://b/c.{suffix}").name == f"c.{suffix}"


@pytest.mark.parametrize("same", [{"name": "folder"}, {"suffixes": frozenset({"zip", "png"})}])
def test_a_format_that_takes_the_name_or_a_suffix_of_another_is_refused(same: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="its name or a suffix is that of folder"):
        tabled([*FORMATS.values(), replace(ZIP, **same)])


def test_a_path_of_no_format_is_named() -> None:
    with pytest.raises(ValueError, match=r"a\.zip: no corpus format has files that end in \.zip"):
        format_of("a.zip")


@pytest.mark.parametrize(
    ("path", "member", "key", "place", "name"),
    [
        ("x/a.png", "a.png", "x/a", "x/a.png", "a.png"),
        ("0.tar", "x/a.png", "x/a", "x/a.png", "a.png"),
        ("0.parquet", "", "k/1", "k/1", "1"),
    ],
)
def test_an_image_is_called_by_its_file_else_its_member_else_its_key(path: str, member: str, key: str, place: str, name: str) -> None:
    assert place_of(path, member, key) == place
    assert file_name_of(member, key) == name


def test_a_member_of_negative_size_ends_the_tar_and_not_the_run(tmp_path: Path) -> None:
    content = bytearray(tar_bytes({"a.png": png(1), "b.png": png(2)}))
    header = 512 + -(-len(png(1)) // 512) * 512
    content[header + 124 : header + 136] = b"\xff" * 10 + b"\xfe\x00"  # -512: back to where this header stands
    content[header + 148 : header + 156] = b" " * 8
    content[header + 148 : header + 156] = b"%06o\0 " % sum(content[header : header + 512])
    write(tmp_path / "c", {"0.tar": bytes(content)})
    units = update_index(CorpusParams(path=str(tmp_path / "c")), Storage(str(tmp_path / "work")))
    rows = [row for unit in units for row in read_rows(Storage(str(tmp_path / "work")), unit)]
    assert [(row.key, row.reason) for row in rows] == [("a", None), ("0#rest", "unreadable_shard")]
