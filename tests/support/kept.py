"""Small workdirs that an earlier version wrote, in tests/kept: what they hold must stay done, and be exported as it was.

A change that raises a stage's version records them anew: `python -m tests.support.kept`; the CHANGELOG says so under Recomputes.
"""

import os
import shutil
from pathlib import Path

from pipeline.api import open_job, run
from pipeline.commands.upkeep import ask_retries
from pipeline.run.export_place import EXPORT_MARK

KEPT = Path(__file__).parents[1] / "kept"
CASES = sorted(path.name for path in KEPT.iterdir() if path.is_dir())
_MADE = ("work", "dataset")  # what a run writes; the rest is what it reads
_WHEN = 1_700_000_000  # a checkout sets files' times anew, and the versions of tars and given files hold them


def unpack(case: str, folder: Path) -> Path:
    """A copy of a kept case, its sources as old as they were; returns its configuration."""
    shutil.copytree(KEPT / case, folder)
    set_times(folder)
    return folder / "job.yaml"


def set_times(folder: Path) -> None:
    """Give all that a case reads the time at which it was recorded."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).parts[0] not in _MADE:
            os.utime(path, (_WHEN, _WHEN))


def record() -> None:
    """Run every case from its sources and keep what was written."""
    for case in CASES:
        for made in _MADE:
            shutil.rmtree(KEPT / case / made, ignore_errors=True)
        set_times(KEPT / case)
        run(open_job(KEPT / case / "job.yaml"))
        if sum(ask_retries(open_job(KEPT / case / "job.yaml").state(), None, "bad_request").values()):
            run(open_job(KEPT / case / "job.yaml"))  # a retry's marks and tables are kept too
        shutil.rmtree(KEPT / case / "work" / "runs")
        (KEPT / case / "dataset" / EXPORT_MARK).unlink()


if __name__ == "__main__":
    record()
