"""An exported data set straight from the demo's ground truth, without any model: to develop training recipes quickly. Measures nothing.

python -m bench.demo_truth DIR --scenes 1500 --seed 0
"""

import argparse
import hashlib
import json
import random
from pathlib import Path

from pipeline.demo.corpus import encode, key_of
from pipeline.demo.training.vocabulary import edit_answer
from pipeline.demo.world import SIDE_PX, Scene, Toy, scene
from schemas.dataset import ExportRegion, Manifest, ShardEntry, TableRecord, Totals, image_key, shard_name
from schemas.rows import Attribute, Edit, Negative
from stages.dataset.files import ShardFiles

_SCENES_A_SHARD = 250
_NUM_NEGATIVES = 10


def write_truth(folder: Path, num_scenes: int, seed: int) -> Path:
    """Tars, Parquet files and manifest of the scenes (seed, 0), (seed, 1), ... with what is true of them."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        _write_shard(folder, number, [scene(seed, index) for index in range(first, min(first + _SCENES_A_SHARD, num_scenes))])
        for number, first in enumerate(range(0, num_scenes, _SCENES_A_SHARD))
    ]
    images, regions, negatives = (sum(getattr(entry, name) for entry in entries) for name in ("images", "regions", "negatives"))
    totals = Totals(
        shards=len(entries),
        images_in=images,
        images=images,
        regions=regions,
        negatives=negatives,
        bytes=sum(entry.bytes for entry in entries),
    )
    manifest = Manifest(fgdata_version="truth", rehearsal=False, stages={}, engines={}, prompts=[], shards=entries, totals=totals)
    (folder / "manifest.json").write_text(json.dumps(manifest.model_dump(mode="json")), encoding="utf-8")
    return folder


def _write_shard(folder: Path, number: int, scenes: list[Scene]) -> ShardEntry:
    name, regions, negatives = shard_name(number), 0, 0
    with ShardFiles(folder) as files:
        for index, truth in enumerate(scenes):
            content = encode(truth)
            record = _record(truth, image_key(number, index), content)
            files.add(record, content, "jpg")
            regions += len(record.regions)
            negatives += sum(len(region.negatives) for region in record.regions)
    files.tar.path.rename(folder / f"{name}.tar")
    files.parquet.path.rename(folder / f"{name}.parquet")
    files.finehard.file.path.unlink()
    tar = files.tar.digest(f"{name}.tar")
    return ShardEntry(
        name=name,
        tar=tar.path,
        parquet=f"{name}.parquet",
        stats=f"{name}_stats.json",
        images=len(scenes),
        regions=regions,
        negatives=negatives,
        bytes=tar.bytes,
        sha256=tar.sha256,
    )


def _record(truth: Scene, key: str, content: bytes) -> TableRecord:
    return TableRecord(
        key=key,
        source_key=key_of(truth.seed, truth.index),
        source_shard="truth",
        sha256=hashlib.sha256(content).hexdigest(),
        width=SIDE_PX,
        height=SIDE_PX,
        long=truth.long_caption,
        short=truth.short_caption,
        regions=[_region(truth, toy) for toy in truth.toys],
    )


def _region(truth: Scene, toy: Toy) -> ExportRegion:
    start = truth.long_caption.index(toy.phrase)
    left, top, right, bottom = (float(value) for value in toy.xyxy)
    edits = json.loads(edit_answer(toy.expression))["edits"]
    kept = random.Random(f"negatives/{truth.seed}/{truth.index}/{toy.position}").sample(edits, _NUM_NEGATIVES)
    return ExportRegion(
        xyxy=(left, top, right, bottom),
        bbox=(left / SIDE_PX, top / SIDE_PX, right / SIDE_PX, bottom / SIDE_PX),
        score=1.0,
        phrase=toy.phrase,
        start=start,
        end=start + len(toy.phrase),
        head=toy.noun,
        short=toy.expression,
        long=toy.long_expression,
        attributes=[Attribute.model_validate({"type": kind, "value": getattr(toy, kind)}) for kind in ("colour", "pattern", "material")],
        negatives=[_negative(toy.expression, edit) for edit in kept],
    )


def _negative(positive: str, edit: dict[str, str]) -> Negative:
    start = positive.index(edit["old"])
    validated = Edit.model_validate(
        {**{name: edit[name] for name in ("type", "old", "new")}, "start": start, "end": start + len(edit["old"])}
    )
    return Negative(text=edit["text"], edits=[validated], type=validated.type, verdict="false")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_truth(arguments.folder, arguments.scenes, arguments.seed)


if __name__ == "__main__":
    main()
