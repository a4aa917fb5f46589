"""Given tables as a user meets them: matched, committed like computed ones, rerun where the source changed, and only there."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.api import open_job
from pipeline.config.model import ConfigError
from pipeline.config.read import load_config
from pipeline.ledger.why import plan_of
from schemas.dataset import StageDescription
from schemas.rows import CaptionRow, GroundRow
from schemas.stage_json import StageJson
from stages.dataset.card import DataSet, dataset_files, describe_stage_run
from tests.support.given_job import given_job, rows_of, write_lines
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import write_tar
from tests.support.upkeep import stale_paths

STAGES = ["caption", "ground", "select", "region_caption", "hard_negative", "export"]
KEYS = [f"a{i}" for i in range(8)] + [f"b{i}" for i in range(6)]


def _captions(keys: list[str]) -> list[dict[str, Any]]:
    return [{"key": key, "long": f"A red mug and a blue car, {key}.", "short": f"a mug, {key}"} for key in keys]


def _why(config: Path) -> dict[str, dict[str, int]]:
    return {plan.name: dict(plan.why) for plan in plan_of(open_job(config).state()) if plan.pending}


def test_captions_in_json_lines_are_read_by_the_stages_below_as_if_they_were_computed(tmp_path: Path) -> None:
    write_lines(tmp_path / "captions.jsonl", _captions(KEYS))
    config = given_job(tmp_path, STAGES, {"caption": {"format": "jsonl", "path": "captions.jsonl"}})
    carry_all(config)
    rows = rows_of(config, "caption")
    assert [row.key for row in rows.values()] == KEYS
    for row in rows.values():
        assert isinstance(row, CaptionRow)
        assert (row.status, row.origin, row.long) == ("ok", "given", f"A red mug and a blue car, {row.key}.")
        assert (row.width, row.height, row.alt) == (64, 48, f"picture {row.key}")
    for key, row in rows_of(config, "ground").items():
        assert isinstance(row, GroundRow)
        assert row.origin == "computed"
        assert [phrase.text for phrase in row.phrases] == ["A red mug", "a blue car"], key
    assert len(list((tmp_path / "dataset").glob("*.parquet"))) == 2
    assert open_job(config).state().given["caption"].line().startswith("given caption: 14 of 14 rows matched an image; 14 of 14")


@pytest.mark.parametrize("missing", ["compute", "skip"])
def test_images_without_a_row_are_computed_or_skipped_and_say_which(missing: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "captions.jsonl", _captions(KEYS[::2]))
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "jsonl", "path": "captions.jsonl", "missing": missing}})
    carry_all(config)
    rows = list(rows_of(config, "caption").values())
    assert all(isinstance(row, CaptionRow) and row.origin == "given" for row in rows[::2])
    expected = ("skipped", "not_given", "given") if missing == "skip" else ("ok", None, "computed")
    assert {(row.status, row.reason, row.origin) for row in rows[1::2] if isinstance(row, CaptionRow)} == {expected}


def test_an_engine_is_asked_for_only_where_missing_rows_are_computed(tmp_path: Path) -> None:
    write_lines(tmp_path / "captions.jsonl", _captions(KEYS))
    given = {"format": "jsonl", "path": "captions.jsonl", "missing": "skip"}
    config = given_job(tmp_path, ["caption"], {"caption": given}, engines={})
    assert carry_all(config) == {"caption": 4}
    with pytest.raises(ConfigError, match=r"needs the engine captioner: .*, or set given\.caption\.missing: skip"):
        load_config(given_job(tmp_path, ["caption"], {"caption": {**given, "missing": "compute"}}, engines={}))


def test_a_changed_row_reruns_its_unit_and_what_lies_below_and_plan_says_why(tmp_path: Path) -> None:
    records = _captions(KEYS)
    write_lines(tmp_path / "captions.jsonl", records)
    config = given_job(tmp_path, STAGES, {"caption": {"format": "jsonl", "path": "captions.jsonl", "missing": "skip"}})
    carry_all(config)
    assert _why(config) == {}
    records[5]["long"] = "A yellow house."
    write_lines(tmp_path / "captions.jsonl", [*records, {"key": "nobody", "long": "no image"}])
    assert _why(config) == {
        "caption": {"given_changed": 1},
        **{stage: {"upstream_changed": 1} for stage in STAGES[1:-1]},
        "export": {"upstream_changed": 2},
    }
    assert carry_all(config, until="ground") == {"caption": 1, "ground": 1}


def test_what_an_earlier_source_left_is_superseded_and_nothing_else(tmp_path: Path) -> None:
    write_lines(tmp_path / "captions.jsonl", _captions(KEYS))
    config = given_job(tmp_path, ["caption"], {"caption": {"format": "jsonl", "path": "captions.jsonl", "missing": "skip"}})
    carry_all(config)
    state = open_job(config).state()
    assert stale_paths(state) == []
    # What names the corpus's images is the corpus's, and still read.
    earlier = {entry.path for entry in state.ledger.workdir.walk("given") if "/names/" not in entry.path}
    write_lines(tmp_path / "captions.jsonl", _captions(KEYS[:-1]))
    carry_all(config)
    state = open_job(config).state()
    stale = stale_paths(state)
    assert earlier <= set(stale)
    for path in stale:
        state.ledger.workdir.delete(path)
    assert _why(config) == {}
    assert rows_of(config, "caption")[KEYS[-1]].reason == "not_given"


def test_a_new_tar_with_its_rows_leaves_old_units_alone(tmp_path: Path) -> None:
    write_lines(tmp_path / "captions.jsonl", _captions(KEYS))
    config = given_job(tmp_path, ["caption", "ground"], {"caption": {"format": "jsonl", "path": "captions.jsonl", "missing": "skip"}})
    carry_all(config)
    write_tar(tmp_path / "corpus" / "c.tar", [f"c{i}" for i in range(4)], tint=50)
    write_lines(tmp_path / "captions.jsonl", _captions([*KEYS, *(f"c{i}" for i in range(4))]))
    assert _why(config) == {"caption": {"new": 1}, "ground": {"new": 1}}
    carry_all(config)
    assert {row.status for row in rows_of(config, "ground").values()} == {"ok"}


def test_another_reading_of_the_source_is_another_version_of_the_stage(tmp_path: Path) -> None:
    write_lines(tmp_path / "captions.jsonl", [{**record, "better": "A green fish."} for record in _captions(KEYS)])
    given = {"format": "jsonl", "path": "captions.jsonl", "missing": "skip"}
    carry_all(given_job(tmp_path, ["caption"], {"caption": given}))
    config = given_job(tmp_path, ["caption"], {"caption": {**given, "fields": {"long": "better"}}})
    assert _why(config) == {"caption": {"given_changed": 4}}
    carry_all(config)
    assert {row.long for row in rows_of(config, "caption").values() if isinstance(row, CaptionRow)} == {"A green fish."}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"select": {}}, "unknown key given.select"),
        ({"ground": {"format": "coco", "path": "x.json"}}, "ground is not among the stages"),
        ({"caption": {"format": "coco", "path": "x.json"}}, "give it to ground"),
        ({"caption": {"format": "jsonl", "path": "x", "fields": {"lnog": "text"}}}, "given.caption.fields.lnog: did you mean 'long'"),
        ({"caption": {"format": "finehard", "path": "x", "boxes": "xywh"}}, "boxes of the format finehard are normalised"),
        ({"caption": {"format": "json", "path": "x"}}, "given.caption.format: .*'webdataset-json', 'jsonl', .* or 'finehard', not 'json'"),
        ({"caption": {"format": "jsonl", "path": "x", "match": "name"}}, "given.caption.match: .*'key', .* or 'export', not 'name'"),
    ],
)
def test_a_wrong_block_is_refused_in_one_line(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        load_config(given_job(tmp_path, ["caption"], given))
    assert "\n" not in str(refused.value)


def test_the_card_says_which_stages_were_given_and_from_what() -> None:
    def described(stage: str, **fields: Any) -> StageDescription:
        made = StageJson(stage=stage, version=1, params={}, prompts={}, engines={}, upstream={}, **fields)
        return describe_stage_run("0" * 16, made, {}, {"ok": 3})

    stages = [described("caption"), described("ground", given={"format": "coco", "missing": "compute"})]
    card = dataset_files(DataSet("0.1", [], stages))["README.md"].decode()
    assert "| ground | coco | computed |" in card
    assert "| given |" not in dataset_files(DataSet("0.1", [], stages[:1]))["README.md"].decode()
