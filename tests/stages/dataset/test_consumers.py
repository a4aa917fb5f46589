"""Other people's readers, as published, open an exported set and see all of it: the code of docs/consumers.md, run."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from schemas.dataset import TableRecord
from stages.dataset.card import DataSet, dataset_files
from tests.support.exported_shard import ExportedShard, picture, stage_rows
from tests.support.pictures import encoded

ROOT = Path(__file__).parents[3]
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
NUM_IMAGES, SHARD = 9, "00007"
# webdataset leaves tars, and duckdb and datasets files, to the garbage collector.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


def exported(folder: Path, **params: Any) -> Path:
    """A whole set of one shard: images of four formats, one without regions, one without any text, one that failed."""
    shard = ExportedShard(folder)
    for number in range(NUM_IMAGES):
        image_format = FORMATS[number % len(FORMATS)]
        shard.add(encoded(picture(number), image_format), image_format, url=f"https://example.org/{number}", licence="CC-BY-4.0")
    shard.add(b"", rows={}, status="failed", reason="unreadable")
    shard.add(encoded(picture(50), "JPEG"), rows={"caption": stage_rows("img-10")["caption"]})
    shard.add(encoded(picture(51), "JPEG"), rows={}, alt=None)
    shard.export(**params)
    for path, content in dataset_files(DataSet("0.1.0", [shard.stats()], [])).items():
        (folder / "out" / path).write_bytes(content)
    return folder / "out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("set"), txt="short", coco=True)


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def snippet(heading: str, folder: Path) -> dict[str, Any]:
    """What the code below a heading of the page leaves behind."""
    page = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
    part = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", part, re.S)
    seen: dict[str, Any] = {"DIR": str(folder), "SHARD": SHARD}
    exec(code, seen)
    return seen


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of the Parquet file, in order."""
    import pyarrow.parquet as pq

    return pq.read_table(folder / f"{SHARD}.parquet").to_pylist()


def test_webdataset_sees_every_image_with_its_record(folder: Path) -> None:
    seen = snippet("webdataset", folder)
    assert sorted(record["key"] for record in seen["records"]) == [record["key"] for record in records(folder)]


def test_datasets_gives_decoded_images_and_typed_records_streamed_or_not(folder: Path) -> None:
    seen = snippet("datasets", folder)
    rows = list(seen["images"])
    assert [row["json"]["key"] for row in rows] == [record["key"] for record in records(folder)]
    assert [row["json"]["regions"] for row in rows] == [record["regions"] for record in records(folder)]
    assert {next(image for name in ("jpg", "png", "webp") if (image := row[name])).size for row in rows} == {(48, 32)}
    assert [row["key"] for row in seen["tables"]] == [record["key"] for record in records(folder)]
    streamed = list(seen["load_dataset"](str(folder), split="train", streaming=True))
    assert [row["json"] for row in streamed] == [row["json"] for row in rows]


def test_datasets_features_are_those_of_the_parquet_file(tmp_path: Path) -> None:
    import datasets

    from schemas.arrow import arrow_schema

    out = exported(tmp_path, images_in_parquet=True)
    for streaming in (False, True):
        rows = datasets.load_dataset(str(out), split="train", streaming=streaming)
        expected = datasets.Features.from_arrow_schema(arrow_schema(TableRecord))
        assert rows.features == {**expected, "image": datasets.Image()}
        assert {row["image"].size for row in rows} == {(48, 32)}
    assert [row["long"] for row in rows] == [record["long"] for record in records(out)]


def test_duckdb_and_pandas_read_the_tables(folder: Path) -> None:
    seen = snippet("DuckDB and pandas", folder)
    assert seen["nouns"] == [("cup", NUM_IMAGES)]
    assert list(seen["expressions"]) == ["A red cup"] * NUM_IMAGES


def test_pycocotools_loads_the_boxes_and_captions_of_the_tar(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    seen = snippet("pycocotools", folder)
    boxes = seen["boxes"]
    for image, record in zip(boxes.loadImgs(boxes.getImgIds()), records(folder), strict=True):
        annotations = boxes.loadAnns(boxes.getAnnIds(imgIds=[image["id"]]))
        corners = [[x, y, x + width, y + height] for x, y, width, height in (annotation["bbox"] for annotation in annotations)]
        assert corners == [region["xyxy"] for region in record["regions"]]
        assert [boxes.cats[annotation["category_id"]]["name"] for annotation in annotations] == [
            region["head"] for region in record["regions"]
        ]
        assert image["file_name"].partition(".")[0] == record["key"]
    (tmp_path / "whole.json").write_text(json.dumps(seen["whole"]))
    assert COCO(str(tmp_path / "whole.json")).getCatIds() == boxes.getCatIds()
    captions = seen["captions"].loadAnns(seen["captions"].getAnnIds())
    assert {caption["caption"] for caption in captions if caption["kind"] == "long"} == {"A red cup stands."}


def test_mlcroissant_validates_the_metadata_and_yields_the_records(folder: Path) -> None:
    import mlcroissant

    issues = mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).metadata.ctx.issues
    assert issues.errors == set()
    snippet("Croissant and the hub", folder)
    keys = [record["images/key"].decode() for record in mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).records("images")]
    assert keys == [record["key"] for record in records(folder)]


def test_the_hub_reads_the_card(folder: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == "other"
    assert card.data.size_categories == ["n<1K"]
    assert card.data.configs == [{"config_name": "images", "default": True, "data_files": "[0-9]*.tar"}]


def test_the_finehard_snippet_reads_the_records(folder: Path) -> None:
    assert len(snippet("FG-CLIP", folder)["records"]) == NUM_IMAGES


@pytest.mark.slow
@pytest.mark.parametrize("version", ["its own", "1.0"])
def test_open_clips_own_loader_yields_every_exported_image(folder: Path, tmp_path: Path, version: str) -> None:
    python = os.environ.get("FGDATA_OPEN_CLIP_PYTHON")
    if not python:
        pytest.skip("FGDATA_OPEN_CLIP_PYTHON names no python of an environment of requirements/open-clip.txt; make test-slow builds one")
    is_own = version == "its own"
    if not is_own:
        import webdataset

        (tmp_path / "webdataset").symlink_to(Path(webdataset.__file__).parent)
    command = [python, "tests/support/open_clip_loader.py", str(folder / f"{SHARD}.tar"), "train" if is_own else "evaluation"]
    path = {} if is_own else {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **path}, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    content = json.loads(done.stdout.splitlines()[-1])
    assert content["version"].startswith("0.2" if is_own else "1.")
    expected = [record["short"] or record["alt"] or "" for record in records(folder)]
    assert sorted(content["evaluation"]) == sorted(expected)
    if is_own:
        assert sorted(content["train"]) == sorted(expected)
        assert content["num_samples"] == len(expected)
