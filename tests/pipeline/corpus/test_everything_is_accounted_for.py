"""Random folders, tars and tables with odd names, links, duplicates and broken parts: all of it is counted, none of it is touched."""

import io
import os
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.api import open_job
from pipeline.corpus.images import load_images
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.store import encoded, index_path, read_all, read_footers
from pipeline.corpus.update import read_rows, update_corpus
from pipeline.ledger.why import plan_of
from pipeline.storage import Storage
from tests.support.in_process import carry_all
from tests.support.pictures import png
from tests.support.rehearsal_job import write_job

NAMES = st.one_of(
    st.sampled_from([
            b"a", b"b", b"caf\xe9", b"x\ny", b"\xe2\x90\x9bE9", b"shot 2.0 (clean)", b"1.seg", b".hidden", b"[0]", b"a::b", b"\xff\xfe",
        ]),
    st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"-")),
)  # fmt: skip
SUFFIXES = st.sampled_from([b".png", b".PNG", b".jpg", b".txt", b".json", b".tar.gz", b".cr2", b".md", b".jpg_large", b"", b".tif"])
CONTENTS = st.one_of(
    st.integers(0, 5).map(png),
    st.integers(0, 5).map(lambda number: png(number)[:40]),
    st.sampled_from([b"", b"hello", b'{"caption": "x"}', b"\xff\xff", b"\0" * 600]),
)
FOLDERS = st.sampled_from([b"", b"", b"sub/", b"caf\xe9/", b"__MACOSX/", b".git/", b"d d/"])
FILES = st.dictionaries(st.tuples(FOLDERS, NAMES, SUFFIXES).map(b"".join), CONTENTS, max_size=10)
MEMBERS = st.lists(st.tuples(st.tuples(FOLDERS, NAMES, SUFFIXES).map(b"".join), CONTENTS), max_size=10)  # names may come twice
LINKS = st.dictionaries(
    NAMES.map(lambda name: b"link-" + name), st.sampled_from([b"sub", b".", b"..", b"nothing", b"keep.png", b"d d"]), max_size=3
)
# How a tar ends: as it should, cut, followed by another, by zeros or by something that is no tar; or nothing but that.
ENDS = st.sampled_from(["well", "cut", "joined", "padded", "trailing", "broken"])


def _usable(name: bytes) -> bool:
    return all(part not in (b"", b".", b"..") and len(part) < 200 for part in name.split(b"/"))


def _write_folder(root: Path, files: dict[bytes, bytes], links: dict[bytes, bytes]) -> None:
    for name, data in {**files, b"keep.png": png(9)}.items():
        path = root / os.fsdecode(name)
        if any(folder.is_file() for folder in path.parents):
            continue  # a name that is taken by a file can be no folder
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            path.write_bytes(data)
    for name, target in links.items():
        path = root / os.fsdecode(name)
        if not path.is_symlink() and not path.exists():
            path.symlink_to(os.fsdecode(target))


def _tar(files: Sequence[tuple[bytes, bytes]], links: dict[bytes, bytes], end: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in [*files, (b"keep.png", png(9))]:
            member = tarfile.TarInfo(os.fsdecode(name))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for number, (name, target) in enumerate(links.items()):
            member = tarfile.TarInfo(os.fsdecode(name) + ".png")
            member.type = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)[number % 3]
            member.linkname = os.fsdecode(target)
            tar.addfile(member)
    whole = sink.getvalue()
    if end == "cut":
        return whole[: len(whole) * 2 // 3]
    if end == "broken":
        return whole[:512] + b"\xff" * 512 + whole[1024:]
    return whole + {"well": b"", "joined": whole, "padded": b"\0" * 30_000, "trailing": b"\0" * 512 + b"trailing" * 200}[end]


def _seen(root: Path) -> dict[str, str | bytes]:
    """Every file below a folder with its bytes, links as what they say."""
    paths = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return {str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes() for path in paths}


def _count_and_check(root: Path, workdir: Path) -> None:
    before = _seen(root)
    params, storage = CorpusParams(path=str(root), unit_size=3), Storage(str(workdir))
    corpus = update_corpus(params, storage)
    account = corpus.account
    assert account.files - account.shards + account.members == account.images + account.sidecars + sum(account.counts().values())
    assert account.uncounted == 0
    rows = [row for unit in corpus.units for row in read_rows(storage, unit)]
    assert len(rows) == account.images
    assert all(row.status == "ok" or row.reason for row in rows)
    for row, loaded in zip(rows, load_images(params, rows), strict=True):
        assert (loaded.image is None) == (loaded.problem is not None), row
    names = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    again = update_corpus(params, storage)
    assert again == corpus, "a second look finds nothing new"
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == names, "and writes nothing"
    assert _seen(root) == before


SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(files=FILES, links=LINKS)
def test_a_folder_is_images_sidecars_and_what_is_left_out(files: dict[bytes, bytes], links: dict[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        _write_folder(Path(name, "c"), {path: data for path, data in files.items() if _usable(path)}, links)
        _count_and_check(Path(name, "c"), Path(name, "w"))


@SETTINGS
@given(files=MEMBERS, links=LINKS, end=ENDS, beside=FILES)
def test_a_tar_is_images_sidecars_and_what_is_left_out(
    files: list[tuple[bytes, bytes]], links: dict[bytes, bytes], end: str, beside: dict[bytes, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        others = {path: data for path, data in beside.items() if _usable(path) and path.endswith((b".md", b".tar.gz", b".cr2"))}
        tars = {
            b"good.tar": _tar([(b"ok.png", png(7))], {}, "well"),
            b"odd.tar": _tar([(member, data) for member, data in files if _usable(member)], links, end),
        }
        _write_folder(Path(name, "c"), {**others, **tars}, {b"again.tar": b"odd.tar", b"sub.tar": b"nothing", b"circle": b"."})
        Path(name, "c", "keep.png").unlink()
        _count_and_check(Path(name, "c"), Path(name, "w"))


CELLS = st.lists(st.tuples(st.one_of(st.none(), NAMES), st.one_of(st.none(), CONTENTS)), max_size=12)


def _table(cells: Sequence[tuple[bytes | None, bytes | None]], hole: int | None) -> bytes:
    keys = pa.array([key for key, _ in cells], pa.binary()).view(pa.string())
    table = pa.table({"key": keys, "caption": keys, "image": pa.array([data for _, data in cells], pa.binary())})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=4, write_statistics=False)
    content = bytearray(sink.getvalue())
    if hole is not None and len(content) > hole + 30:
        content[hole : hole + 20] = b"\xff" * 20
    return bytes(content)


@SETTINGS
@given(cells=CELLS, hole=st.one_of(st.none(), st.integers(4, 400)))
def test_a_table_is_images_whatever_its_cells_and_pages_hold(cells: list[tuple[bytes | None, bytes | None]], hole: int | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        tables = {b"odd.parquet": _table(cells, hole), b"good.parquet": _table([(b"k", png(3))], None)}
        _write_folder(Path(name, "c"), tables, {b"again.parquet": b"odd.parquet", b"gone.parquet": b"nothing"})
        Path(name, "c", "keep.png").unlink()
        _count_and_check(Path(name, "c"), Path(name, "w"))


@settings(SETTINGS, max_examples=12)
@given(files=FILES, links=LINKS, members=MEMBERS, end=ENDS, cells=CELLS, kind=st.sampled_from(["folder", "webdataset", "parquet"]))
def test_after_one_run_nothing_is_pending_and_the_corpus_is_as_it_was(
    files: dict[bytes, bytes],
    links: dict[bytes, bytes],
    members: list[tuple[bytes, bytes]],
    end: str,
    cells: list[tuple[bytes | None, bytes | None]],
    kind: str,
) -> None:
    """All three formats lie in one folder; whichever is asked for, the others are counted, and the line ends at its first run."""
    with tempfile.TemporaryDirectory() as name:
        shards = {b"odd.tar": _tar([(member, data) for member, data in members if _usable(member)], {}, end)}
        shards |= {b"good.tar": _tar([], {}, "well"), b"odd.parquet": _table(cells, 9), b"good.parquet": _table([(b"k", png(3))], None)}
        _write_folder(Path(name, "corpus"), {**{path: data for path, data in files.items() if _usable(path)}, **shards}, links)
        before = _seen(Path(name, "corpus"))
        stages = {"caption": {"prompt": "demo"}, "export": {}}
        corpus = {"path": "corpus", "format": kind, "unit_size": 3}
        config = write_job(Path(name), corpus=corpus, stages=stages, engines={"captioner": {"kind": "rehearsal"}})
        carried = carry_all(config)
        assert min(carried.values()) > 0
        state = open_job(config).state()
        assert [plan.pending for plan in plan_of(state)] == [0, 0]
        account = state.account
        assert account.files - account.shards + account.members == account.images + account.sidecars + sum(account.counts().values())
        assert _seen(Path(name, "corpus")) == before


def test_shards_that_nobody_counted_are_told_and_a_touch_counts_them(tmp_path: Path) -> None:
    params, workdir = CorpusParams(path=str(tmp_path / "c"), unit_size=2), Storage(str(tmp_path / "w"))
    members = [(b"a.png", png(1)), (b"a.txt", b"x"), (b"note.md", b"x"), (b"b.png", png(2))]
    _write_folder(tmp_path / "c", {b"0.tar": _tar(members, {}, "well")}, {})
    (tmp_path / "c" / "keep.png").unlink()
    before = update_corpus(params, workdir)
    for shard_id, footer in read_footers(workdir).items():
        old = replace(footer, members=None, sidecars=0, left_out=())
        workdir.write(index_path(shard_id), encoded(read_all(workdir, shard_id), old))
    seen = update_corpus(params, workdir)
    assert (seen.units, seen.account.uncounted, seen.account.sidecars) == (before.units, 1, 0)
    assert "1 shards were indexed by an earlier version" in seen.account.lines()[-1]
    os.utime(tmp_path / "c" / "0.tar", (1, 1))
    again = update_corpus(params, workdir)
    assert again.units == before.units
    assert again.account == before.account
    assert (again.account.sidecars, again.account.counts()) == (1, {"no_image": 1})
