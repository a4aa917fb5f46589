"""The faults of a rehearsal, and what may come of each: compared with an undisturbed run nothing is lost, doubled, torn or different."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.model import Config
from pipeline.rehearse.driver import Driver
from pipeline.rehearse.harm import Harm
from pipeline.rehearse.scratch import Scratch, rehearsed

WATCHDOG_S = 5.0
_ENGINE = "ray::_Actor"


@dataclass
class Tally(Harm):
    """What came of one fault."""

    fault: str

    @property
    def is_well(self) -> bool:
        """Whether the run withstood it."""
        return bool(self.injected) and not self.is_done

    def as_json(self) -> dict[str, Any]:
        return vars(self)

    def line(self) -> str:
        """In words."""
        noticed = "" if self.seconds_to_notice is None else f", noticed after {self.seconds_to_notice:g} s"
        trouble = self.wrong or ("it could not be injected" if not self.injected else "")
        counts = f"{self.lost} images lost, {self.duplicated} doubled, {self.torn} files torn, {self.differing} differ"
        return f"{'ok  ' if self.is_well else 'FAIL'} {self.fault}: {counts}{noticed}{f'; {trouble}' if trouble else ''}"


@dataclass
class Stand:
    """What a finished run holds: images by stage and status, tables and data set."""

    statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Room:
    """Where faults are tried: the configuration, its sample, and what an undisturbed run of it came to."""

    config: Config
    scratch: Scratch
    calm: Stand


def stand(folder: Path) -> Stand:
    """What lies in a run's folder."""
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    paths = [*folder.glob("work/*/*/*.parquet"), *(path for path in folder.glob("dataset/*") if path.is_file())]
    return Stand(outcome["statuses"], {str(path.relative_to(folder)): path.read_bytes() for path in paths if not path.name.startswith(".")})


def _run_again(tally: Tally, config: Path) -> None:
    code, last_line = Driver(config).ended()
    if code:
        tally.wrong = f"the run that should resume ended with {code}: {last_line}"


def _compare(tally: Tally, folder: Path, room: Room, *, same_bytes: bool = True) -> Stand | None:
    """Enter what differs from the undisturbed run."""
    if tally.wrong:
        return None
    stands = stand(folder)
    tally.torn += sum(name.endswith(".parquet") and not _is_whole(content) for name, content in stands.files.items())
    for stage, statuses in room.calm.statuses.items():
        mine = stands.statuses.get(stage, {})
        tally.lost = max(tally.lost, sum(statuses.values()) - sum(mine.values()), mine.get("pending", 0))
    for name, content in stands.files.items():
        if name.startswith("dataset/") and name.endswith(".parquet") and _is_whole(content):
            keys = Counter(
                pq.read_table(pa.BufferReader(content), columns=["source_key"], use_threads=False).column("source_key").to_pylist()
            )
            tally.duplicated += sum(count - 1 for count in keys.values())
    if same_bytes:
        names = {*room.calm.files, *stands.files}
        tally.differing += sum(room.calm.files.get(name) != stands.files.get(name) for name in names)
    return stands


def _is_whole(content: bytes) -> bool:
    try:
        pq.ParquetFile(pa.BufferReader(content))
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def _driver_killed(tally: Tally, room: Room) -> None:
    config = rehearsed(room.config, room.scratch, "driver", {})
    driver = Driver(config)
    tally.injected += driver.wait_for("work/*/*/*.parquet") and driver.kill()
    driver.ended()
    _run_again(tally, config)
    _compare(tally, config.parent, room)


def _worker_killed(tally: Tally, room: Room) -> None:
    config = rehearsed(room.config, room.scratch, "worker", {})
    driver = Driver(config)
    tally.injected += driver.wait_for("work/*/*/*.parquet") and driver.kill(_ENGINE)
    _finish(tally, driver, room)


def _engine_hangs(tally: Tally, room: Room) -> None:
    memory = room.scratch.folder / "hang" / "memory"
    hang = {"hang_on": room.scratch.odd_key, "crash_once_dir": str(memory)}
    config = rehearsed(room.config, room.scratch, "hang", hang, watchdog_s=WATCHDOG_S)
    _finish(tally, Driver(config), room)
    noticed, hung = config.parent / "noticed.txt", next(iter(memory.glob("*")), None)
    tally.injected = int(hung is not None)
    if hung is not None and noticed.exists():
        tally.seconds_to_notice = round(noticed.stat().st_mtime - hung.stat().st_mtime, 1)
        tally.message = noticed.read_text(encoding="utf-8")
    elif hung is not None:
        tally.wrong = tally.wrong or "the hang was not named"


def _image_ends_engine(tally: Tally, room: Room) -> None:
    config = rehearsed(room.config, room.scratch, "poison", {"crash_on": room.scratch.odd_key})
    stands = _finish(tally, Driver(config), room, same_bytes=False)
    tally.injected = 1
    if stands is not None and sum(statuses.get("quarantined", 0) for statuses in stands.statuses.values()) != 1:
        tally.wrong = "not exactly the one image is quarantined"


def _bad_answers(tally: Tally, room: Room) -> None:
    config = rehearsed(room.config, room.scratch, "answers", {"bad_json_rate": 0.3})
    _finish(tally, Driver(config), room, same_bytes=False)
    tally.injected = 1


def _storage_away(tally: Tally, room: Room) -> None:
    config = rehearsed(room.config, room.scratch, "storage", {})
    driver, work = Driver(config), config.parent / "work"
    if driver.wait_for("work/*/*/*.parquet"):
        work.rename(config.parent / "away")
        work.write_bytes(b"")  # writes fail from now on, as below a mount that has gone
        started, tally.injected = time.monotonic(), 1
        code, tally.message = driver.ended()
        tally.seconds_to_notice = round(time.monotonic() - started, 1)
        tally.wrong = "" if code else "it ended well although it could not write"
        work.unlink()
        (config.parent / "away").rename(work)
        _run_again(tally, config)
    else:
        driver.ended()
    _compare(tally, config.parent, room)


def _finish(tally: Tally, driver: Driver, room: Room, *, same_bytes: bool = True) -> Stand | None:
    code, last_line = driver.ended()
    if code:
        tally.wrong = f"it ended with {code}: {last_line}"
    return _compare(tally, driver.config.parent, room, same_bytes=same_bytes)


FAULTS: Mapping[str, tuple[str, bool, Callable[[Tally, Room], None]]] = {
    # word -> what is said, whether it needs a generator, what injects it
    "driver": ("the driver is killed, and run again", False, _driver_killed),
    "worker": ("a worker is killed", False, _worker_killed),
    "hang": ("an engine never answers", True, _engine_hangs),
    "poison": ("an image ends its engine", True, _image_ends_engine),
    "answers": ("three answers in ten are no JSON", True, _bad_answers),
    "storage": ("the workdir goes away, and comes back", False, _storage_away),
}
