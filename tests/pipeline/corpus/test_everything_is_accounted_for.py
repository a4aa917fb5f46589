"""Random folders, tars and tables with odd names, links, duplicates and broken parts: all of it is counted, none of it is touched."""

import io
import os
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.corpus.images import load_images
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_corpus
from pipeline.storage import Storage
from tests.support.pictures import png

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
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            path.write_bytes(data)
    for name, target in links.items():
        path = root / os.fsdecode(name)
        if not path.is_symlink() and not path.exists():
            path.symlink_to(os.fsdecode(target))


def _tar(files: dict[bytes, bytes], links: dict[bytes, bytes], end: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in {**files, b"keep.png": png(9)}.items():
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
    found = update_corpus(params, storage)
    account = found.account
    assert account.files - account.shards + account.members == account.images + account.sidecars + sum(account.counts().values())
    assert account.uncounted == 0
    rows = [row for unit in found.units for row in read_rows(storage, unit)]
    assert len(rows) == account.images
    assert all(row.status == "ok" or row.reason for row in rows)
    for row, loaded in zip(rows, load_images(params, rows), strict=True):
        assert (loaded.image is None) == (loaded.problem is not None), row
    names = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    again = update_corpus(params, storage)
    assert again == found, "a second look finds nothing new"
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
@given(files=FILES, links=LINKS, end=ENDS, beside=FILES)
def test_a_tar_is_images_sidecars_and_what_is_left_out(
    files: dict[bytes, bytes], links: dict[bytes, bytes], end: str, beside: dict[bytes, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        others = {path: data for path, data in beside.items() if _usable(path) and path.endswith((b".md", b".tar.gz", b".cr2"))}
        tars = {
            b"good.tar": _tar({b"ok.png": png(7)}, {}, "well"),
            b"odd.tar": _tar({k: v for k, v in files.items() if _usable(k)}, links, end),
        }
        _write_folder(Path(name, "c"), {**others, **tars}, {})
        Path(name, "c", "keep.png").unlink()
        _count_and_check(Path(name, "c"), Path(name, "w"))


@SETTINGS
@given(
    cells=st.lists(st.tuples(st.one_of(st.none(), NAMES), st.one_of(st.none(), CONTENTS)), max_size=12),
    hole=st.one_of(st.none(), st.integers(4, 400)),
)
def test_a_table_is_images_whatever_its_cells_and_pages_hold(cells: list[tuple[bytes | None, bytes | None]], hole: int | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        keys = pa.array([key for key, _ in cells], pa.binary()).view(pa.string())
        table = pa.table({"key": keys, "caption": keys, "image": pa.array([data for _, data in cells], pa.binary())})
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=4, write_statistics=False)
        content = bytearray(sink.getvalue())
        if hole is not None and len(content) > hole + 30:
            content[hole : hole + 20] = b"\xff" * 20
        good = io.BytesIO()
        pq.write_table(pa.table({"key": ["k"], "image": [png(3)]}), good)
        Path(name, "c").mkdir()
        Path(name, "c", "odd.parquet").write_bytes(bytes(content))
        Path(name, "c", "good.parquet").write_bytes(good.getvalue())
        _count_and_check(Path(name, "c"), Path(name, "w"))
