"""What is known of formats, of stages that may be given and of ways of matching stands in one row of its table."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.corpus.params import digest
from pipeline.given.formats import FORMATS, GivenFormat
from pipeline.given.names import MATCHES
from pipeline.given.params import GivenParams
from pipeline.given.source import Raw, SourceFile
from pipeline.given.tables import TABLES
from schemas.rows import CaptionRow, GroundRow
from tests.support.given_job import given_job, rows_of, write_lines
from tests.support.in_process import carry_all

NAMES = {"key": "a3", "shard_key": "a/a3", "file": "some\\folder\\a3.jpg", "path": "./a3.jpg", "export": "dataset/000000003.jpg"}
# format -> (digest of what a stage's fingerprint holds of it, place of its index for the stage ground): workdirs hold both.
HASHED = {
    "webdataset-json": ("5f2828eb21e8d88afd85", "a0600aa2f43445a48e8d"),
    "jsonl": ("a8934414aa4e2bcc3a56", "23cb96dff43ec7dd547a"),
    "parquet": ("68a07b2077dd485826fa", "950ccceaa97a00735208"),
    "coco": ("0bdfb73065b66ad2163c", "db037922b9ecb5eb479b"),
    "finehard": ("22ab9b960fa102758255", "d26f4c632079905d0642"),
}


def _read_tabs(source: SourceFile) -> Iterator[Raw]:
    with source.open() as file:
        for number, line in enumerate(file.read().decode().splitlines(), 1):
            name, *box = line.split("\t")
            yield Raw(f"{source.path}:{number}", {"boxes": [{"bbox": [float(side) for side in box], "phrase": "a mug"}]}, name)


def test_a_format_is_its_reader_and_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = GivenFormat(
        "a box a line", (".tsv",), _read_tabs, match="file", boxes="xywh", max_box_numbers=5, stages=("ground",), holds="boxes"
    )
    monkeypatch.setitem(FORMATS, "tabs", form)
    (tmp_path / "boxes.tsv").write_text("x/a1.jpg\t5\t6\t10\t12\t0.5\nx/b2.jpg\t1\t2\t3\t4\n")
    config = given_job(tmp_path, ["ground"], {"ground": {"format": "tabs", "path": "boxes.tsv", "missing": "skip"}}, engines={})
    carry_all(config)
    rows = {key: row for key, row in rows_of(config, "ground").items() if isinstance(row, GroundRow) and row.status == "ok"}
    assert {key: [box.xyxy for box in row.detections] for key, row in rows.items()} == {"a1": [(5, 6, 15, 18)], "b2": [(1, 2, 4, 6)]}


@pytest.mark.parametrize("match", MATCHES)
def test_each_way_of_matching_finds_the_image(match: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "given.jsonl", [{"key": NAMES[match], "long": "A mug."}])
    given = {"format": "jsonl", "path": "given.jsonl", "match": match, "missing": "skip"}
    config = given_job(tmp_path, ["caption"], {"caption": given}, engines={})
    carry_all(config)
    rows = rows_of(config, "caption")
    assert {key: row.long for key, row in rows.items() if isinstance(row, CaptionRow) and row.status == "ok"} == {"a3": "A mug."}


def test_what_rows_name_is_there() -> None:
    assert {form.match for form in FORMATS.values()} <= set(MATCHES)
    assert {stage for form in FORMATS.values() for stage in form.stages or ()} <= set(TABLES)
    for stage, table in TABLES.items():
        assert table.children is None or table.children in table.fields, stage
        assert set(table.needs) <= set(TABLES), stage
        assert "key" in table.fields, stage


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_hashed_of_a_format_stays_as_it_is(name: str) -> None:
    params = GivenParams(format=name, path="anywhere", fields={"long": "text"})
    assert (digest(sorted(params.hashed().items())), params.reading_digest("ground")) == HASHED[name]


def test_a_reader_of_another_version_reads_its_files_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    params = GivenParams(format="jsonl", path="anywhere")
    before = params.hashed(), params.reading_digest("caption")
    monkeypatch.setitem(FORMATS, "jsonl", replace(FORMATS["jsonl"], version=2))  # type: ignore[arg-type]  # a dict
    after = params.hashed(), params.reading_digest("caption")
    assert before[0] != after[0]
    assert before[1] != after[1]
