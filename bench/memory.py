"""The memory curve of a run: `python -m bench.memory --out DIR [--images 10000]`.

Writes DIR/memory.json: the private memory (PSS) of all processes of one run, by images done, while captions are made of pictures and
boxes are looked for in them. `growth`: what its median rises from the second fifth of the images to the fourth, as a share; 0.05 at most is
wanted. In the last fifth stages end and give their memory back.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from bench.measure import write_report

ROOT = Path(__file__).parents[1]
_MARK = "FGDATA_MEMORY_BENCH"
_TAR_IMAGES, _SIDE, _KINDS, _UNIT = 500, 1024, 40, 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fgdata-memory-") as folder:
        config = _write_job(Path(folder), args.images)
        curve = _watch(config, args.images)
    start, end = (_median(curve, args.images * first / 5, args.images * (first + 1) / 5) for first in (1, 3))
    growth = round(end / start - 1, 4)
    path = write_report(args.out, "memory", 1, ("ray",), ratios={}, images=args.images, growth=growth, curve=_thinned(curve))
    print(f"{path}: {start:.0f} MiB in the second fifth, {end:.0f} MiB in the fourth: growth {growth:+.1%}")
    return int(growth > 0.05)


def _write_job(folder: Path, num_images: int) -> Path:
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(_KINDS):
        buffer = io.BytesIO()
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        kinds.append(buffer.getvalue())
    (folder / "corpus").mkdir()
    for start in range(0, num_images, _TAR_IMAGES):
        with tarfile.open(folder / "corpus" / f"{start // _TAR_IMAGES:05}.tar", "w") as tar:
            for number in range(start, min(start + _TAR_IMAGES, num_images)):
                member = tarfile.TarInfo(f"{number:06}.jpg")
                member.size = len(kinds[number % _KINDS])
                tar.addfile(member, io.BytesIO(kinds[number % _KINDS]))
    stages: dict[str, Any] = {"caption": {"prompt": "demo"}, "ground": {}, "select": {}}
    engines = {"captioner": {"kind": "rehearsal"}, "detector": {"kind": "rehearsal-detector"}}
    placement = {"schedule": "streaming", "stages": {name: {"cpus": 0.1} for name in stages}}
    content = {"workdir": "work", "corpus": {"path": "corpus", "unit_size": _UNIT}, "engines": engines, "stages": stages}
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**content, "placement": placement}), encoding="utf-8")
    return path


def _watch(config: Path, num_images: int) -> list[dict[str, float]]:
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config)]
    with (config.parent / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, _MARK: mark}, stdout=log, stderr=log)
        curve = []
        while process.poll() is None:
            time.sleep(1.0)
            done = len(list((config.parent / "work").glob("ground/*/*.parquet"))) * _UNIT
            if done:
                curve.append({"images": min(done, num_images), "mib": _mib(mark)})
    assert process.returncode == 0, (config.parent / "log").read_text()
    return curve[:-3]  # the end of the run gives memory back


def _mib(mark: str) -> float:
    """Private and shared memory of all the run's processes, shared parts counted once."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                lines = [line for line in (folder / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
                total += int(lines[0].split()[1]) if lines else 0
    return round(total / 1024, 1)


def _median(curve: list[dict[str, float]], first: float, end: float) -> float:
    return statistics.median(row["mib"] for row in curve if first <= row["images"] < end)


def _thinned(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    return curve[:: max(1, len(curve) // 100)]


if __name__ == "__main__":
    raise SystemExit(main())
