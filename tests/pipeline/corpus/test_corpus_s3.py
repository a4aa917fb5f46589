import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from PIL import Image

from pipeline.corpus.images import load_images, read_bytes
from pipeline.corpus.params import CorpusError, CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from tests.support.pictures import encoded, png, tar_bytes


@pytest.fixture
def prefix(s3_bucket: str, tmp_path: Path) -> str:
    return f"{s3_bucket}/{tmp_path.name}"


@pytest.fixture
def gets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Range header of every GET that s3fs sends; empty where it asks for a whole object."""
    ranges: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def watched(self: s3fs.S3FileSystem, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "get_object":
            ranges.append(kwargs.get("Range", ""))
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", watched)
    return ranges


def _noise(number: int, side: int) -> bytes:
    values = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return encoded(Image.fromarray(values), "BMP")


def _put(prefix: str, files: dict[str, bytes]) -> None:
    storage = Storage(prefix)
    for name, data in files.items():
        storage.write(name, data)


def _parquet(images: list[bytes]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"jpg": images, "key": [str(number) for number in range(len(images))]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["tar", "parquet", "folder"])
def test_a_corpus_on_s3_is_indexed_grown_and_read(prefix: str, kind: str) -> None:
    sources = {f"{number}.png": png(number) for number in range(5)}
    first: dict[str, dict[str, bytes]] = {
        "tar": {"x/0.tar": tar_bytes(sources)},
        "parquet": {"x/0.parquet": _parquet(list(sources.values()))},
        "folder": {f"x/{name}": data for name, data in sources.items()},
    }
    _put(f"{prefix}/c", first[kind])
    params = CorpusParams(path=f"{prefix}/c", unit_size=3, folder_shards=1)
    workdir = Storage(f"{prefix}/w")
    units = update_index(params, workdir)
    assert [unit.num_rows for unit in units] == [3, 2]
    rows = [row for unit in units for row in read_rows(workdir, unit)]
    assert read_bytes(params, rows) == list(sources.values())
    assert [item.image.size for item in load_images(params, rows) if item.image] == [(24, 16)] * 5
    assert update_index(params, workdir) == units
    more = {"tar": {"x/1.tar": tar_bytes({"9.png": png(9)})}, "parquet": {"x/1.parquet": _parquet([png(9)])}, "folder": {"x/9.png": png(9)}}
    _put(f"{prefix}/c", more[kind])
    grown = update_index(params, workdir)
    assert grown[:2] == units
    assert read_bytes(params, read_rows(workdir, grown[2])) == [png(9)]


def test_only_the_bytes_of_a_unit_are_asked_for_in_as_few_requests_as_gaps_allow(prefix: str, gets: list[str]) -> None:
    images = [_noise(number, 200) for number in range(8)]
    padding = {f"pad{number}.bin": bytes(2**21) for number in range(2)}
    members = dict(zip([f"{number}.bmp" for number in range(8)], images, strict=True))
    layout = list(members.items())[:4] + list(padding.items()) + list(members.items())[4:]
    _put(f"{prefix}/c", {"0.tar": tar_bytes(layout)})
    params = CorpusParams(path=f"{prefix}/c/*.tar", unit_size=8)
    workdir = Storage(f"{prefix}/w")
    unit = update_index(params, workdir)[0]
    rows = read_rows(workdir, unit)
    gets.clear()
    assert read_bytes(params, rows) == images
    assert len(gets) == 2
    asked = [int(end) - int(start) + 1 for start, end in (item.removeprefix("bytes=").split("-") for item in gets)]
    assert sum(asked) <= sum(len(image) for image in images) + 8 * 1024
    gets.clear()
    assert read_bytes(params, rows[6:7]) == images[6:7]
    assert gets == [f"bytes={rows[6].offset}-{rows[6].offset + rows[6].size - 1}"]


def test_listing_an_indexed_corpus_asks_for_no_byte_of_it(prefix: str, gets: list[str]) -> None:
    _put(f"{prefix}/c", {f"{number}.tar": tar_bytes({"a.png": png(number)}) for number in range(5)})
    params = CorpusParams(path=f"{prefix}/c")
    workdir = Storage(f"{prefix}/w")
    update_index(params, workdir)
    gets.clear()
    update_index(params, workdir)
    assert len(gets) <= 2 * 5  # footers of five index files


def test_a_bucket_that_is_not_there_is_a_corpus_error(s3_bucket: str) -> None:
    for path in ("s3://fgdata-no-such-bucket/x", f"{s3_bucket}/no/such/prefix"):
        with pytest.raises(CorpusError, match="does not exist: correct the bucket and prefix"):
            update_index(CorpusParams(path=path), Storage(f"{s3_bucket}/w"))


def test_a_folder_file_that_is_gone_from_s3_is_a_problem_of_that_image(prefix: str) -> None:
    _put(f"{prefix}/c", {"a.png": png(1), "b.png": png(2)})
    params = CorpusParams(path=f"{prefix}/c", folder_shards=1)
    workdir = Storage(f"{prefix}/w")
    rows = read_rows(workdir, update_index(params, workdir)[0])
    Storage(f"{prefix}/c").delete("a.png")
    assert [item.problem.reason if item.problem else None for item in load_images(params, rows)] == ["missing", None]
