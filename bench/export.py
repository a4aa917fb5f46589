"""What exporting costs beside what a user would write: `python -m bench.export --out DIR [--images 1000] [--kilobytes 100] [--repeats 24]`.

All start from the same: images' bytes in memory, and the rows that the stages left of them (four regions, ten negatives on one). All write
the same: a tar of images and JSON records, a Parquet file of the records, and digests of the images, which are checked, and of the files;
what comes out is compared once. Ours is the stage export, which counts statistics beside. The others join the rows to records with the same
functions and write them with webdataset.ShardWriter, and with tarfile; `_given_records`: they are handed finished dictionaries, and need
not join. Ratios are of megabytes a second, and of processor time (`_cpu`). Writes DIR/export.json.
"""

import argparse
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import spread, write_report
from schemas.arrow import arrow_schema
from schemas.dataset import TableRecord, image_key
from schemas.rows import (
    Attribute,
    CaptionRow,
    CorpusRow,
    Edit,
    HardNegativeRow,
    Negative,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    SelectRow,
)
from stages.base import Image, Shard, StageContext
from stages.dataset.record import export_record, table_record
from stages.export import Export, ExportParams
from stages.negatives.candidates import released

_UNIT, _REGIONS, _NEGATIVES = 64, 4, 10


@dataclass(frozen=True)
class Made:
    """The inputs of a run: images with what the stages said of them, and their bytes by key."""

    images: Sequence[Image]
    contents: Mapping[str, bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--kilobytes", type=int, default=100, help="Of an image.")
    parser.add_argument("--repeats", type=int, default=24, help="A disk that writes behind scatters: few say little.")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = make(arguments.images, arguments.kilobytes * 1024)
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        records = records_of(made, Path(folder) / "records")
        ways: dict[str, Callable[[Path], None]] = {
            "ours": lambda to: ours(made, to),
            "shardwriter": lambda to: by_shardwriter(made, joined(made), to),
            "tarfile": lambda to: by_tarfile(made, joined(made), to),
            "shardwriter_given_records": lambda to: by_shardwriter(made, records, to),
            "tarfile_given_records": lambda to: by_tarfile(made, records, to),
        }
        compare(ways, Path(folder))
        repeats = [measured(ways, Path(folder), turn) for turn in range(arguments.repeats + 1)][1:]
    megabytes = arguments.images * arguments.kilobytes / 1000
    ratios = {
        f"export_over_{name}{suffix}": spread([timings[name][clock] / timings["ours"][clock] for timings in repeats])
        for name in ways
        if name != "ours"
        for clock, suffix in ((0, ""), (1, "_cpu"))
    }
    rates = {name: spread([megabytes / timings[name][0] for timings in repeats]) for name in ways}
    settings = {name: getattr(arguments, name) for name in ("images", "kilobytes")}
    path = write_report(
        arguments.out, "export", arguments.repeats, ("webdataset", "pyarrow"), settings=settings, megabytes_s=rates, ratios=ratios
    )
    print(path.read_text(encoding="utf-8"))


def measured(ways: Mapping[str, Callable[[Path], None]], folder: Path, turn: int) -> dict[str, tuple[float, float]]:
    """Seconds and processor seconds of each way, in another order each turn."""
    names = list(ways)
    timings = {}
    for name in names[turn % len(names) :] + names[: turn % len(names)]:
        to = folder / name
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        began, used = time.perf_counter(), time.process_time()
        ways[name](to)
        timings[name] = time.perf_counter() - began, time.process_time() - used
    return timings


def ours(made: Made, to: Path) -> None:
    class Sink:
        def put(self, path: str, content: bytes | Path) -> None:
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.move(content, to / path)
            else:
                (to / path).write_bytes(content)

    context = StageContext("bench", read_bytes=lambda rows: [made.contents[row.key] for row in rows], sink=Sink())
    units = (made.images[first : first + _UNIT] for first in range(0, len(made.images), _UNIT))
    rows = Export(ExportParams(finehard=False, allow_unverified=True), context).process(Shard(0, "", units))
    assert all(row.status == "ok" for row in rows), "every image is exported"


def by_shardwriter(made: Made, records: Sequence[dict[str, Any]], to: Path) -> None:
    import webdataset

    with webdataset.ShardWriter(str(to / "%05d.tar"), maxcount=10**9, maxsize=10**15, verbose=0) as writer:
        for record in records:
            content = made.contents[record["source_key"]]
            assert hashlib.sha256(content).hexdigest() == record["sha256"], "not the bytes that were indexed"
            writer.write({"__key__": record["key"], "jpg": content, "json": in_tar(record)})
    finish(records, to)


def by_tarfile(made: Made, records: Sequence[dict[str, Any]], to: Path) -> None:
    with tarfile.open(to / "00000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for record in records:
            content = made.contents[record["source_key"]]
            assert hashlib.sha256(content).hexdigest() == record["sha256"], "not the bytes that were indexed"
            for suffix, data in (("jpg", content), ("json", json.dumps(in_tar(record)).encode())):
                member = tarfile.TarInfo(f"{record['key']}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    finish(records, to)


def finish(records: Sequence[dict[str, Any]], to: Path) -> None:
    """The Parquet file of the records, and the digests of both files."""
    pq.write_table(pa.Table.from_pylist(list(records), schema=arrow_schema(TableRecord)), to / "00000.parquet", compression="zstd")
    digests = {}
    for path in (to / "00000.tar", to / "00000.parquet"):
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    (to / "00000_stats.json").write_text(json.dumps(digests), encoding="utf-8")


def in_tar(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("source_url", "licence", "source_status", "made_by")}


def compare(ways: Mapping[str, Callable[[Path], None]], folder: Path) -> None:
    """All ways write the same images and the same records."""
    measured(ways, folder, 0)
    seen = {name: (tar_of(folder / name), pq.read_table(folder / name / "00000.parquet").to_pylist()) for name in ways}
    for name, content in seen.items():
        if content != seen["ours"]:
            raise SystemExit(f"{name} does not write what ours writes")


def tar_of(folder: Path) -> dict[str, Any]:
    members: dict[str, Any] = {}
    with tarfile.open(folder / "00000.tar") as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None, "only files are in it"
            data = file.read()
            members[member.name] = json.loads(data) if member.name.endswith(".json") else hashlib.sha256(data).hexdigest()
    return members


def joined(made: Made) -> list[dict[str, Any]]:
    """The images' records, of what the stages said of them."""
    records = []
    for number, image in enumerate(made.images):
        denied = released(image.upstream.values(), allows_unverified=True)
        record = export_record(image, denied, image_key(0, number))
        records.append(table_record(image, record, {}).model_dump())
    return records


def records_of(made: Made, folder: Path) -> list[dict[str, Any]]:
    folder.mkdir()
    ours(made, folder)
    return pq.read_table(folder / "00000.parquet").to_pylist()


def make(num_images: int, size_bytes: int) -> Made:
    """Images of random bytes, and rows as the stages write them."""
    rng, images, contents = np.random.default_rng(0), [], {}
    for number in range(num_images):
        key, content = f"image-{number:06d}", rng.bytes(size_bytes)
        where = {"key": key, "path": "shard.tar", "offset": 0, "size": size_bytes, "width": 1024, "height": 768, "format": "JPEG"}
        corpus = CorpusRow.model_validate({**where, "sha256": hashlib.sha256(content).hexdigest(), "alt": f"picture {number} of a set"})
        images.append(Image(corpus, upstream={type(row): row for row in said_of(key)}))
        contents[key] = content
    return Made(images, contents)


def said_of(key: str) -> list[Any]:
    boxes = [(20.0 + 200 * i, 30.0, 180.0 + 200 * i, 300.0) for i in range(_REGIONS)]
    expression = "a small red wooden boat with a tall white sail"
    captions = [
        RegionCaption(
            region=i, xyxy=box, head="boat", short="a small red boat", long=expression, attributes=[Attribute(type="colour", value="red")]
        )
        for i, box in enumerate(boxes)
    ]
    edits = [Edit(type="colour", start=8, end=11, old="red", new=f"c{n}") for n in range(_NEGATIVES)]
    negatives = [Negative(text=f"a small {edit.new} boat", type="colour", edits=[edit], verdict="false") for edit in edits]
    return [
        CaptionRow(key=key, long=" ".join([expression] * 15), short="a boat on the water"),
        SelectRow(key=key, regions=[Region(xyxy=box, score=0.5, phrase="a small red boat", start=0, end=16, head="boat") for box in boxes]),
        RegionCaptionRow(key=key, regions=captions),
        HardNegativeRow(key=key, regions=[RegionNegatives(region=0, positive="a small red boat", negatives=negatives)]),
    ]


if __name__ == "__main__":
    main()
