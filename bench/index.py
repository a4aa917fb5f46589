"""What indexing costs beside reading: `python -m bench.index --out DIR [--tars 8] [--images 500] [--repeats 3]`.

A corpus of tars with 100 KB members, indexed into a fresh workdir, beside a loop that reads each tar's headers with tarfile and hashes its
members' bytes: what is least to be done to know them again. Ours reads the pictures' headers too, hashes, and writes its tables; it goes
through the tars in threads. Ratios of rates, and of processor time (`_cpu`). Writes DIR/index.json.
"""

import argparse
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import spread, write_report
from bench.throughput.inputs import write_tars
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import update_index
from pipeline.storage import Storage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tars", type=int, default=8)
    parser.add_argument("--images", type=int, default=500, help="Of a tar.")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    folder = arguments.out / f"tars-{arguments.tars}-{arguments.images}"
    tars = write_tars(folder, arguments.tars, arguments.images)
    megabytes = sum(path.stat().st_size for path in tars) / 1e6
    ways: dict[str, Callable[[], None]] = {"ours": lambda: ours(folder, arguments.out / "work"), "reading": lambda: reading(tars)}
    repeats = []
    for turn in range(arguments.repeats + 1):
        timings = {name: timed(ways[name]) for name in list(ways)[:: 1 if turn % 2 else -1]}
        if turn:  # the first warms the page cache
            repeats.append(timings)
    ratios = {
        f"index_over_reading{suffix}": spread([timings["reading"][clock] / timings["ours"][clock] for timings in repeats])
        for clock, suffix in ((0, ""), (1, "_cpu"))
    }
    rates = {name: spread([megabytes / timings[name][0] for timings in repeats]) for name in ways}
    settings = {"tars": arguments.tars, "images": arguments.images}
    path = write_report(
        arguments.out, "index", arguments.repeats, ("pyarrow", "pillow"), settings=settings, megabytes_s=rates, ratios=ratios
    )
    print(path.read_text(encoding="utf-8"))


def ours(folder: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    assert update_index(CorpusParams(path=str(folder)), Storage(str(work))), "there is something to index"


def reading(tars: list[Path]) -> None:
    import tarfile

    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None, "only files are in it"
                hashlib.sha256(file.read()).hexdigest()


def timed(way: Callable[[], None]) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
