"""The path of a given source is read by the rules of corpus.path: what exists is taken literally, links are followed, nothing chains."""

import os
import uuid
from pathlib import Path

import pytest

from pipeline.api import open_job
from pipeline.given.source import GivenError, source_files, source_storage
from pipeline.storage import Storage, StorageError
from tests.support.given_job import given_job

LINE = b'{"key": "a0", "long": "A cup."}\n'


def _files_at(path: str) -> list[tuple[str, bytes]]:
    storage = source_storage(path)
    return [(entry.path, storage.read(entry.path)) for entry in source_files("caption", path, (".jsonl",))]


NAMES = {
    "rows [1].jsonl": "rows 1.jsonl",
    "rows*.jsonl": "rows2.jsonl",
    "{a,b}.jsonl": "a.jsonl",
    "what?.jsonl": "whata.jsonl",
    "a::b.jsonl": "b.jsonl",
    "zip::a+b c.jsonl": "a+b c",
    "caf\udce9.jsonl": "caf.jsonl",
    "50%25 off#1.jsonl": "50% off#1.jsonl",
    " -rows .jsonl": "rows.jsonl",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("below", ["", "sub [x]/"])
def test_a_file_or_folder_that_exists_is_taken_literally(tmp_path: Path, name: str, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    (tmp_path / below / name).write_bytes(LINE)
    (tmp_path / below / NAMES[name]).write_bytes(b"another\n")
    assert [content for _, content in _files_at(f"{tmp_path}/{below}{name}")] == [LINE]
    assert LINE in [content for _, content in _files_at(f"{tmp_path}/{below}")]


def test_patterns_slashes_and_hidden_files(tmp_path: Path) -> None:
    for name in ("a/x.jsonl", "a/.y.jsonl", "b/__MACOSX/x.jsonl", "b/z.JSONL", "b/note.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(LINE)
    for pattern in ("*/*.[jJ]*", "{a,b}/*", "**/*.[jJ]*", "", "//a/..//"):
        assert [path.rsplit("/", 1)[-1] for path, _ in _files_at(f"{tmp_path}/{pattern}")] == ["x.jsonl", "z.JSONL"], pattern


def test_links_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "else" / "deep").mkdir(parents=True)
    (tmp_path / "else" / "deep" / "x.jsonl").write_bytes(LINE)
    (tmp_path / "rows" / "a").mkdir(parents=True)
    for name, target in (
        ("a/link.jsonl", "../../else/deep/x.jsonl"),
        ("folder", "../else"),
        ("again", "../else/deep"),
        ("self", "."),
        ("up", ".."),
    ):
        (tmp_path / "rows" / name).symlink_to(target)
    (tmp_path / "else" / "back").symlink_to("../rows")
    (tmp_path / "rows" / "gone.jsonl").symlink_to("nothing")
    (tmp_path / "source").symlink_to("rows")
    assert [path for path, _ in _files_at(str(tmp_path / "rows"))] == ["a/link.jsonl", "again/x.jsonl"]
    assert _files_at(str(tmp_path / "source")) == _files_at(str(tmp_path / "rows"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "x.jsonl").write_bytes(LINE)
    (tmp_path / "locked").chmod(0)
    with pytest.raises(GivenError, match=r"given\.caption\.path: .*locked: this folder may not be read.*out of given\.caption\.path"):
        _files_at(str(tmp_path))
    (tmp_path / "locked").chmod(0o700)


@pytest.mark.parametrize("protocol", ["s4", "http", "https", "ftp", "zip", "simplecache", "github"])
def test_an_unknown_protocol_is_refused_in_one_line_before_anything_is_written(tmp_path: Path, protocol: str) -> None:
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "jsonl", "path": f"{protocol}://host/rows.jsonl"}})
    with pytest.raises(StorageError, match=f"{protocol}:// is not read") as caught:
        open_job(config).state()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "work").exists()


KEYS = (
    "rows [1].jsonl",
    "a//b.jsonl",
    "a+b c.jsonl",
    "what?#%20.jsonl",
    "a::b.jsonl",
    "star*.jsonl",
    "{x,y}.jsonl",
    "x=1/@.jsonl",
    "dir.jsonl/x.jsonl",
)


def test_keys_of_s3_are_taken_literally(s3_bucket: str) -> None:
    root = f"{s3_bucket}/given {uuid.uuid4().hex}"
    storage = Storage(root)
    for number, key in enumerate(KEYS):
        storage.write(key, b"%d\n" % number)
    storage.write("starx.jsonl", b"another\n")
    assert sorted(path for path, _ in _files_at(root)) == sorted((*KEYS, "starx.jsonl"))
    for number, key in enumerate(KEYS):
        assert [content for _, content in _files_at(f"{root}/{key}")] == [b"%d\n" % number], key
    assert len(_files_at(f"{root}/star*")) == 2
    assert [path for path, _ in _files_at(f"{root}/a")] == ["/b.jsonl"]
    with pytest.raises(GivenError, match="does not exist"):
        _files_at(f"{root}/nowhere")
