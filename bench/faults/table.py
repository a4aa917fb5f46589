"""What a fault is and what is written of it. Knows no fault: each file of this folder that injects some has a table FAULTS of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.rehearse.harm import Harm


@dataclass
class Tally(Harm):
    """What came of a fault, over all its injections. `differing` counts files of the data set, or committed tables, that changed;
    `seconds_to_notice` is the longest time, None where nothing is to be noticed.
    """

    @property
    def is_well(self) -> bool:
        """Whether nothing was harmed."""
        return not self.is_done

    def noticed(self, seconds: float) -> None:
        """Keep the longest."""
        self.seconds_to_notice = round(max(seconds, self.seconds_to_notice or 0.0), 1)

    def as_json(self, fault: str) -> dict[str, Any]:
        return {"fault": fault, **vars(self)}


@dataclass(frozen=True)
class Fault:
    """One row: `inject(scratch, times)` runs a job in an empty folder, injects the fault so often, resumes, and compares.

    `times` is how often in the whole bench, `sample` how often in CI; 0 leaves it out there.
    """

    name: str
    inject: Callable[[Path, int], Tally]
    times: int
    sample: int = 0


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of docs/reliability.md."""
    head = "| fault | injected | lost | doubled | torn | differing | seconds to notice | what is said |\n|---|---|---|---|---|---|---|---|"
    lines = [
        f"| {row['fault']} | {row['injected']} | {row['lost']} | {row['duplicated']} | {row['torn']} | {row['differing']} "
        f"| {'' if row['seconds_to_notice'] is None else row['seconds_to_notice']} | {_cell(row['message'])} |"
        for row in rows
    ]
    return "\n".join([head, *lines]) + "\n"


def _cell(message: str) -> str:
    return message.replace("|", "\\|").replace("\n", " ")[:240]
