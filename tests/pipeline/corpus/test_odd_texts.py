"""Texts beside images that UTF-8 cannot hold, or that hold controls: the image is read, its text cleaned, and the row says so."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from schemas.rows import CorpusRow
from tests.support.pictures import png, tar_bytes, write


def _rows(folder: Path, **params: str) -> dict[str, CorpusRow]:
    storage = Storage(str(folder / "work"))
    units = update_index(CorpusParams(path=str(folder / "corpus"), **params), storage)  # type: ignore[arg-type]  # texts alone
    return {row.key: row for unit in units for row in read_rows(storage, unit)}


SIDECARS = {
    "half.json": b'{"caption": "nice mug \\ud83d"}',
    "nul.json": b'{"caption": "red\\u0000 mug"}',
    "bell.txt": b"a bell \x07 rings",
    "latin.txt": b"caf\xe9",
    "deep.json": b"[" * 100_000,
    "whole.json": b'{"caption": "\\ud83d\\ude00 two\\nlines", "url": "http://x/\\ud83d"}',
}
ALTS = {"half": "nice mug", "nul": "red mug", "bell": "a bell  rings", "latin": None, "deep": None, "whole": "\U0001f600 two\nlines"}


def _assert_read(rows: dict[str, CorpusRow]) -> None:
    assert {key: row.alt for key, row in rows.items()} == ALTS
    assert {row.status for row in rows.values()} == {"ok"}
    assert rows["half"].detail == ".json sidecar: 1 character left out: U+D83D"
    assert "sidecar" in (rows["latin"].detail or "")
    assert rows["whole"].detail is None
    assert rows["whole"].url == "http://x/"


def test_sidecars_of_a_tar(tmp_path: Path) -> None:
    pictures = {f"{name.partition('.')[0]}.png": png(number) for number, name in enumerate(SIDECARS)}
    write(tmp_path / "corpus", {"a.tar": tar_bytes({**pictures, **SIDECARS})})
    _assert_read(_rows(tmp_path))


def test_sidecars_of_a_folder(tmp_path: Path) -> None:
    pictures = {f"{name.partition('.')[0]}.png": png(number) for number, name in enumerate(SIDECARS)}
    write(tmp_path / "corpus", {**pictures, **SIDECARS})
    _assert_read(_rows(tmp_path))


def test_a_column_of_a_parquet_file(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"key": ["a", "b"], "image": [png(1), png(2)], "caption": ["a\x00b", "c\td"]}), sink)
    write(tmp_path / "corpus", {"a.parquet": sink.getvalue()})
    rows = _rows(tmp_path)
    assert [(row.alt, row.detail) for row in rows.values()] == [("ab", "1 character left out: U+0000"), ("c\td", None)]


def test_lines_of_a_text_corpus(tmp_path: Path) -> None:
    odd = [b'"a", "caption": "x\\ud83d"', b'"b", "width": 1e400, "height": 5', b'"c", "width": 99999999999999999999, "height": 5']
    lines = b"".join(b'{"key": ' + fields + b"}\n" for fields in odd)
    write(tmp_path / "corpus", {"a.jsonl": lines})
    rows = _rows(tmp_path, format="text")
    assert rows["a"].alt == "x"
    assert rows["b"].width is rows["c"].width is None
