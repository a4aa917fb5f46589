"""A reader that stops reading (`fgdata plan CONFIG | head`) is no error."""

import subprocess
from pathlib import Path

import pytest

from tests.support.driver import ROOT, command
from tests.support.rehearsal_job import write_job


@pytest.mark.parametrize("words", [["plan"], ["plan", "--json"], ["status"], ["doctor"]])
def test_a_closed_pipe_is_quiet(tmp_path: Path, words: list[str]) -> None:
    config = write_job(tmp_path)
    name, *options = words
    process = subprocess.Popen(command(name, config, *options), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    output = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert output == ""
