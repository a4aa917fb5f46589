"""The real command in a process of its own, to be killed and started again by tests."""

import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.run.processes import marked

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300


def command(*arguments: object) -> list[str]:
    """The command line of `fgdata` with these arguments."""
    return [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]


@dataclass
class Driver:
    """One `fgdata run` in a process of its own; every process it starts, Ray's too, carries its mark in the environment."""

    config: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        environment = {**os.environ, "FGDATA_TEST_MARK": self.mark}
        self.process = subprocess.Popen(
            command("run", self.config),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_committed(self, stage: str, tables: int) -> None:
        """Returns once the stage has so many tables, while the run goes on."""
        until = time.monotonic() + PATIENCE_S
        while len(tables_of(self.config.parent, stage)) < tables:
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until, f"no {tables} tables of {stage} in {PATIENCE_S} s"
            time.sleep(0.02)

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Send the driver the signal and wait until it and all it started are gone; its exit code and stderr.

        An interruption goes to the whole process group, as a terminal's does; a kill to the driver alone.
        """
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        elif number is not None:
            self.process.send_signal(number)
        error = self.process.communicate(timeout=PATIENCE_S)[1]
        until = time.monotonic() + PATIENCE_S  # Ray's agents look for their dead parent every few seconds
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.1)
        assert not left, f"left running: {left}"
        return self.process.returncode, error

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all that carry the mark and live."""
        return {process: line[:120] for process, line in marked(f"FGDATA_TEST_MARK={self.mark}").items()}


def tables_of(folder: Path, stage: str) -> list[Path]:
    """The committed tables of a stage in the workdir below this folder."""
    return [path for path in (folder / "work" / stage).glob("*/*.parquet") if not path.name.startswith(".")]
