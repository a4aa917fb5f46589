"""One run of a rehearsal in a process of its own, which may be killed: `python -m pipeline.rehearse.driver CONFIG.pickle`."""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.run.processes import marked

_MARK = "FGDATA_REHEARSAL"
_PATIENCE_S = 900.0


class Driver:
    """The process of one run, and whatever it has started."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self._mark = uuid.uuid4().hex
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        command = [sys.executable, "-m", "pipeline.rehearse.driver", str(config)]
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, _MARK: self._mark, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._output, stderr=subprocess.STDOUT, process_group=0, cwd=config.parent
        )
        self._until = time.monotonic() + _PATIENCE_S

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None and time.monotonic() < self._until

    def wait_for(self, pattern: str) -> bool:
        """Until a file of this pattern lies below the run's folder; False where the run ended before."""
        while not any(self.config.parent.glob(pattern)):
            if not self.is_running:
                return False
            time.sleep(0.05)
        return True

    def kill(self, line: str | None = None) -> bool:
        """Kill the run's own process, or one that it has started whose command line holds this; False where there is none."""
        numbers = [self._process.pid] if line is None else [number for number, command_line in self._started() if line in command_line]
        for number in numbers[:1]:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return bool(numbers)

    def ended(self) -> tuple[int, str]:
        """Waits; the exit code and the last line that was said. Nothing of it is left running."""
        while self.is_running:
            time.sleep(0.05)
        for number, _ in [(self._process.pid, ""), *self._started()]:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        code = self._process.wait()
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        self._output.close()
        return code, next((line for line in reversed(lines) if line.strip()), "")

    def _started(self) -> list[tuple[int, str]]:
        return [(number, line) for number, line in marked(f"{_MARK}={self._mark}").items() if number != self._process.pid]


def main(path: Path) -> dict[str, Any]:
    """Runs the configuration; the images of each stage by status, with what the watchdog named."""
    from pipeline import api
    from pipeline.config.graph import build_graph
    from pipeline.ledger.tables import Ledger
    from pipeline.storage import Storage

    config = pickle.loads(path.read_bytes())
    outcome = api.run(api.Job(config, build_graph(config), Ledger(Storage(config.workdir))), _Heard)
    content = {"statuses": {stage.name: dict(stage.images) for stage in outcome.statuses}, "images": outcome.num_images}
    (path.parent / "outcome.json").write_text(json.dumps(content), encoding="utf-8")
    return content


class _Heard:
    """Leaves a file where a silent unit is named, whose time tells how long that took."""

    def __init__(self, _: object) -> None:
        self._place = Path("noticed.txt")

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None:
        pass

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None:
        pass

    def note(self, words: str) -> None:
        if "without a sign" in words and not self._place.exists():
            self._place.write_text(words, encoding="utf-8")

    def end(self) -> None:
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
