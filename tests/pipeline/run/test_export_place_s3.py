"""The mark of an export on a store of objects: put if absent, by one of many; objects of others are never replaced."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.api import Job, open_job
from pipeline.config.model import ConfigError
from pipeline.run.export_place import EXPORT_MARK, check_export_place, take_export_place
from pipeline.storage import Storage
from tests.support.pictures import png, tar_bytes
from tests.support.rehearsal_job import write_job


@pytest.fixture
def place(s3_bucket: str) -> str:
    return f"{s3_bucket}/marks/{uuid.uuid4().hex}"


def _job(folder: Path, place: str) -> Job:
    return open_job(write_job(folder, export_to=place))


def _objects(place: str) -> dict[str, bytes]:
    storage = Storage(place)
    return {entry.path: storage.read(entry.path) for entry in storage.walk()}


def test_of_many_exporters_one_puts_the_claim_and_all_go_on(tmp_path: Path, place: str) -> None:
    jobs = [_job(tmp_path / str(number), place) for number in range(4)]
    states = [job.state() for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda number: Storage(place).write_if_absent("race", str(number).encode()), range(8)))
        list(pool.map(lambda each: take_export_place(each[0].config, each[1]), zip(jobs, states, strict=True)))
    assert sum(written) == 1
    assert _objects(place)["race"] == str(written.index(True)).encode()
    assert b"fgdata export" in _objects(place)[EXPORT_MARK]


@pytest.mark.parametrize("name", ["00000.tar", "00001.parquet", "00000_stats.json", "manifest.json", "README.md", "finehard/a.json"])
@pytest.mark.parametrize("is_taken", [False, True])
def test_an_object_of_another_tool_is_not_replaced(tmp_path: Path, place: str, name: str, is_taken: bool) -> None:
    job = _job(tmp_path, place)
    state = job.state()
    if is_taken:  # the object comes after the mark: those of shards are still seen
        if not name.startswith("0000"):
            return
        take_export_place(job.config, state)
    Storage(place).write(name, tar_bytes({"a.png": png(1)}))
    before = _objects(place)
    with pytest.raises(ConfigError, match=r"is no file of ours"):
        take_export_place(job.config, state)
    (check,) = check_export_place(job.config, job.graph)
    assert check.is_ok == is_taken
    assert _objects(place) == before


def test_a_store_that_puts_although_something_is_there_is_told(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = _job(tmp_path, place)
    state, filesystem = job.state(), Storage(place)._fs  # fsspec hands out one for all
    put = filesystem.pipe_file

    def without_mode(path: str, content: bytes, mode: str = "overwrite") -> None:
        put(path, content)

    monkeypatch.setattr(filesystem, "pipe_file", without_mode)
    take_export_place(job.config, state)
    assert "let no other run export to it meanwhile" in caplog.text
    caplog.clear()
    take_export_place(job.config, state)
    monkeypatch.undo()
    take_export_place(job.config, state)
    assert EXPORT_MARK in _objects(place)
