"""Inputs and outputs never meet: refused when the configuration is read, so by every command, before anything is written."""

from pathlib import Path

import pytest

from pipeline.commands.training import load_train_config
from pipeline.config.apart import check_apart
from pipeline.config.model import ConfigError
from pipeline.config.read import load_config
from pipeline.report.command import report
from tests.support.rehearsal_job import write_job


def _refusal(read: str, *written: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_apart({"corpus.path": read}, dict(zip(("workdir", "export_to"), written, strict=False)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("corpus", "workdir", "relation"),
    [
        ("data", "data", "the same as"),
        ("data", "data/work", "inside"),
        ("data/images", "data", "around"),
        ("data/*.tar", "data", "inside"),
        ("data/{a,b}/*.tar", "data/b", "inside"),
        ("data/**/*.jpg", "data/x/y", "inside"),
        ("data/*/x.tar", "data/work", "inside"),
        ("one.tar", "one.tar", "the same as"),
        ("linked", "data/work", "inside"),
        ("data", "linked/work", "inside"),
        ("holder", "data/work", "inside"),
    ],
)
def test_places_that_meet_are_refused(tmp_path: Path, corpus: str, workdir: str, relation: str) -> None:
    for folder in ("data/images", "data/b", "data/x/y", "holder"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "one.tar").write_bytes(b"")
    (tmp_path / "linked").symlink_to("data")
    (tmp_path / "holder" / "more").symlink_to("../data")
    assert f", {relation} corpus.path, " in _refusal(str(tmp_path / corpus), str(tmp_path / workdir))


@pytest.mark.parametrize(
    ("corpus", "workdir"),
    [
        ("data", "data-work"),
        ("data/*.tar", "data/work"),
        ("data/{a,b}/*.tar", "data/c"),
        ("data [1]/x", "data [1]/work"),
        ("one.tar", "work"),
        ("circle", "work"),
    ],
)
def test_places_side_by_side_are_allowed(tmp_path: Path, corpus: str, workdir: str) -> None:
    (tmp_path / "data [1]" / "x").mkdir(parents=True)
    (tmp_path / "circle").mkdir()
    (tmp_path / "circle" / "up").symlink_to("..")
    (tmp_path / "one.tar").write_bytes(b"")
    check_apart({"corpus.path": str(tmp_path / corpus)}, {"workdir": str(tmp_path / workdir)})


@pytest.mark.parametrize(
    ("corpus", "workdir", "meets"),
    [
        ("s3://bucket/data", "s3://bucket/data/", True),
        ("s3://bucket/data", "s3://bucket/data/work", True),
        ("s3://bucket/data/x", "s3a://bucket/data", True),
        ("s3://bucket/data", "s3://bucket/database", False),
        ("s3://bucket/data/*.tar", "s3://bucket/data", True),
        ("s3://bucket/data", "/bucket/data", False),
        ("s3://bucket/data", "gs://bucket/data", False),
        ("file:///data", "/data/work", True),
    ],
)
def test_prefixes_of_a_store_are_compared_part_by_part(corpus: str, workdir: str, meets: bool) -> None:
    if meets:
        assert "corpus.path" in _refusal(corpus, workdir)
    else:
        check_apart({"corpus.path": corpus}, {"workdir": workdir})


def test_outputs_are_apart_from_each_other(tmp_path: Path) -> None:
    assert "export_to is" in _refusal(str(tmp_path / "data"), str(tmp_path / "work"), str(tmp_path / "work" / "dataset"))


@pytest.mark.parametrize("name", ["workdir", "export_to", "given.caption.path"])
def test_a_configuration_whose_places_meet_is_refused_as_it_is_read(tmp_path: Path, name: str) -> None:
    blocks = {
        "workdir": {"workdir": "corpus/work"},
        "export_to": {"export_to": "corpus"},
        "given.caption.path": {"given": {"caption": {"format": "jsonl", "path": "work/rows.jsonl"}}},
    }[name]
    config = write_job(tmp_path, **blocks)
    with pytest.raises(ConfigError, match="what is written needs a folder of its own") as caught:
        load_config(config)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "work").exists()


def test_a_report_is_not_written_among_what_it_tells_of(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    for place in ("corpus", "corpus/report", "work/report"):
        with pytest.raises(ConfigError, match="--out is"):
            report(config, None, tmp_path / place, 1, 1)


def test_a_training_does_not_write_into_its_data_set(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("model: m\ndataset: dataset\nout: dataset/model\n")
    with pytest.raises(ConfigError, match=r"line 3: out is .*inside dataset"):
        load_train_config(tmp_path / "train.yaml")
