"""Where no pixels are at hand an image is a key alone: what reads only text runs, the rest says `no_image`."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.api import open_job
from pipeline.config.model import ConfigError
from schemas.dataset import ShardStats
from schemas.rows import HardNegativeRow
from stages.dataset.card import DataSet, dataset_files
from tests.support.given_job import given_job, rows_of, write_lines
from tests.support.in_process import carry_all

PHRASES = {"p0": ["a red mug", "a blue metal car"], "p1": ["a spotted fish"], "p2": ["a small green house"]}


def _phrases(folder: Path) -> None:
    records = [{"key": key, "regions": [{"short": text} for text in texts]} for key, texts in PHRASES.items()]
    write_lines(folder / "phrases.jsonl", [*records, b"{", {"note": "no key"}])


def _job(folder: Path, stages: list[str], **blocks: Any) -> Path:
    given = {"region_caption": {"format": "jsonl", "path": "phrases.jsonl", "missing": "skip"}}
    return given_job(folder, stages, given, corpus={"path": "phrases.jsonl", "format": "text", "unit_size": 2}, **blocks)


def test_negatives_of_phrases_are_written_without_a_pixel_and_stay_unverified(tmp_path: Path) -> None:
    _phrases(tmp_path)
    config = _job(tmp_path, ["region_caption", "hard_negative"])
    assert carry_all(config) == {"region_caption": 3, "hard_negative": 3}
    rows = rows_of(config, "hard_negative")
    for key, texts in PHRASES.items():
        row = rows[key]
        assert isinstance(row, HardNegativeRow)
        assert [region.positive for region in row.regions] == texts
        assert any(region.negatives for region in row.regions)
        assert {negative.verdict for region in row.regions for negative in region.negatives} == {"unverified"}
    assert {key: row.reason for key, row in rows.items() if key not in PHRASES} == {
        "000000003": "upstream_failed",
        "000000004": "upstream_failed",
    }


def test_the_export_refuses_what_no_judge_has_seen_unless_the_command_allows_it(tmp_path: Path) -> None:
    _phrases(tmp_path)
    config = _job(tmp_path, ["region_caption", "hard_negative", "export"])
    content = yaml.safe_load(config.read_text())
    content["stages"]["export"] = {}
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="negatives that no judge has looked at: add the stage verify, run with --allow-unverified"):
        open_job(config)
    assert carry_all(config, allow_unverified=True) == {"region_caption": 3, "hard_negative": 3, "export": 1}
    stats = ShardStats.model_validate_json((tmp_path / "dataset" / "00000_stats.json").read_bytes())
    assert stats.negatives > 0
    assert set(stats.negatives_by_verdict) == {"unverified"}
    assert "judged against the image by no model" in dataset_files(DataSet("0.1", [stats], []))["README.md"].decode()


def test_stages_that_need_pixels_are_skipped_and_name_the_cause_all_the_way_down(tmp_path: Path) -> None:
    _phrases(tmp_path)
    stages = ["caption", "ground", "select"]
    config = given_job(tmp_path, stages, {}, corpus={"path": "phrases.jsonl", "format": "text", "unit_size": 8})
    carry_all(config)
    for stage in stages:
        rows = rows_of(config, stage)
        assert {(rows[key].status, rows[key].reason) for key in PHRASES} == {("skipped", "no_image")}, stage


def test_boxes_of_images_that_are_elsewhere_need_their_size(tmp_path: Path) -> None:
    box = {"bbox": [0, 0, 20, 20], "phrase": "a mug"}
    lines = [{"key": "sized", "width": 60, "height": 40, "boxes": [box]}, {"key": "unsized", "boxes": [box]}]
    write_lines(tmp_path / "boxes.jsonl", lines)
    given = {"ground": {"format": "jsonl", "path": "boxes.jsonl", "missing": "skip"}}
    config = given_job(tmp_path, ["ground", "select"], given, engines={}, corpus={"path": "boxes.jsonl", "format": "text"})
    carry_all(config)
    assert {key: (row.status, row.reason) for key, row in rows_of(config, "select").items()} == {
        "sized": ("ok", None),
        "unsized": ("skipped", "no_image"),
    }


def test_the_export_of_text_alone_holds_records_and_no_image(tmp_path: Path) -> None:
    _phrases(tmp_path)
    config = _job(tmp_path, ["region_caption", "export"], engines={})
    carry_all(config)
    records = pq.read_table(tmp_path / "dataset" / "00000.parquet").to_pylist()
    assert [record["source_key"] for record in records] == list(PHRASES)
    assert [[region["short"] for region in record["regions"]] for record in records] == list(PHRASES.values())
    assert {(region["xyxy"], region["bbox"], region["start"]) for record in records for region in record["regions"]} == {(None, None, None)}
    with tarfile.open(tmp_path / "dataset" / "00000.tar") as tar:
        names = tar.getnames()
        first = json.loads(tar.extractfile(names[0]).read())
    assert [name.partition(".")[2] for name in names] == ["json", "json", "json"]
    assert (first["source_key"], first["sha256"]) == ("p0", "")
    assert json.loads((tmp_path / "dataset" / "finehard" / "00000.json").read_text()) == []
    assert open_job(config).state().given["region_caption"].num_matched == 3
