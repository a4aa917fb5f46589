"""What going on with a half-done run costs, beside what a user would pick instead: `python -m bench.resume --out DIR [--rows 8192]`.

All ways caption the same tiny images, 512 in a Parquet file, with the same stage and the same rehearsed answers, 64 at a time in one
worker, and write the same rows: ours; Ray Data with its row checkpoints (CheckpointConfig, on the defaults); and a user's loop that
writes a part a batch and at a restart passes over the keys of all parts. In a first run the engine answers for half of the images and
then hangs; once that half is committed, every process of the run is killed. What that leaves is copied for each repeat and gone on with
(`resume`), beside an undisturbed run of the other half alone (`rest`), whose corpus ours has indexed before.

Each run is a process of its own. The clock of `run_s` starts when all is imported and Ray, the same for both that need it, is up; ours
reads and checks its configuration after that, the others before. `process_s` counts all. `first_row_s` ends when the engine is asked for
the first new row. Ratios are another way's seconds over ours; the overhead's share is resume / rest - 1. Then a half-done run is gone on
with under a changed setting, another seed of the engine. Counted after each: rows `lost`, `doubled`, and `stale`: not of the setting as
it is. The kill is between two writes: bench.faults kills amid them. Writes DIR/resume.json.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from PIL import Image as PillowImage

from bench.measure import printed_object, ratios, spread, write_report
from pipeline.api import open_job, run
from pipeline.run.processes import marked
from schemas.arrow import to_table
from schemas.rows import CaptionRow, CorpusRow
from stages.base import Image, StageContext
from stages.caption import Caption
from stages.engines.rehearsal import RehearsalSpec
from stages.engines.specs import Resources

Figures = dict[str, float]
_BATCH, _FILE_ROWS, _PATIENCE_S = 64, 512, 300
_MARK, _LATE = "FGDATA_RESUME_MARK", "late-"  # keys of the second half


class Captioner:
    """The stage as the other ways call it: rows of the corpus in, rows of the caption table out."""

    def __init__(self, stage: Caption) -> None:
        self._stage = stage

    def __call__(self, rows: pa.Table) -> pa.Table:
        images = [
            Image(CorpusRow(key=row["key"], path="", offset=-1, size=0), PillowImage.open(io.BytesIO(row["image"])).convert("RGB"))
            for row in rows.to_pylist()
        ]
        return to_table(asyncio.run(self._stage.process(images)), CaptionRow)


def stage_of(folder: Path) -> tuple[Caption, RehearsalSpec]:
    """The caption stage of the folder's configuration, and what its engine is built from."""
    job = open_job(folder / "job.yaml")
    (node,) = job.graph
    spec = job.config.specs(node.name)["captioner"]
    assert isinstance(spec, RehearsalSpec), "the engine is rehearsed"
    context = StageContext(node.fingerprint, node.prompts, {"captioner": spec.build(Resources())})
    params: Any = job.config.stages[node.name]
    return Caption(params, context), spec


def files_of(folder: Path) -> list[Path]:
    """The corpus of the folder's configuration."""
    return sorted(Path(open_job(folder / "job.yaml").config.corpus.path).glob("*.parquet"))


def prepare_ray_data(folder: Path) -> Callable[[], object]:
    import ray

    (stage, spec), files = stage_of(folder), [str(path) for path in files_of(folder)]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = spec.hang_s > 0  # so that what hangs comes after all that is to be there
    pool = ray.data.ActorPoolStrategy(size=1)

    def way() -> None:
        context.checkpoint_config = ray.data.checkpoint.CheckpointConfig(id_column="key", checkpoint_path=str(folder / "checkpoint"))
        rows = ray.data.read_parquet(files)
        captions = rows.map_batches(
            Captioner, fn_constructor_args=(stage,), batch_size=_BATCH, batch_format="pyarrow", compute=pool, num_cpus=1
        )
        captions.write_parquet(str(folder / "out"), compression="zstd")

    return way


def prepare_parquet_loop(folder: Path) -> Callable[[], object]:
    caption, files, out = Captioner(stage_of(folder)[0]), files_of(folder), folder / "out"

    def way() -> None:
        out.mkdir(exist_ok=True)
        done = pa.chunked_array([], pa.string())
        if parts := sorted(out.glob("*.parquet")):
            done = pa.concat_tables(pq.read_table(part, columns=["key"]) for part in parts)["key"]
        for file in files:
            for number, batch in enumerate(pq.ParquetFile(file).iter_batches(batch_size=_BATCH)):
                rows = pa.Table.from_batches([batch])
                rows = rows.filter(pc.invert(pc.is_in(rows["key"], value_set=done)))
                if rows.num_rows:
                    part = out / f"{file.stem}-{number:04}.parquet"
                    pq.write_table(caption(rows), part.with_suffix(".writing"), compression="zstd")
                    part.with_suffix(".writing").replace(part)

    return way


WAYS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "ours": lambda folder: lambda: run(open_job(folder / "job.yaml")),
    "ray_data": prepare_ray_data,
    "parquet_loop": prepare_parquet_loop,
}
# Of Ray's workers, which otherwise get nowhere beside others' work; and of Ray Data, which would read all row groups as one block, up to
# 128 MiB, and commit nothing before the end: it reads them one by one.
_ENVIRONMENT = {"RAY_worker_niceness": "0", "RAY_DATA_PARQUET_BIN_PACKING_BYTES": "1"}


def run_way(way: str, folder: Path) -> Figures:
    """One run, in this process."""
    if way != "parquet_loop":
        import ray
        import ray.data

        # Ray Data's filter, reader, worker and writer reserve a core each: with two cores they would wait for one another for ever.
        options = {"address": "local", "num_cpus": 4, "include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(**options)
        except Exception:  # noqa: BLE001  # it raises bare ones where it did not start in 30 s: once more, as our own runs do
            ray.shutdown()
            ray.init(**options)
    carry, began = WAYS[way](folder), time.time()
    carry()
    return {"began": began, "ended": time.time()}


def command(way: str, folder: Path) -> dict[str, Any]:
    """How a process of a way is started."""
    arguments = [sys.executable, "-m", "bench.resume", "--way", way, "--folder", str(folder)]
    return {"args": arguments, "env": {**os.environ, **_ENVIRONMENT, _MARK: str(folder)}}


def measured(way: str, folder: Path) -> Figures:
    """A run in a process of its own, in seconds."""
    started = time.time()
    ran = subprocess.run(**command(way, folder), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{way}: {ran.stderr[-4000:]}")
    process_s = time.time() - started
    clock = printed_object(ran.stdout)
    (mark,) = (folder / "marks").iterdir()
    return {"run_s": clock["ended"] - clock["began"], "first_row_s": mark.stat().st_mtime - clock["began"], "process_s": process_s}


def cut(way: str, folder: Path, num_rows: int) -> None:
    """Start a run and kill all of its processes once so many rows are committed, while it waits for the others."""
    process = subprocess.Popen(**command(way, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + _PATIENCE_S
    try:
        while committed(way, folder) < num_rows and process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        while left := marked(f"{_MARK}={folder}"):
            for each in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            time.sleep(0.1)
        process.wait()
    if committed(way, folder) != num_rows:
        raise SystemExit(f"{way}: {committed(way, folder)} rows are committed and not {num_rows}")


def committed(way: str, folder: Path) -> int:
    """Rows that a rerun will find finished."""
    where = {"ours": "work/caption/*/*.parquet", "ray_data": "checkpoint/*.parquet", "parquet_loop": "out/*.parquet"}
    files = (path for path in folder.glob(where[way]) if ".pending." not in path.name and not path.name.startswith("."))
    return sum(pq.read_metadata(path).num_rows for path in files)


def tally(way: str, folder: Path, expected: Mapping[str, str]) -> dict[str, int]:
    """What is wrong with the rows that are there."""
    there = f"work/caption/{open_job(folder / 'job.yaml').graph[0].fingerprint}" if way == "ours" else "out"
    rows = [row for path in (folder / there).glob("*.parquet") for row in pq.read_table(path, columns=["key", "long"]).to_pylist()]
    seen = Counter(row["key"] for row in rows)
    return {
        "lost": len(expected.keys() - seen.keys()),
        "doubled": sum(count - 1 for count in seen.values()),
        "stale": sum(expected[row["key"]] != row["long"] for row in rows),
    }


def expected_of(folder: Path) -> dict[str, str]:
    """Key -> the long caption that the folder's configuration leads to."""
    caption = Captioner(stage_of(folder)[0])
    return {row["key"]: row["long"] for path in files_of(folder) for row in caption(pq.read_table(path)).to_pylist()}


def write_corpora(scratch: Path, num_rows: int) -> None:
    """Tiny images, all of them and the second half alone; no file holds images of both halves."""
    for name, halves in (("all", ("early-", _LATE)), ("rest", (_LATE,))):
        (scratch / name).mkdir()
        for half in halves:
            for first in range(0, num_rows // 2, _FILE_ROWS):
                numbers = range(first, min(first + _FILE_ROWS, num_rows // 2))
                table = pa.table({"key": [f"{half}{number:07}" for number in numbers], "image": [*map(_png, numbers)]})
                pq.write_table(table, scratch / name / f"{half}{first:07}.parquet")


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (16, 16), (number % 256, number // 256 % 256, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def write_job(folder: Path, corpus: Path, *, seed: int = 0, hangs: bool = False) -> Path:
    """The configuration, whose engine hangs at the second half, or leaves a mark at the first question about it. Returns the folder."""
    folder.mkdir(exist_ok=True)
    engine = {"kind": "rehearsal", "seed": seed, "hang_on": _LATE, "hang_s": 3600 if hangs else 0}
    content = {
        "workdir": "work",
        "corpus": {"path": str(corpus), "unit_size": _BATCH},
        "engines": {"captioner": engine if hangs else {**engine, "crash_once_dir": str(folder / "marks")}},
        "stages": {"caption": {"prompt": "demo"}},
        "placement": {"stages": {"caption": {"cpus": 1}}},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def resumed(scratch: Path, way: str, expected: Mapping[str, str], *, seed: int = 0) -> tuple[Figures, dict[str, int]]:
    """Goes on with a copy of what the killed run left: its seconds, and what is wrong with its rows."""
    folder = Path(shutil.copytree(scratch / way, scratch / "resumed"))
    figures = measured(way, write_job(folder, scratch / "all", seed=seed))
    wrong = tally(way, folder, expected)
    shutil.rmtree(folder)
    return figures, wrong


def rest_alone(scratch: Path, way: str) -> Figures:
    """The seconds of a run of the second half alone."""
    folder = write_job(scratch / "alone", scratch / "rest")
    open_job(folder / "job.yaml").state()
    figures = measured(way, folder)
    shutil.rmtree(folder)
    return figures


def compare(scratch: Path, num_rows: int, repeats: int) -> dict[str, Any]:
    """All figures of the report."""
    write_corpora(scratch, num_rows)
    for way in WAYS:
        cut(way, write_job(scratch / way, scratch / "all", hangs=True), num_rows // 2)
    expected = expected_of(write_job(scratch / "expected", scratch / "all"))
    figures: dict[str, dict[str, list[Figures]]] = {way: {"resume": [], "rest": []} for way in WAYS}
    wrong: dict[str, Counter[str]] = {way: Counter() for way in WAYS}
    for turn in range(repeats):
        for way in [*WAYS][turn % len(WAYS) :] + [*WAYS][: turn % len(WAYS)]:
            seconds, counts = resumed(scratch, way, expected)
            figures[way]["resume"].append(seconds)
            figures[way]["rest"].append(rest_alone(scratch, way))
            wrong[way].update(counts)
            print(way, {name: runs[-1] for name, runs in figures[way].items()}, counts, file=sys.stderr, flush=True)
    expected = expected_of(write_job(scratch / "expected", scratch / "all", seed=1))
    changed = {way: resumed(scratch, way, expected, seed=1) for way in WAYS}
    return {
        "ratios": ratios_of(figures),
        "seconds": {
            f"{way}_{name}": {figure: spread([run[figure] for run in runs]) for figure in runs[0]}
            for way, of_way in figures.items()
            for name, runs in of_way.items()
        },
        "resumed": wrong,
        "changed_setting": {way: {**counts, **seconds} for way, (seconds, counts) in changed.items()},
    }


def ratios_of(figures: Mapping[str, Mapping[str, list[Figures]]]) -> dict[str, dict[str, float]]:
    """The other ways' seconds over ours, and each way's overhead."""
    compared: dict[str, dict[str, float]] = {}
    for way, runs in figures.items():
        pairs = zip(runs["resume"], runs["rest"], strict=True)
        share = "resume_overhead_share" if way == "ours" else f"{way}_overhead_share"
        compared[share] = spread([resume["run_s"] / rest["run_s"] - 1 for resume, rest in pairs])
        if way != "ours":
            names = {f"resume_over_{way}": "run_s", f"first_row_over_{way}": "first_row_s", f"process_over_{way}": "process_s"}
            compared |= ratios(runs["resume"], figures["ours"]["resume"], names)
    return compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        with contextlib.redirect_stdout(sys.stderr):
            clock = run_way(given.way, given.folder)
        print(json.dumps(clock))
        return
    if given.out is None:
        parser.error("--out DIR says where resume.json goes")
    with tempfile.TemporaryDirectory(prefix="fgdata-bench-") as scratch:
        report = compare(Path(scratch), given.rows, given.repeats)
    path = write_report(given.out, "resume", given.repeats, ("ray", "pyarrow"), rows=given.rows, batch_rows=_BATCH, **report)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
