"""What a run leaves running is found: by its mark, and by its group where a process has overwritten its environment."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.commands.supervise import left_running

_WAIT = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [
        subprocess.Popen(_WAIT, stdin=subprocess.PIPE, env={}, process_group=0),
        subprocess.Popen(_WAIT, stdin=subprocess.PIPE, env={"FGDATA_RUN": "12-34"}),
    ]
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_a_process_is_found_by_its_group_or_by_its_mark(started: list[subprocess.Popen[bytes]]) -> None:
    grouped, marked = started
    assert set(left_running("12-34", grouped.pid)) == {grouped.pid, marked.pid}
    assert left_running("56-78", grouped.pid) == [grouped.pid]


def test_one_that_has_ended_is_not_waited_for(started: list[subprocess.Popen[bytes]]) -> None:
    grouped = started[0]
    grouped.kill()
    os.waitid(os.P_PID, grouped.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert left_running("56-78", grouped.pid) == []


def test_an_end_that_nobody_has_told_of_is_no_end_of_ours() -> None:
    """Ray's C++ code exits with 1 where its own processes do not answer."""
    code = "import os, sys; sys.argv = ['fgdata', 'run', 'job.yaml']; from pipeline.commands import supervise"
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(supervise.main(lambda: os._exit(1)))"], capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert "the run was ended by exit code 1" in answer.stderr
    assert "Resume with: fgdata run job.yaml" in answer.stderr


def test_a_crash_of_ours_is_a_traceback_and_exit_code_1() -> None:
    code = "import sys; sys.argv = ['fgdata', 'run', 'job.yaml']; from pipeline.commands import supervise"
    answer = subprocess.run([sys.executable, "-c", f"{code}; sys.exit(supervise.main(lambda: 1 / 0))"], capture_output=True, text=True)
    assert answer.returncode == 1
    assert "ZeroDivisionError" in answer.stderr
    assert "was ended by" not in answer.stderr
