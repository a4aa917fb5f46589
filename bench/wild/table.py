"""All cases, and how one is run. A case makes its input in its room, asserts what must hold, and says in a few words what happened."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.wild.archives import CASES as ARCHIVES
from bench.wild.copies import CASES as COPIES
from bench.wild.doors import CASES as DOORS
from bench.wild.given_rows import CASES as GIVEN_ROWS
from bench.wild.pictures import CASES as PICTURES
from bench.wild.places import CASES as PLACES
from bench.wild.reports import CASES as REPORTS
from bench.wild.room import Room
from bench.wild.settings import CASES as SETTINGS
from bench.wild.texts import CASES as TEXTS

Case = Callable[[Room], str]  # its docstring is the input, in one line; AssertionError: something was lost, misread or overwritten
CASES: tuple[Case, ...] = (*DOORS, *ARCHIVES, *PLACES, *COPIES, *PICTURES, *TEXTS, *GIVEN_ROWS, *SETTINGS, *REPORTS)
assert len({case.__name__ for case in CASES}) == len(CASES), "two cases share a name"


@dataclass(frozen=True)
class Verdict:
    """What became of one input."""

    case: str
    input: str
    outcome: str
    verdict: str  # ok or wrong


def run_case(case: Case) -> Verdict:
    """The case in a folder of its own, which is also the current one."""
    with tempfile.TemporaryDirectory(prefix="wild-") as name, contextlib.chdir(name):
        Path(name).chmod(0o777)
        try:
            outcome, verdict = case(Room(Path(name))), "ok"
        except AssertionError as error:
            outcome, verdict = " ".join(str(error).split()) or "an assertion failed", "wrong"
        except Exception as error:  # noqa: BLE001  # whatever it is, the input was not handled
            outcome, verdict = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], "wrong"
        _unlock(name)
    return Verdict(case.__name__, " ".join((case.__doc__ or "").split()), outcome.replace(name, "..."), verdict)


def chosen(words: Sequence[str]) -> list[Case]:
    """The cases whose names hold one of the words; all without any."""
    return [case for case in CASES if not words or any(word in case.__name__ for word in words)]


def _unlock(folder: str) -> None:
    """Whatever a case locked may be removed."""
    for path, folders, _ in os.walk(folder):
        for each in folders:
            inner = Path(path) / each
            if not inner.is_symlink():
                inner.chmod(0o777)
