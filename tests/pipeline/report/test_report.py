"""What a report says of a run: every image accounted for, figures that agree with the tables, texts that cannot break out."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config.model import ConfigError
from pipeline.report.build import write_report
from pipeline.report.run_tables import open_run
from schemas.audit import FirstSentence, Retrieval
from schemas.rows import HardNegativeRow
from tests.support.given_job import given_job, write_lines
from tests.support.in_process import carry_all
from tests.support.rehearsal_job import files, job_content, times
from tests.support.report_runs import HOSTILE, write_corpus, write_lossy_run, write_other_prompt

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that lost images in three ways; its configuration."""
    return write_lossy_run(tmp_path_factory.mktemp("run"))


def samples_of(out: Path) -> list[dict[str, Any]]:
    """The records that the browser loads."""
    records = []
    for path in sorted((out / "data").glob("*.js")):
        call = re.fullmatch(r"fgdata\.add\((.*)\);\n", path.read_text(encoding="ascii"), re.DOTALL)
        assert call is not None
        records += json.loads(call.group(1))
    return records


def test_every_image_is_through_lost_or_pending(run: Path, tmp_path: Path) -> None:
    record = write_report([run], tmp_path / "out", 50, 10_000, NOW)["runs"][0]
    assert record["images_in"] == 18
    assert record["ok"] + record["lost"] + record["pending"] == 18
    assert record["is_conserved"]
    assert all(sum(stage["images"].values()) == 18 for stage in record["stages"])
    lost = {(row["status"], row["reason"]): row["images"] for row in record["stages"][0]["lost"]}
    assert lost[("failed", "unreadable")] == 1
    assert lost[("filtered", "duplicate")] == 1
    assert "In every stage the statuses sum to the images in." in (tmp_path / "out" / "index.html").read_text()


def test_a_model_that_is_asked_about_first_sentences_is_named(run: Path, tmp_path: Path) -> None:
    share = Retrieval(r1=0.5, r1_low=0.4, r1_high=0.6)
    asked: list[str] = []

    def by_model(dataset: str) -> FirstSentence:
        asked.append(dataset)
        return FirstSentence(images=40, model="a-model", chance=0.025, whole=share, first=share, rest=share)

    write_report([run], tmp_path / "out", 0, 10_000, NOW, by_model)
    assert asked == [open_run(run).job.config.export_to]
    assert "seen by a-model" in (tmp_path / "out" / "index.html").read_text()


def test_a_run_that_is_going_on_shows_what_is_pending(tmp_path: Path) -> None:
    config = write_lossy_run(tmp_path, until="select")
    record = write_report([config], tmp_path / "out", 50, 10_000, NOW)["runs"][0]
    assert record["pending"] == record["images_in"] - record["lost"] > 0
    views = [sample["runs"][0] for sample in samples_of(tmp_path / "out")]
    waiting = [view for view in views if view["status"] == "pending"]
    assert {view["stage"] for view in waiting} == {"region_caption"}
    assert all(view["long"] and view["regions"] for view in waiting)


def test_the_same_run_gives_the_same_report(run: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_report([run], tmp_path / name, 9, 10_000, NOW)
    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_a_report_writes_nothing_into_the_workdir(run: Path, tmp_path: Path) -> None:
    before = times(run.parent / "work")
    write_report([run], tmp_path / "out", 9, 10_000, NOW)
    assert times(run.parent / "work") == before


def test_few_samples_still_show_each_way_to_be_lost(run: Path, tmp_path: Path) -> None:
    record = write_report([run], tmp_path / "out", 8, 10_000, NOW)["runs"][0]
    lost = {(stage["name"], row["status"], row["reason"]) for stage in record["stages"] for row in stage["lost"]}
    views = [sample["runs"][0] for sample in samples_of(tmp_path / "out")]
    assert len(views) == 8
    assert lost == {(view["stage"], view["status"], view["reason"]) for view in views if view["status"] != "ok"}
    assert any(view["status"] == "ok" for view in views)


def test_counts_of_negatives_agree_with_the_tables(run: Path, tmp_path: Path) -> None:
    tables = open_run(run)
    types: Counter[str] = Counter()
    for _, table in tables.committed("hard_negative"):
        for row in tables.state.ledger.read(table, HardNegativeRow):
            types.update(negative.type for text in row.regions for negative in text.negatives)
    assert types
    write_report([run], tmp_path / "out", 0, 10_000, NOW)
    page = re.sub(r"<[^>]*>|\s+", " ", (tmp_path / "out" / "index.html").read_text())
    for name, count in types.items():
        assert re.search(rf"\b{name} +{count}\b", page), name


def test_a_part_that_was_read_is_called_a_part(run: Path, tmp_path: Path) -> None:
    whole = write_report([run], tmp_path / "whole", 0, 10_000, NOW)
    part = write_report([run], tmp_path / "part", 0, 1, NOW)
    assert "read from whole units drawn by digest" not in (tmp_path / "whole" / "index.html").read_text()
    assert "caption 6 of 18 images" in " ".join((tmp_path / "part" / "index.html").read_text().split())
    assert part["runs"][0]["stages"] == whole["runs"][0]["stages"]  # the yield counts all images


def test_hostile_texts_are_data_everywhere(run: Path, tmp_path: Path) -> None:
    write_report([run], tmp_path / "out", 50, 10_000, NOW)
    for path in (tmp_path / "out" / "data").iterdir():
        assert not set("<>&\u2028") & set(path.read_text(encoding="ascii"))
    assert any(HOSTILE in (sample["runs"][0]["long"] or "") for sample in samples_of(tmp_path / "out"))
    page = (tmp_path / "out" / "index.html").read_text()
    assert "window.ran" in page  # the caption's opening is among the figures
    assert "<script>window" not in page


def test_two_runs_stand_beside_one_another(run: Path, tmp_path: Path) -> None:
    other = write_other_prompt(run.parent) if not (run.parent / "b.yaml").exists() else run.parent / "b.yaml"
    write_report([run, other], tmp_path / "out", 12, 10_000, NOW)
    both = [sample["runs"] for sample in samples_of(tmp_path / "out") if all(side and side["long"] for side in sample["runs"])]
    assert both
    assert all(left["long"] != right["long"] for left, right in both)
    assert "Describe the image in one sentence." in (tmp_path / "out" / "index.html").read_text()


def test_images_match_by_key_and_bytes_across_workdirs(run: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "moved")
    content = job_content("moved", stages={"caption": {"prompt": "demo"}}, export_to="unused")
    content["placement"] = {}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    carry_all(tmp_path / "c.yaml")
    write_report([run, tmp_path / "c.yaml"], tmp_path / "out", 40, 10_000, NOW)
    samples = samples_of(tmp_path / "out")
    assert len(samples) == 18
    assert all(all(sample["runs"]) for sample in samples)


def test_a_folder_of_something_else_is_refused_and_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else than a report"):
        write_report([run], tmp_path, 1, 10_000, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_report_replaces_an_earlier_one_without_remains(run: Path, tmp_path: Path) -> None:
    write_report([run], tmp_path / "out", 18, 10_000, NOW)
    write_report([run], tmp_path / "out", 2, 10_000, NOW)
    pictures = {path.name for path in (tmp_path / "out" / "images").iterdir()}
    assert pictures == {sample["picture"].split("/")[1] for sample in samples_of(tmp_path / "out") if sample["picture"]}


def test_text_without_images_is_reported_as_such(tmp_path: Path) -> None:
    write_lines(tmp_path / "phrases.jsonl", [{"key": "p0", "regions": [{"short": "a red mug"}, {"short": "a blue car"}]}, {"key": "p1"}])
    given = {"region_caption": {"format": "jsonl", "path": "phrases.jsonl", "missing": "skip"}}
    corpus = {"path": "phrases.jsonl", "format": "text"}
    config = given_job(tmp_path, ["region_caption", "hard_negative"], given, corpus=corpus)
    carry_all(config)
    write_report([config], tmp_path / "out", 10, 10_000, NOW)
    first = samples_of(tmp_path / "out")[0]
    assert (first["picture"], first["missing"]) == (None, "no_image")
    assert [(region["short"], region["xyxy"]) for region in first["runs"][0]["regions"]] == [("a red mug", None), ("a blue car", None)]
    assert "Rows that are ok, by origin" in (tmp_path / "out" / "index.html").read_text()


def test_a_stage_that_lacks_pixels_counts_its_images_as_lost_once(tmp_path: Path) -> None:
    write_lines(tmp_path / "keys.jsonl", [{"key": "p0"}, {"key": "p1"}])
    config = given_job(tmp_path, ["caption", "ground", "select"], {}, corpus={"path": "keys.jsonl", "format": "text"})
    carry_all(config)
    record = write_report([config], tmp_path / "out", 10, 10_000, NOW)["runs"][0]
    assert [stage["lost"] for stage in record["stages"]] == [[{"status": "skipped", "reason": "no_image", "images": 2}], [], []]
    assert record["lost"] == record["images_in"] == 2


def test_a_corpus_on_s3_is_reported_like_a_local_one(s3_bucket: str, tmp_path: Path) -> None:
    import fsspec

    write_corpus(tmp_path / "corpus")
    fsspec.filesystem("s3").put(str(tmp_path / "corpus" / "00000.tar"), f"{s3_bucket}/report/corpus/00000.tar")
    content = job_content(f"{s3_bucket}/report/corpus", workdir=f"{s3_bucket}/report/work", stages={"caption": {"prompt": "demo"}})
    content["placement"] = {}
    (tmp_path / "s3.yaml").write_text(yaml.safe_dump(content))
    carry_all(tmp_path / "s3.yaml")
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["report", str(tmp_path / "s3.yaml"), "--out", str(out), "--sample", "5", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["runs"][0]["images_in"] == 18
    assert len(list((out / "images").glob("*.webp"))) == 4  # the fifth cannot be read
