"""What the one look at the headers of an old corpus costs: `python -m bench.look --out DIR [--images N]`.

Beside it the same corpus indexed anew, which reads and hashes every byte, and a plan that finds all as it was.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.measure import write_report
from bench.wild.room import tar_bytes
from pipeline.corpus import update
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import update_index
from pipeline.storage import Storage

_SHARDS = 4
_REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=4000)
    given = parser.parse_args()
    ratios: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="look-") as name:
        for kind in ("tar", "folder", "parquet"):
            params = _corpus(kind, Path(name) / kind, given.images)
            looks, plans = _measured(params, Path(name) / f"work-{kind}")
            ratios[f"{kind}_look_over_index"], seconds[kind] = looks
            ratios[f"{kind}_look_over_plan"], _ = plans
    per_image = {f"{kind}_us_per_image": round(1e6 * spent / given.images, 1) for kind, spent in seconds.items()}
    write_report(given.out, "look", _REPEATS, ("pyarrow", "pillow"), ratios=ratios, images=given.images, **per_image)
    for key, value in {**ratios, **per_image}.items():
        print(key, value)


def _measured(params: CorpusParams, work: Path) -> tuple[tuple[dict[str, float], float], tuple[dict[str, float], float]]:
    over_index, over_plan, spent = [], [], []
    for number in range(_REPEATS):
        old, fresh = Storage(str(work / f"old-{number}")), Storage(str(work / f"new-{number}"))
        with mock.patch("pipeline.corpus.pixels.pixel_version", return_value=0), mock.patch.object(update, "PIXELS", 0):
            update_index(params, old)
        index = _time(lambda fresh=fresh: update_index(params, fresh))
        look = _time(lambda old=old: update_index(params, old))
        plan = _time(lambda old=old: update_index(params, old))
        over_index.append(look / index)
        over_plan.append(look / plan)
        spent.append(look - plan)
    return (_summary(over_index), statistics.median(spent)), (_summary(over_plan), 0.0)


def _time(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def _corpus(kind: str, folder: Path, images: int) -> CorpusParams:
    """Photograph-like JPEGs of about 90 KB: smooth colours with noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (512, 640, 3), dtype=np.uint8)
    for shard in range(_SHARDS):
        pictures = [(f"{shard}{number:06d}.jpg", _jpeg(noise, number)) for number in range(images // _SHARDS)]
        if kind == "tar":
            (folder / f"{shard:05d}.tar").write_bytes(tar_bytes(pictures))
        elif kind == "parquet":
            table = pa.table({"key": [key for key, _ in pictures], "image": [data for _, data in pictures]})
            pq.write_table(table, folder / f"{shard:05d}.parquet", row_group_size=256)
        else:
            for key, data in pictures:
                (folder / key).write_bytes(data)
    return CorpusParams(path=str(folder))


def _jpeg(noise: np.ndarray[Any, np.dtype[np.uint8]], number: int) -> bytes:
    shifted = np.roll(noise, number, axis=1) + np.array([number % 200, 90, 60], np.uint8)
    sink = io.BytesIO()
    Image.fromarray(shifted).save(sink, "JPEG", quality=85)
    return sink.getvalue()


if __name__ == "__main__":
    main()
