"""The two ways to drive units, on the same worker: our loop over Ray actors, and Ray Data's map_batches in windows.

`python -m bench.runner --out DIR [--units 10000]`. Each run is a process of its own with a Ray and a workdir of its own; the
two ways alternate. Timed: from the first actor to the last committed unit. Units hold one image; the engine is rehearsed.
"""

import argparse
import contextlib
import io
import json
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import webdataset
import yaml
from PIL import Image

from bench.measure import printed_object, ratios, spread, write_report
from pipeline.api import Job, open_job
from pipeline.ledger.state import State
from pipeline.run.cluster.join import connected
from pipeline.run.runner import Runner
from pipeline.run.watch.progress import Silent
from pipeline.run.worker import Done, StageJob, StageWorker, Task

ACTORS, IN_FLIGHT, WINDOW, TAR_IMAGES = 2, 4, 2500, 500
WAYS = ("actors", "ray_data")


class Carrier:
    """The worker as Ray Data wants it: one unit a batch."""

    def __init__(self, job: StageJob) -> None:
        self._worker = StageWorker(job)

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        done = await self._worker.carry(pickle.loads(batch["task"][0]))
        yield {"done": np.array([pickle.dumps(done)], dtype=object)}


def drive_ray_data(job: StageJob, tasks: list[Task]) -> Iterator[Done]:
    """Carry the tasks, a window at a time: each window is a data set of one block a unit over a new pool of actors."""
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    for start in range(0, len(tasks), WINDOW):
        blocks = [pa.table({"task": [pickle.dumps(task)]}) for task in tasks[start : start + WINDOW]]
        carried = ray.data.from_arrow(blocks).map_batches(
            Carrier,
            fn_constructor_args=(job,),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=job.resources.actors, max_tasks_in_flight_per_actor=job.resources.in_flight),
            num_cpus=job.resources.cpus,
            max_concurrency=job.resources.in_flight,
        )
        for row in carried.iter_rows():
            yield pickle.loads(row["done"])


def run_way(way: str, config: Path) -> dict[str, float]:
    """Carry the whole corpus once; the figures of this process, the driver."""
    if way == "ray_data":
        import ray.data  # noqa: F401  # takes a second that is not counted
    job = open_job(config)
    state = job.state()
    with connected(None):
        marker, content = "runs/bench.marker", b"bench"
        job.ledger.workdir.write(marker, content)
        runner = Runner(job.config, state, (marker, content), Silent())
        before, started = _cpu_s(), time.perf_counter()
        if way == "actors":
            runner.run()
        else:
            _run_ray_data(job, state, runner)
        wall_s, cpu_s = time.perf_counter() - started, _cpu_s() - before
    back = sum(table is not None for _, table in job.state().current_tables("caption"))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall_s": wall_s, "driver_cpu_s": cpu_s, "driver_peak_mib": peak_mib, "units_back": back}


def _run_ray_data(job: Job, state: State, runner: Runner) -> None:
    (node,) = job.graph
    tasks = [runner.task(node, item) for item in state.items(node.name)]
    for done in drive_ray_data(runner._job(node), tasks):  # noqa: SLF001
        for table in done.tables:
            state.add(table)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def write_corpus(folder: Path, units: int) -> None:
    """Tars of small JPEGs, all different."""
    folder.mkdir(parents=True)
    for first in range(0, units, TAR_IMAGES):
        with webdataset.TarWriter(str(folder / f"{first:07}.tar"), mtime=0) as tar:
            for number in range(first, min(first + TAR_IMAGES, units)):
                buffer = io.BytesIO()
                colour = (number % 256, number // 256 % 256, 90)
                Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
                tar.write({"__key__": f"{number:07}", "png": buffer.getvalue()})


def write_job(folder: Path, corpus: Path) -> Path:
    """A configuration that captions one image a unit with the rehearsal engine, in a workdir of its own."""
    folder.mkdir(parents=True)
    content = {
        "workdir": "work",
        "corpus": {"path": str(corpus), "unit_size": 1},
        "engines": {"captioner": {"kind": "rehearsal"}},
        "stages": {"caption": {"prompt": "demo"}},
        "placement": {"stages": {"caption": {"actors": ACTORS, "in_flight": IN_FLIGHT, "cpus": 0.5}}},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def measure(scratch: Path, units: int, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Way -> figures by repeat; each run in a process of its own, the order turned at each repeat."""
    corpus = scratch / "corpus"
    write_corpus(corpus, units)
    figures: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for repeat in range(repeats):
        for way in WAYS if repeat % 2 == 0 else reversed(WAYS):
            folder = scratch / f"{way}-{repeat}"
            config = write_job(folder, corpus)
            command = [sys.executable, "-m", "bench.runner", "--way", way, "--config", str(config)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures[way].append(printed_object(answer.stdout))
            print(way, repeat, figures[way][-1], file=sys.stderr, flush=True)
            shutil.rmtree(folder)
    return figures


def code_lines() -> dict[str, int]:
    """Lines of code of each way, without blank lines, comments and docstrings; ours also does deaths, retries and stages."""
    import ast
    import inspect

    import pipeline.run.pool
    import pipeline.run.runner

    def count(source: str) -> int:
        return len(
            [line for line in ast.unparse(ast.parse(source)).splitlines() if line.strip() and not line.strip().startswith(('"', "'"))]
        )

    return {
        "actors": count(inspect.getsource(pipeline.run.runner)) + count(inspect.getsource(pipeline.run.pool)),
        "ray_data": count(inspect.getsource(Carrier)) + count(inspect.getsource(drive_ray_data)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        with contextlib.redirect_stdout(sys.stderr):
            figures = run_way(given.way, given.config)
        print(json.dumps(figures))
        return
    if given.out is None:
        parser.error("--out DIR says where runner.json goes")
    with tempfile.TemporaryDirectory(prefix="fgdata-bench-") as scratch:
        measured = measure(Path(scratch), given.units, given.repeats)
    names = {"wall": "wall_s", "driver_cpu": "driver_cpu_s", "driver_peak_memory": "driver_peak_mib"}
    path = write_report(
        given.out,
        "runner",
        given.repeats,
        ["ray", "pyarrow"],
        units=given.units,
        actors=ACTORS,
        in_flight=IN_FLIGHT,
        window_units=WINDOW,
        ratios=ratios(measured["ray_data"], measured["actors"], {f"ray_data_over_actors_{name}": figure for name, figure in names.items()}),
        figures={way: {figure: spread([run[figure] for run in runs]) for figure in names.values()} for way, runs in measured.items()},
        all_units_came_back={way: all(run["units_back"] == given.units for run in runs) for way, runs in measured.items()},
        code_lines=code_lines(),
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
