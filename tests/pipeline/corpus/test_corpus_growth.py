import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pipeline.corpus.index import Unit
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import ShardJob, read_rows, run_job, update_index
from pipeline.storage import Storage
from schemas.rows import CorpusRow
from tests.support.pictures import png, tar_bytes, write


class _KilledError(Exception):
    pass


@pytest.fixture
def workdir(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "work"))


def _tar(*numbers: int) -> bytes:
    return tar_bytes({f"{number:03d}.png": png(number) for number in numbers})


def _keys(workdir: Storage, units: Sequence[Unit]) -> list[list[str]]:
    return [[row.key for row in read_rows(workdir, unit)] for unit in units]


def _all(workdir: Storage, units: Sequence[Unit]) -> list[CorpusRow]:
    return [row for unit in units for row in read_rows(workdir, unit)]


def _counting(seen: list[str]) -> Callable[[Callable[[ShardJob], list[CorpusRow]], Sequence[ShardJob]], Iterator[list[CorpusRow]]]:
    def apply(function: Callable[[ShardJob], list[CorpusRow]], jobs: Sequence[ShardJob]) -> Iterator[list[CorpusRow]]:
        for job in jobs:
            seen.append(job.shard.location)
            yield function(job)

    return apply


def test_a_new_tar_gets_the_next_number_and_moves_nothing(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"b.tar": _tar(1, 2, 3), "d.tar": _tar(4)})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=2)
    before = update_index(params, workdir)
    assert [(unit.shard_number, unit.first_row, unit.num_rows) for unit in before] == [(0, 0, 2), (0, 2, 1), (1, 0, 1)]
    write(tmp_path / "c", {"a.tar": _tar(5), "c.tar": _tar(6)})
    seen: list[str] = []
    after = update_index(params, workdir, _counting(seen))
    assert seen == ["a.tar", "c.tar"]
    assert after[:3] == before
    assert [(unit.shard_number, _keys(workdir, [unit])[0]) for unit in after[3:]] == [(2, ["005"]), (3, ["006"])]


def test_an_indexed_corpus_is_listed_without_reading_a_shard(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"a.tar": _tar(1, 2), "b.tar": _tar(3)})
    params = CorpusParams(path=str(tmp_path / "c"))
    before = update_index(params, workdir)
    for name in ("a.tar", "b.tar"):
        stat = (tmp_path / "c" / name).stat()
        (tmp_path / "c" / name).write_bytes(b"?" * stat.st_size)
        os.utime(tmp_path / "c" / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert update_index(params, workdir) == before


def test_a_new_unit_size_holds_for_new_shards_only(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"a.tar": _tar(1, 2, 3)})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=2)
    before = update_index(params, workdir)
    write(tmp_path / "c", {"b.tar": _tar(4, 5, 6)})
    after = update_index(params.model_copy(update={"unit_size": 3}), workdir)
    assert after[:2] == before
    assert [unit.num_rows for unit in after[2:]] == [3]


def test_a_tar_that_changed_is_another_shard_and_one_that_left_is_gone(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"a.tar": _tar(1), "b.tar": _tar(2)})
    params = CorpusParams(path=str(tmp_path / "c"))
    before = update_index(params, workdir)
    write(tmp_path / "c", {"a.tar": _tar(1, 3)})
    changed = update_index(params, workdir)
    assert [unit.shard_number for unit in changed] == [1, 2]
    assert changed[0] == before[1]
    (tmp_path / "c" / "a.tar").unlink()
    assert update_index(params, workdir) == before[1:]


def test_a_folder_that_grows_keeps_its_units_and_reads_new_files_alone(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {f"{number:03d}.png": png(number) for number in range(100, 110)})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=2, folder_shards=2)
    before = update_index(params, workdir)
    for path in (tmp_path / "c").iterdir():  # same size and time, other bytes: reading one again would fail it
        stat = path.stat()
        path.write_bytes(b"?" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    write(tmp_path / "c", {f"{number:03d}.png": png(number) for number in (1, 2, 3, 999)})
    after = update_index(params, workdir)
    assert set(before) <= set(after)
    fresh = [unit for unit in after if unit not in before]
    assert sorted(key for keys in _keys(workdir, fresh) for key in keys) == ["001", "002", "003", "999"]
    assert {row.status for row in _all(workdir, after)} == {"ok"}


def test_a_folder_file_that_changed_or_vanished_touches_its_own_unit_alone(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {f"{number}.png": png(number) for number in range(6)})
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=2, folder_shards=1)
    before = update_index(params, workdir)
    write(tmp_path / "c", {"1.png": png(77)})
    (tmp_path / "c" / "4.png").unlink()
    after = update_index(params, workdir)
    assert _keys(workdir, after) == [["0", "1"], ["2", "3"], ["5"]]
    assert [new.id == old.id for new, old in zip(after, before, strict=True)] == [False, True, False]
    (tmp_path / "c" / "5.png").unlink()
    write(tmp_path / "c", {"6.png": png(6)})
    assert _keys(workdir, update_index(params, workdir)) == [["0", "1"], ["2", "3"], ["6"]]


def test_a_folder_that_is_copied_elsewhere_keeps_its_unit_ids(tmp_path: Path, workdir: Storage) -> None:
    files = {f"{number}.png": png(number) for number in range(4)}
    write(tmp_path / "one", files)
    before = update_index(CorpusParams(path=str(tmp_path / "one")), workdir)
    write(tmp_path / "two", files)
    assert update_index(CorpusParams(path=str(tmp_path / "two")), workdir) == before


def test_a_new_sidecar_shows_in_the_rows_digest(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"a.png": png(1), "b.png": png(2)})
    params = CorpusParams(path=str(tmp_path / "c"), folder_shards=1)
    before = update_index(params, workdir)
    write(tmp_path / "c", {"a.txt": b"hello"})
    after = update_index(params, workdir)
    assert [row.alt for row in _all(workdir, after)] == ["hello", None]
    assert after[0].id == before[0].id
    assert after[0].rows_digest != before[0].rows_digest


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_other_reading_parameters_read_again_and_keep_units_and_numbers(tmp_path: Path, workdir: Storage, kind: str) -> None:
    members = {"a.png": png(1), "a.json": b'{"caption": "A", "title": "T"}', "b.png": png(2), "c.png": png(3)}
    write(tmp_path / "c", {"0.tar": tar_bytes(members)} if kind == "tar" else members)
    params = CorpusParams(path=str(tmp_path / "c"), unit_size=2, folder_shards=1)
    before = update_index(params, workdir)
    after = update_index(params.model_copy(update={"alt_field": "title", "unit_size": 3}), workdir)
    assert [(unit.id, unit.shard_number) for unit in after] == [(unit.id, unit.shard_number) for unit in before]
    assert [new.rows_digest == old.rows_digest for new, old in zip(after, before, strict=True)] == [False, True]
    assert [row.alt for row in _all(workdir, after)] == ["T", None, None]


@pytest.mark.parametrize("killed_after", range(5))
@pytest.mark.parametrize("in_order", [True, False])
def test_a_kill_between_two_index_writes_and_a_rerun_give_the_same_index(tmp_path: Path, killed_after: int, in_order: bool) -> None:
    files = {
        name: _tar(*numbers) for name, numbers in {"a.tar": (1, 2), "b.tar": (2, 3), "c.tar": (1, 3), "d.tar": (4,), "e.tar": (4,)}.items()
    }
    write(tmp_path / "c", files)
    params = CorpusParams(path=str(tmp_path / "c"), duplicates="filter")

    def dies(function: Callable[[ShardJob], list[CorpusRow]], jobs: Sequence[ShardJob]) -> Iterator[list[CorpusRow]]:
        results = [function(job) for job in jobs] if not in_order else []
        for number, job in enumerate(jobs):
            if number == killed_after:
                raise _KilledError
            yield results[number] if results else function(job)

    undisturbed, killed = Storage(str(tmp_path / "w1")), Storage(str(tmp_path / "w2"))
    expected = update_index(params, undisturbed)
    with pytest.raises(_KilledError):
        update_index(params, killed, dies)
    assert len(killed.files("corpus")) == killed_after
    assert update_index(params, killed) == expected
    for entry in undisturbed.files("corpus"):
        assert killed.read(entry.path) == undisturbed.read(entry.path)


def test_exact_duplicates_are_named_and_by_parameter_filtered(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"b.tar": _tar(1, 2), "c.tar": _tar(2, 3)})
    params = CorpusParams(path=str(tmp_path / "c"))
    kept = update_index(params, workdir)
    rows = _all(workdir, kept)
    assert [(row.key, row.status) for row in rows] == [("001", "ok"), ("002", "ok"), ("002", "ok"), ("003", "ok")]
    assert [row.duplicate_of for row in rows] == [None, None, f"{kept[0].shard_id}/002", None]
    filtering = params.model_copy(update={"duplicates": "filter"})
    filtered = update_index(filtering, workdir)
    assert [(row.status, row.reason) for row in _all(workdir, filtered)][2] == ("filtered", "duplicate")
    assert filtered[0] == kept[0]
    assert filtered[1].id == kept[1].id
    assert filtered[1].rows_digest != kept[1].rows_digest
    assert update_index(params, workdir) == kept


def test_an_image_that_came_later_is_the_duplicate_wherever_it_sorts(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"b.tar": _tar(1, 2)})
    params = CorpusParams(path=str(tmp_path / "c"), duplicates="filter")
    before = update_index(params, workdir)
    write(tmp_path / "c", {"a.tar": _tar(1, 5)})
    after = update_index(params, workdir)
    assert after[0] == before[0]
    assert Counter(row.reason for row in _all(workdir, after)) == {None: 3, "duplicate": 1}
    assert _all(workdir, after)[2].duplicate_of == f"{before[0].shard_id}/001"


def test_when_the_first_of_two_leaves_the_corpus_the_second_takes_its_place(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"a.tar": _tar(1), "b.tar": _tar(1), "c.tar": _tar(1)})
    params = CorpusParams(path=str(tmp_path / "c"), duplicates="filter")
    assert [row.status for row in _all(workdir, update_index(params, workdir))] == ["ok", "filtered", "filtered"]
    (tmp_path / "c" / "a.tar").unlink()
    units = update_index(params, workdir)
    rows = _all(workdir, units)
    assert [(row.status, row.duplicate_of) for row in rows] == [("ok", None), ("filtered", f"{units[0].shard_id}/001")]


def test_when_the_first_file_of_a_folder_vanishes_another_takes_its_place(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {f"{name}.png": png(1) for name in "abcdefgh"})
    params = CorpusParams(path=str(tmp_path / "c"), folder_shards=4, duplicates="filter")
    for left in range(8, 0, -1):
        rows = _all(workdir, update_index(params, workdir))
        first = [row for row in rows if row.status == "ok"]
        assert (len(rows), len(first)) == (left, 1)
        assert all(row.duplicate_of is not None and row.duplicate_of.endswith(f"/{first[0].key}") for row in rows if row is not first[0])
        (tmp_path / "c" / f"{first[0].key}.png").unlink()


def test_an_old_duplicate_goes_before_a_new_one_when_the_first_vanishes(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"x.png": png(1), "y.png": png(1)})
    params = CorpusParams(path=str(tmp_path / "c"), folder_shards=8, duplicates="filter")
    first = next(row.key for row in _all(workdir, update_index(params, workdir)) if row.status == "ok")
    (tmp_path / "c" / f"{first}.png").unlink()
    write(tmp_path / "c", {f"z{number}.png": png(1) for number in range(20)})
    rows = _all(workdir, update_index(params, workdir))
    assert [row.key for row in rows if row.status == "ok"] == [{"x": "y", "y": "x"}[first]]


def test_of_two_drivers_that_index_at_once_the_first_write_holds(tmp_path: Path, workdir: Storage) -> None:
    write(tmp_path / "c", {"a.tar": _tar(1), "b.tar": _tar(2)})
    params = CorpusParams(path=str(tmp_path / "c"))
    other: list[Unit] = []

    def meanwhile(function: Callable[[ShardJob], list[CorpusRow]], jobs: Sequence[ShardJob]) -> Iterator[list[CorpusRow]]:
        for job in jobs:
            other[:] = other or update_index(params.model_copy(update={"path": f"{tmp_path}/c/b.tar"}), workdir)
            yield function(job)

    units = update_index(params, workdir, meanwhile)
    assert other[0] in units
    assert update_index(params, workdir) == units


def test_a_shard_job_is_small_and_travels(tmp_path: Path, workdir: Storage) -> None:
    import pickle

    write(tmp_path / "c", {"a.tar": _tar(1, 2)})
    travelled: list[int] = []

    def elsewhere(function: Callable[[ShardJob], list[CorpusRow]], jobs: Sequence[ShardJob]) -> Iterator[list[CorpusRow]]:
        for job in jobs:
            packed = pickle.dumps((run_job, job))
            travelled.append(len(packed))
            function_there, job_there = pickle.loads(packed)
            yield pickle.loads(pickle.dumps(function_there(job_there)))

    units = update_index(CorpusParams(path=str(tmp_path / "c")), workdir, elsewhere)
    assert travelled[0] < 1000
    assert len(pickle.dumps(units[0])) < 400
