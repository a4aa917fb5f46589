"""Where an image came from and its licence: read where the corpus names them, whatever it calls them."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from schemas.rows import CorpusRow
from tests.support.pictures import png, write


def rows(folder: Path, **params: str) -> list[CorpusRow]:
    workdir = Storage(str(folder / "work"))
    return [row for unit in update_index(CorpusParams(path=str(folder / "c"), **params), workdir) for row in read_rows(workdir, unit)]


@pytest.mark.parametrize(("url", "licence"), [("url", "license"), ("URL", "licence"), ("source_url", "License")])
def test_a_sidecar_a_column_and_a_line_name_the_source_and_the_licence(tmp_path: Path, url: str, licence: str) -> None:
    named = {url: "https://example.org/a.png", licence: "CC-BY-4.0", "status": "success", "caption": "A cup."}
    table = io.BytesIO()
    pq.write_table(pa.table({"image": [png(1)], **{name: [value] for name, value in named.items()}}), table)
    write(tmp_path / "folder" / "c", {"a.png": png(1), "a.json": json.dumps(named).encode()})
    write(tmp_path / "parquet" / "c", {"a.parquet": table.getvalue()})
    write(tmp_path / "text" / "c", {"a.jsonl": json.dumps({"key": "a", **named}).encode()})
    for format in ("folder", "parquet", "text"):
        (row,) = rows(tmp_path / format, format=format)
        assert (row.url, row.licence, row.source_status, row.alt) == ("https://example.org/a.png", "CC-BY-4.0", "success", "A cup."), format


def test_what_names_none_or_something_else_leaves_them_null(tmp_path: Path) -> None:
    write(tmp_path / "c", {"a.png": png(1), "a.json": b'{"url": ["x"], "license": "  ", "caption": "A cup."}', "b.png": png(2)})
    assert [(row.status, row.url, row.licence, row.source_status) for row in rows(tmp_path)] == [("ok", None, None, None)] * 2
