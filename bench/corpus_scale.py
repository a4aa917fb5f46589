"""What indexing costs: `python -m bench.corpus_scale --out DIR [--files 30000] [--before REF] [--hashes 1000000] [--repeats 3]`.

DIR/corpus_scale.json: `ratios.index_over_before`, this version's time to index a folder of small files over that of an earlier commit (REF,
from git's history), taken in turns on the same files, and `index_cpu_over_before`, the same in seconds of the processor, which other
work on the machine disturbs less; and `near_duplicates`: seconds and peak memory of comparing so many perceptual hashes.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from PIL import Image

from bench.measure import ratios, spread, write_report

Times = dict[str, float]
_BEFORE = "21f9fc5"
_INDEX = """
import sys, tempfile, time
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import update_index
from pipeline.storage import Storage
with tempfile.TemporaryDirectory() as work:
    started, cpu = time.perf_counter(), time.process_time()
    units = update_index(CorpusParams(path=sys.argv[1]), Storage(work))
    print(time.perf_counter() - started, time.process_time() - cpu, sum(unit.num_rows for unit in units))
"""
_NEAR = """
import json, resource, sys, time
import numpy as np
from pipeline.corpus.marks.near import KeptHashes
count, step = int(sys.argv[1]), 10_000
generator = np.random.default_rng(0)
hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
copies = generator.integers(0, count, count // 10)
bits = np.uint64(1) << generator.integers(0, 64, count // 10).astype(np.uint64)
hashes[copies] = hashes[generator.integers(0, count, count // 10)] ^ bits
started, found, kept = time.perf_counter(), 0, KeptHashes()
for start in range(0, count, step):
    names = [f"0123456789abcdef0123/{number:09d}" for number in range(start, min(count, start + step))]
    found += sum(near is not None for near in kept.take(hashes[start : start + step], names))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"hashes": count, "near": found, "seconds": round(time.perf_counter() - started, 1), "peak_mib": round(peak)}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--files", type=int, default=30_000)
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", default=_BEFORE, help="A commit of this repository that holds the earlier version.")
    given = parser.parse_args()
    present = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        before, corpus = Path(name, "before"), Path(name, "corpus")
        _check_out(given.before, before)
        _write_files(corpus, given.files)
        now: list[Times] = []
        earlier: list[Times] = []
        for number in range(given.repeats + 1):
            pair = _indexed(present, corpus, given.files), _indexed(before, corpus, given.files)
            if number:  # the first pair warms the disk's cache
                now.append(pair[0])
                earlier.append(pair[1])
                print(f"{given.files} files: {pair[0]['seconds']:.1f} s, before {pair[1]['seconds']:.1f} s", flush=True)
    near = json.loads(_run(present, _NEAR, str(given.hashes)))
    ratios_before = ratios(now, earlier, {"index_over_before": "seconds", "index_cpu_over_before": "cpu_s"})
    content = {"files": given.files, "before": given.before, "seconds": spread([each["seconds"] for each in now])}
    write_report(
        given.out, "corpus_scale", given.repeats, ("numpy", "pyarrow", "pillow"), ratios=ratios_before, near_duplicates=near, **content
    )
    print(ratios_before, near)
    return 0


def _check_out(ref: str, folder: Path) -> None:
    packed = subprocess.run(["git", "archive", ref, "pipeline", "schemas", "stages", "prompts"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")


def _write_files(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"{number % 100:02d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24), (number % 256, number // 256 % 256, 60)).save(path, "JPEG")
        if number % 2:
            path.with_suffix(".txt").write_text(f"picture {number}", encoding="utf-8")


def _indexed(root: Path, corpus: Path, count: int) -> Times:
    seconds, cpu_s, images = _run(root, _INDEX, str(corpus)).split()
    assert int(images) == count, f"{images} of {count} images"
    return {"seconds": float(seconds), "cpu_s": float(cpu_s)}


def _run(root: Path, program: str, argument: str) -> str:
    """What a program prints that imports our packages from this folder."""
    ran = subprocess.run([sys.executable, "-c", program, argument], cwd=root, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    return ran.stdout


if __name__ == "__main__":
    sys.exit(main())
