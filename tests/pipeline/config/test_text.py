"""A configuration that is odd as a text is refused in one line with its line number, and nothing is written."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config.model import ConfigError
from pipeline.config.read import load_config

_JOB = """\
workdir: work
corpus:
  path: corpus
engines:
  captioner: {kind: rehearsal}
stages:
  caption: {prompt: demo}
"""


def _refused(folder: Path, text: str) -> str:
    (folder / "corpus").mkdir(exist_ok=True)
    before = sorted(folder.rglob("*"))
    (folder / "job.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(folder / "job.yaml")])
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, lines
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "job.yaml"])
    return lines[0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("corpus:\n", "workdir: other\ncorpus:\n", "line 2: the key workdir stands on line 1 too"),
        ("{prompt: demo}", "{prompt: demo, prompt: v1}", "line 7: the key stages.caption.prompt stands on line 7 too"),
        ("workdir: work", "workdir: $FGDATA_UNSET/work", "line 1: workdir is '$FGDATA_UNSET/work': the environment variable FGDATA_UNSET"),
        ("path: corpus", "path: ${FGDATA_EMPTY}/corpus", "line 3: corpus.path is '${FGDATA_EMPTY}/corpus': the environment variable"),
        ("workdir: work", "workdir: [work]", "line 1: workdir must be a text, not ['work']"),
        ("workdir: work", "workdir: 2024", "line 1: workdir must be a text, not 2024"),
        ("path: corpus", "path: [a, b]", "line 3: corpus.path: "),
        ("workdir: work", "workdir: ~nobody-at-all/work", "line 1: workdir is '~nobody-at-all/work'"),
        ("workdir: work", 'workdir: "wo\\0rk"', "line 1: workdir is 'wo\\x00rk': '\\x00' cannot stand in a path"),
        ("workdir: work", 'workdir: "  "', "line 1: workdir is empty"),
        ("path: corpus", 'path: ""', "line 3: corpus.path is empty"),
        ("path: corpus", "path: corpus\n  pth: x", "line 4: unknown key corpus.pth"),
        ("stages:\n", "prompts_dir: [x]\nstages:\n", "line 6: prompts_dir must be a text"),
        ("{prompt: demo}", "{prompt: demo, attempts: many}", "line 7: stages.caption.attempts"),
        ("workdir: work", f"workdir: {'x' * 300}", "line 1: workdir is 'xxx"),
        ("workdir: work", "workdir: 2024-13-45", "put the text in quotes"),
        ("workdir: work", "workdir: work\n\tx: y", "line 2, column 1"),
        ("stages:\n", "given:\n  caption: {format: jsonl, path: $FGDATA_UNSET/x.jsonl}\nstages:\n", "line 7: given.caption.path is"),
    ],
)
def test_an_odd_text_is_one_line_with_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str) -> None:
    monkeypatch.delenv("FGDATA_UNSET", raising=False)
    monkeypatch.setenv("FGDATA_EMPTY", "")
    assert _JOB.count(old) == 1
    assert says in _refused(tmp_path, _JOB.replace(old, new))


def test_a_variable_that_is_set_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGDATA_PLACE", str(tmp_path / "elsewhere"))
    (tmp_path / "job.yaml").write_text(_JOB.replace("workdir: work", "workdir: ${FGDATA_PLACE}/work"))
    assert load_config(tmp_path / "job.yaml").workdir == os.path.realpath(tmp_path / "elsewhere" / "work")


def test_a_path_that_exists_is_taken_literally(tmp_path: Path) -> None:
    (tmp_path / "a$FGDATA_UNSET").mkdir()
    (tmp_path / "job.yaml").write_text(_JOB.replace("path: corpus", "path: a$FGDATA_UNSET"))
    assert load_config(tmp_path / "job.yaml").corpus.path.endswith("a$FGDATA_UNSET")


def test_merged_keys_are_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(_JOB + "placement:\n  stages: {caption: &one {cpus: 1}, ground: {<<: *one, cpus: 2}}\n")
    assert load_config(tmp_path / "job.yaml").placement.stages["ground"].cpus == 2


def test_a_domain_with_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").write_text("nouns: {}\nnouns: {}\n")
    (tmp_path / "job.yaml").write_text(_JOB + "domain: domain.yaml\n")
    with pytest.raises(ConfigError, match=r"domain: .*line 2: the key nouns stands on line 1 too"):
        load_config(tmp_path / "job.yaml")
