"""docs/python.md runs as it stands, from top to bottom, on a workdir and a data set."""

import re
from pathlib import Path

import pytest

from tests.support.kept import unpack

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_snippet_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    unpack("coco", tmp_path / "job").rename(tmp_path / "job" / "run.yaml")
    monkeypatch.chdir(tmp_path / "job")
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) >= 5
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(snippet, names)  # our own page
    printed = capsys.readouterr().out
    assert "8 images" in printed
    assert " not: " in printed
    assert "no exported data set there" in printed
