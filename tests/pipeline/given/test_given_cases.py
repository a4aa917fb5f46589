"""The three ready configurations of docs/bring-your-own.md: from given data to exported shards, killed in the middle and resumed.

Their engines are replaced by rehearsed ones, which need no GPU; all else is run as it stands.
"""

import json
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipeline.config.graph import build_graph
from pipeline.config.read import load_config
from pipeline.run.export_place import EXPORT_MARK
from schemas.rows import HardNegativeRow
from tests.support.driver import Driver, tables_of
from tests.support.given_job import rows_of
from tests.support.in_process import carry_all
from tests.support.pictures import encoded, tar_bytes, write
from tests.support.rehearsal_job import files

CONFIGS = Path(__file__).parents[3] / "configs" / "given"
CASES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
NAMES = [f"{i:04d}" for i in range(8)]
LONG = "A red mug stands beside a blue metal car on a wooden table."
BOXES = [("red mug", [5, 5, 30, 40]), ("blue metal car", [30, 10, 60, 44])]  # of images of 64 x 48


def _jpeg(number: int) -> bytes:
    return encoded(Image.new("RGB", (64, 48), (number * 20, 120, 60)), "JPEG")


def _alt_text(folder: Path) -> None:
    for i, name in enumerate(NAMES):
        write(folder, {f"images/{i}.tar": tar_bytes({f"{name}.jpg": _jpeg(i), f"{name}.json": json.dumps({"caption": LONG}).encode()})})


def _coco(folder: Path) -> None:
    write(folder, {f"val2017/{name}.jpg": _jpeg(i) for i, name in enumerate(NAMES)})
    boxes = [
        {"image_id": i, "category_id": c, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for i in range(8)
        for c, (_, (x0, y0, x1, y1)) in enumerate(BOXES)
    ]
    content = {
        "images": [{"id": i, "file_name": f"{name}.jpg", "width": 64, "height": 48} for i, name in enumerate(NAMES)],
        "categories": [{"id": c, "name": name} for c, (name, _) in enumerate(BOXES)],
        "annotations": boxes,
    }
    write(folder, {"annotations/instances_val2017.json": json.dumps(content).encode()})


def _finehard(folder: Path) -> None:
    write(folder, {f"images/{name}.jpg": _jpeg(i) for i, name in enumerate(NAMES)})
    regions = [
        {
            "bbox": [x0 / 64, y0 / 48, x1 / 64, y1 / 48, 0.9],
            "short_expr": name,
            "long_expr": f"{name} on a table",
            "flag_short_neg": 1,
            "short_expr_negs": {str(i): f"old {i}" for i in range(10)},
        }
        for name, (x0, y0, x1, y1) in BOXES
    ]
    records = [{"f_path": f"images/{name}.jpg", "caption": LONG, "short_caption": "a mug", "bbox_info": regions} for name in NAMES]
    write(folder, {"finehard.json": json.dumps(records).encode()})


def _case(name: str, folder: Path) -> Path:
    """The case's data and its configuration, its engines rehearsed, the writer slow enough to be caught at work."""
    {"alt-text": _alt_text, "coco": _coco, "finehard": _finehard}[name](folder)
    content: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    content["engines"] = {role: {"kind": "rehearsal-detector" if role == "detector" else "rehearsal"} for role in content["engines"]}
    content["engines"]["writer"]["delay_s"] = 0.3
    if name != "alt-text":
        content["corpus"]["folder_shards"] = 4  # eight images would be one shard
    content["placement"] = {"schedule": "streaming", "stages": {stage: {"cpus": 0.1, "in_flight": 1} for stage in content["stages"]}}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _check_exported(name: str, folder: Path) -> None:
    """What was given is what was exported, and what was not is there too."""
    records = [record for path in sorted((folder / "dataset").glob("*.parquet")) for record in pq.read_table(path).to_pylist()]
    assert sorted(record["source_key"] for record in records) == NAMES
    for record in records:
        assert (record["long"] == LONG) == (name != "coco")
        boxes = [region["xyxy"] for region in record["regions"]]
        assert (boxes == [pytest.approx(box) for _, box in BOXES]) == (name != "alt-text")
        assert all(region["short"] and region["score"] is None for region in record["regions"]) or name == "alt-text"
        texts = [negative["text"] for region in record["regions"] for negative in region["negatives"]]
        assert not any(text.startswith("old ") for text in texts)
        if name == "finehard":
            assert [region["short"] for region in record["regions"]] == [short for short, _ in BOXES]
    written = [row for row in rows_of(folder / f"{name}.yaml", "hard_negative").values() if isinstance(row, HardNegativeRow)]
    assert all(row.origin == "computed" and any(region.negatives for region in row.regions) for row in written), "made anew"


@pytest.mark.parametrize("name", CASES)
def test_a_ready_configuration_is_short_loads_and_names_its_engines_revisions(name: str, tmp_path: Path) -> None:
    path = CONFIGS / f"{name}.yaml"
    assert len(path.read_text(encoding="utf-8").splitlines()) < 25
    config = load_config(path)
    assert [node.name for node in build_graph(config)][-1] == "export"
    assert all(not config.is_computed(stage) for stage in config.given)
    assert set(config.engines) == {role for stage in config.stages for role in config.specs(stage)}, "no engine that nobody asks"


@pytest.mark.parametrize("name", CASES)
def test_a_run_from_given_data_exports_what_was_given(name: str, tmp_path: Path) -> None:
    config = _case(name, tmp_path)
    carry_all(config)
    _check_exported(name, config.parent)


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_run_from_given_data_killed_in_the_middle_and_resumed_exports_the_same_bytes(tmp_path: Path, drivers: list[Driver]) -> None:
    name = "finehard"
    undisturbed = _case(name, tmp_path / "undisturbed")
    carry_all(undisturbed)
    config = _case(name, tmp_path / "killed")
    drivers.append(Driver(config))
    drivers[-1].wait_until_committed("hard_negative", 2)
    assert drivers[-1].end(signal.SIGKILL)[0] == -signal.SIGKILL
    shards = len(list((undisturbed.parent / "dataset").glob("*.tar")))
    assert 0 < len(tables_of(config.parent, "export")) < shards or len(tables_of(config.parent, "hard_negative")) < shards
    before = {path: path.stat().st_mtime_ns for path in (config.parent / "work").rglob("*.parquet") if ".writing-" not in path.name}
    drivers.append(Driver(config))
    code, error = drivers[-1].end()
    assert code == 0, error
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "what was committed, or indexed, stays as it is"
    first, second = (files(path.parent / "dataset") for path in (undisturbed, config))
    described = ("manifest.json", "README.md", "croissant.json", "sizes.json", EXPORT_MARK)  # carry_all writes shards alone
    assert {name: content for name, content in second.items() if name not in described} == first
