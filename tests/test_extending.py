"""The recipes of docs/extending.md, followed as they stand: put into a copy of the packages, run, and their files counted."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "prompts", "stages", "pipeline", "fgdata")
# How many files a recipe may touch, new ones among them.
MOST = {"An engine": 2, "A stage": 3, "A corpus format": 2, "A given format": 2, "A negative type": 3, "A report panel": 2}
_PATH = re.compile(r"^`([\w/]+\.(?:py|yaml))`", re.MULTILINE)
_BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Extended:
    """The packages with all recipes in them, and which files each has touched."""

    root: Path
    new: dict[str, set[str]] = field(default_factory=dict)
    changed: dict[str, set[str]] = field(default_factory=dict)

    def call(self, *arguments: object, code: int = 0) -> str:
        """What the command prints, of these packages."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stderr[-3000:]
        return done.stdout


def _put(extended: Extended, title: str, path: str, kind: str, block: str) -> None:
    """A whole file, or the lines of a change. What a change says stands there must stand there, once."""
    target = extended.root / path
    if kind == "python":
        assert not target.exists(), f"{path} is there already"
        target.write_text(block, encoding="utf-8")
        extended.new.setdefault(title, set()).add(path)
        return
    lines = block.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    content = target.read_text(encoding="utf-8")
    assert content.count(before) == 1, f"{path} does not hold once what {title!r} says:\n{before}"
    after = "".join(line[1:] for line in lines if line[0] in " +")
    target.write_text(content.replace(before, after), encoding="utf-8")
    extended.changed.setdefault(title, set()).add(path)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    """A copy of the packages with every recipe put into it."""
    root = tmp_path_factory.mktemp("extended")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    copied = Extended(root)
    for part in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        title = part.partition("\n")[0]
        places = [(match.start(), match.group(1)) for match in _PATH.finditer(part)]
        for block in _BLOCK.finditer(part):
            path = [path for start, path in places if start < block.start()][-1]
            _put(copied, title, path, *block.groups())
    return copied


def test_no_recipe_touches_more_files_than_its_share_and_the_page_says_how_many(extended: Extended) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    for title, most in MOST.items():
        new, changed = extended.new.get(title, set()), extended.changed[title]
        assert len(new | changed) <= most, (title, new | changed)
        assert f"| [{title[0].lower()}{title[1:]}](#{title.lower().replace(' ', '-')}) | {len(new)} | {len(changed)} |" in page


def test_what_the_recipes_write_passes_the_checks_of_the_house(extended: Extended) -> None:
    shutil.copy(ROOT / "pyproject.toml", extended.root)
    touched = [*extended.new.values(), *extended.changed.values()]
    files = sorted({path for paths in touched for path in paths if path.endswith(".py")})
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *files], cwd=extended.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    new = sorted({path for paths in extended.new.values() for path in paths})
    known = ROOT / ".mypy_cache"  # of `make check`: a quarter of the time
    if known.is_dir():
        shutil.copytree(known, extended.root / ".mypy_cache")
    done = subprocess.run([sys.executable, "-m", "mypy", *new], cwd=extended.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_configurations_that_the_page_says_to_try_can_be_planned(extended: Extended, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (60 + number, 40), (200, 10 * number, 30)).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "captions.csv").write_text("key,long,short\n0,A red wall.,a wall\n1,too few\n", encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / "job.yaml").write_text(block.replace("workdir: work", f"workdir: work{number}"), encoding="utf-8")
        planned = json.loads(extended.call("plan", tmp_path / "job.yaml", "--json"))
        assert [(stage["name"], stage["pending"]) for stage in planned["stages"]] == [("caption", 1)]


def _write_zip(path: Path, num_images: int) -> None:
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(num_images):
            buffer = io.BytesIO()
            Image.new("RGB", (60 + number, 40), (200, 10 * number, 30)).save(buffer, "PNG")
            archive.writestr(f"images/{number}.png", buffer.getvalue())
        archive.writestr("images/broken.png", b"no image")
        archive.writestr("notes.txt", "no image either")


def _rows(folder: Path, stage: str) -> list[dict[str, Any]]:
    tables = sorted((folder / "work" / stage).rglob("*.parquet"))
    return [row for path in tables for row in pq.read_table(path).to_pylist()]


def _write_config(folder: Path, **content: Any) -> Path:
    stages = {name: {"cpus": 0.1} for name in content["stages"]}
    whole = {"workdir": "work", "corpus": {"path": "archives"}, "placement": {"stages": stages}, **content}
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return path


@pytest.mark.ray
def test_engine_stage_corpus_format_and_panel_run_together(extended: Extended, tmp_path: Path) -> None:
    _write_zip(tmp_path / "archives" / "one.zip", 5)
    config = _write_config(
        tmp_path,
        engines={"captioner": {"kind": "measure", "noun": "dots"}},
        stages={"caption": {"prompt": "demo", "min_words_long": 1}, "palette": {}},
    )
    extended.call("run", config)
    captions = {row["key"]: row for row in _rows(tmp_path, "caption")}
    assert captions["images/3"]["long"] == "A picture of 63 by 40 dots."
    assert captions["images/broken"]["status"] == "failed"
    assert len(captions) == 6
    means = {row["key"]: (row["red"], row["green"], row["blue"]) for row in _rows(tmp_path, "palette")}
    assert means["images/3"] == (200, 30, 30)
    assert all(stage["pending"] == 0 for stage in json.loads(extended.call("plan", config, "--json"))["stages"])
    extended.call("report", config, "--out", tmp_path / "report")
    assert "Strongest colour" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


@pytest.mark.ray
def test_given_format_and_negative_type_run_together(extended: Extended, tmp_path: Path) -> None:
    _write_zip(tmp_path / "archives" / "one.zip", 4)
    keys = [f"images/{number}" for number in range(4)]
    text = "A coarse wall, some way off."
    table = ["key,long,short", *(f'{key},"{text}",a wall' for key in keys), "images/4,too few"]
    (tmp_path / "captions.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    box = [5, 5, 30, 30]
    for stage, content in {"ground": {"boxes": [{"bbox": box, "phrase": "a coarse wall"}]},
                           "region_caption": {"regions": [{"bbox": box, "short": "a coarse wall"}]}}.items():  # fmt: skip
        (tmp_path / f"{stage}.jsonl").write_text("".join(json.dumps({"key": key, **content}) + "\n" for key in keys), encoding="utf-8")
    given = {stage: {"path": f"{stage}.jsonl", "format": "jsonl", "missing": "skip"} for stage in ("ground", "region_caption")}
    config = _write_config(
        tmp_path,
        engines={"writer": {"kind": "rehearsal"}},
        given={"caption": {"path": "captions.csv", "format": "csv", "missing": "skip"}, **given},
        stages={"caption": {}, "ground": {}, "select": {}, "region_caption": {}, "hard_negative": {"prompt": "v2", "new_values": "listed"}},
    )
    extended.call("run", config)
    captions = {row["key"]: row for row in _rows(tmp_path, "caption")}
    assert {captions[key]["long"] for key in keys} == {text}
    assert "malformed_row" in extended.call("plan", config, "--json")
    texts = {
        (edit["type"], edit["old"], edit["new"])
        for row in _rows(tmp_path, "hard_negative")
        for region in row["regions"]
        for negative in region["negatives"]
        for edit in negative["edits"]
    }
    assert ("texture", "coarse", "fuzzy") in texts
    (described,) = (tmp_path / "work" / "hard_negative").glob("*/stage.json")
    assert json.loads(described.read_text(encoding="utf-8"))["types"] == ["texture"]  # what users have is computed anew by itself
