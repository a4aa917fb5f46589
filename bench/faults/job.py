"""The small job that faults are injected into, and the comparison with an undisturbed run. Knows no fault."""

import functools
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import webdataset
import yaml
from PIL import Image

from bench.faults.table import Tally
from pipeline.api import open_job
from pipeline.run.processes import marked

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600
STAGES = ("caption", "ground", "select", "region_caption", "export")
_MARK = "FGDATA_FAULTS_MARK"


def write_job(
    folder: Path,
    captioner: Mapping[str, Any] | None = None,
    *,
    keys: int = 14,
    unit_size: int = 2,
    names: Sequence[str] = (),
    **blocks: Any,
) -> Path:
    """A folder with a corpus of two tars and a configuration of caption to export; the engine answers slowly enough to be hit."""
    names = names or [f"k{number:03}" for number in range(keys)]
    keys = len(names)
    (folder / "corpus").mkdir(parents=True)
    for name, part, tint in (("a", names[: keys * 4 // 7], 10), ("b", names[keys * 4 // 7 :], 200)):
        with webdataset.TarWriter(str(folder / "corpus" / f"{name}.tar"), mtime=0) as tar:
            for number, key in enumerate(part):
                buffer = io.BytesIO()
                Image.new("RGB", (64, 48), (number * 7 % 256, tint, 90)).save(buffer, "JPEG")
                tar.write({"__key__": key, "jpg": buffer.getvalue()})
    stages: dict[str, Any] = {name: {"prompt": "demo"} if name.endswith("caption") else {} for name in STAGES}
    placement = {name: {"cpus": 0.1} for name in STAGES}
    content = {
        "workdir": "work",
        "corpus": {"path": "corpus", "unit_size": unit_size},
        "engines": {
            "captioner": {"kind": "rehearsal", "delay_s": 0.5, **(captioner or {})},
            "detector": {"kind": "rehearsal-detector"},
        },
        "stages": stages,
        "export_to": "dataset",
        "placement": {"schedule": "streaming", "stages": placement},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**content, **blocks}, sort_keys=False), encoding="utf-8")
    return path


class Driver:
    """One `fgdata` command in a process group of its own; all that it starts carries its mark in the environment."""

    def __init__(self, *arguments: object, environment: Mapping[str, str] | None = None) -> None:
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
            cwd=ROOT,
            # Ray gives its workers niceness 15: where others work beside, they would get nowhere.
            env={"RAY_worker_niceness": "0", **os.environ, **(environment or {}), _MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ended(self) -> tuple[int, str]:
        """Waits; the exit code and what was said on stderr. All that it started on this machine has ended too, or is named as wrong."""
        _, stderr = self.process.communicate(timeout=PATIENCE_S)
        until = time.monotonic() + 60  # Ray's agents look for their dead parent every few seconds
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.2)
        for process in left:
            os.kill(process, signal.SIGKILL)
        assert not left, f"left running: {left}"
        return self.process.returncode, stderr

    def heeds(self, number: signal.Signals) -> bool:
        """Whether the program has begun: before, Python itself is being started and knows no signal."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return False
        caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
        return bool(int(caught, 16) >> (number - 1) & 1)

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all that carry the mark and live."""
        return {process: line[:200] for process, line in marked(f"{_MARK}={self.mark}").items() if line}


def rerun(config: Path) -> tuple[int, str]:
    """One more run of the job: how it ended, and what it said. Where Ray did not start at all, the machine is too busy: once more."""
    code, stderr = Driver("run", config).ended()
    for _ in range(3):
        if code == 0 or "no Ray at this machine" not in stderr:
            break
        code, stderr = Driver("run", config).ended()
    return code, stderr


def committed(config: Path) -> dict[str, bytes]:
    """The committed tables below the workdir: path -> bytes."""
    work = config.parent / "work"
    return {str(path.relative_to(work)): path.read_bytes() for path in work.glob("*/*/*.parquet") if not path.name.startswith(".")}


def dataset(config: Path) -> dict[str, bytes]:
    """The files of the data set: name -> bytes."""
    return {path.name: path.read_bytes() for path in (config.parent / "dataset").glob("*") if not path.name.startswith(".")}


def compare(tally: Tally, config: Path, reference: Mapping[str, bytes], keys: int = 14) -> None:
    """Add to the tally what of the finished job is lost, doubled, torn, or other than the data set of an undisturbed run."""
    compare_files(tally, config, reference, keys)
    pending = pending_stages(config)
    if pending:
        tally.wrong = tally.wrong or f"still pending after the rerun: {pending}"


def pending_stages(config: Path) -> list[str]:
    """The stages that have something left to do."""
    state = open_job(config).state()
    return [node.name for node in state.graph if state.has_pending(node.name)]


def compare_files(tally: Tally, config: Path, reference: Mapping[str, bytes], keys: int) -> None:
    """The same of the files alone; whether something is pending is not asked."""
    files = dataset(config)
    tally.differing += len({name for name in {*reference, *files} if reference.get(name) != files.get(name)})
    seen: Counter[str] = Counter()
    for name, content in files.items():
        if name.endswith(".parquet"):
            try:
                seen.update(pq.read_table(io.BytesIO(content), columns=["source_key"]).column("source_key").to_pylist())
            except OSError:
                tally.torn += 1
    tally.lost += max(0, keys - len(seen))
    tally.duplicated += sum(count - 1 for count in seen.values())
    for content in committed(config).values():
        try:
            pq.read_table(io.BytesIO(content))
        except OSError:
            tally.torn += 1


@dataclass(frozen=True)
class Undisturbed:
    """The data set of the job run in one go, and how long that took."""

    files: Mapping[str, bytes]
    seconds: float


@functools.cache
def undisturbed() -> Undisturbed:
    """The small job as it stands, run once for all faults."""
    with tempfile.TemporaryDirectory(prefix="fgdata-faults-") as folder:
        config = write_job(Path(folder) / "job")
        started = time.monotonic()
        code, stderr = rerun(config)
        assert code == 0, stderr
        return Undisturbed(dataset(config), time.monotonic() - started)
