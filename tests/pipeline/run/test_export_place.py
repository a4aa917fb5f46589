"""An export replaces nothing that another tool wrote, and what an earlier export of ours left behind is removed or named."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.api import open_job
from pipeline.config.model import ConfigError
from pipeline.run.dataset import ask_for_lost_shards, write_dataset_files
from pipeline.run.export_place import EXPORT_MARK, check_export_place, take_export_place
from tests.support.in_process import carry_all
from tests.support.pictures import png, tar_bytes, write
from tests.support.rehearsal_job import files, write_job, write_tar


def _export(config: Path) -> list[str]:
    job = open_job(config)
    assert [check.detail for check in check_export_place(job.config, job.graph) if not check.is_ok] == []
    state = job.state()
    ask_for_lost_shards(job.config, state)
    take_export_place(job.config, state)
    carry_all(config)
    job = open_job(config)
    return write_dataset_files(job.config, job.state())


FOREIGN = {
    "a tar": {"00000.tar": tar_bytes({"a.png": png(1)})},
    "a tar of img2dataset": {"00000.tar": tar_bytes({"a.png": png(1)}), "00000_stats.json": b'{"count": 3}', "00000.parquet": b"PAR1"},
    "a table": {"00001.parquet": b"PAR1"},
    "a manifest": {"manifest.json": b"{}"},
    "a card": {"README.md": b"# mine"},
    "loose images": {"finehard/images/a.jpg": png(1)},
    "statistics that are no JSON": {"00000_stats.json": b"\xff"},
    "a tar with a number that is not to be written yet": {"00099.tar": tar_bytes({"a.png": png(1)})},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_place_with_files_of_another_tool_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    config = write_job(tmp_path)
    write(tmp_path / "dataset", FOREIGN[name])
    before = files(tmp_path)
    job = open_job(config)
    (check,) = check_export_place(job.config, job.graph)
    assert not check.is_ok
    assert min(FOREIGN[name]).split("/")[0] in check.detail
    assert files(tmp_path) == before


def test_a_place_with_other_files_is_claimed_and_they_stay(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    write(tmp_path / "dataset", {"notes.txt": b"mine", "old/00000.tar": b"mine too"})
    assert _export(config) == []
    written = files(tmp_path / "dataset")
    assert (written["notes.txt"], written["old/00000.tar"]) == (b"mine", b"mine too")
    assert json.loads(written[EXPORT_MARK])["written_by"] == "fgdata export"


def test_an_export_of_before_the_claims_is_known_by_its_labels(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    _export(config)
    before = files(tmp_path / "dataset")
    (tmp_path / "dataset" / EXPORT_MARK).unlink()
    assert _export(config) == []
    assert files(tmp_path / "dataset") == before


def test_what_an_interrupted_export_left_is_our_own(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    _export(config)
    before = files(tmp_path / "dataset")
    (tmp_path / "dataset" / "00001_stats.json").unlink()
    _export(config)
    assert files(tmp_path / "dataset") == before


def test_a_tar_that_was_put_into_our_export_is_not_replaced(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    _export(config)
    write(tmp_path / "dataset", {"00002.tar": tar_bytes({"a.png": png(1)})})
    write_tar(tmp_path / "corpus" / "c.tar", ["c0"])
    with pytest.raises(ConfigError, match=r"00002\.tar is no file of ours"):
        _export(config)


def test_shards_that_left_the_corpus_leave_the_export(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    _export(config)
    assert (tmp_path / "dataset" / "finehard" / "images" / "00001").is_dir()
    (tmp_path / "corpus" / "b.tar").unlink()
    assert _export(config) == []
    left = files(tmp_path / "dataset")
    assert not [name for name in left if "/00001" in f"/{name}"]
    assert [shard["name"] for shard in json.loads(left["manifest.json"])["shards"]] == ["00000"]


def test_shards_of_another_run_are_named_and_stay(tmp_path: Path) -> None:
    first, second = write_job(tmp_path / "one"), write_job(tmp_path / "two")
    _export(first)
    shutil.copytree(tmp_path / "one" / "dataset", tmp_path / "two" / "dataset")
    (tmp_path / "two" / "corpus" / "b.tar").unlink()
    assert _export(second) == ["00001"]
    assert (tmp_path / "two" / "dataset" / "00001.tar").exists()
