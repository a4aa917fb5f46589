"""A small job on the rehearsal engines, as a user would write it: used by tests of the runner, the plan and the command."""

import io
from pathlib import Path
from typing import Any

import webdataset
import yaml
from PIL import Image


def write_tar(path: Path, keys: list[str], *, tint: int = 0) -> None:
    """A WebDataset tar of one small JPEG a key, all different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path), mtime=0) as tar:
        for number, key in enumerate(keys):
            buffer = io.BytesIO()
            Image.new("RGB", (64, 48), (number * 7 % 256, tint, 90)).save(buffer, "JPEG")
            tar.write({"__key__": key, "jpg": buffer.getvalue(), "txt": f"picture {key}"})


def job_content(corpus: str, /, **blocks: Any) -> dict[str, Any]:
    """The configuration's content; `blocks` replace whole blocks, `writer`, `captioner` add fields to an engine."""
    engines = {
        "captioner": {"kind": "rehearsal", **blocks.pop("captioner", {})},
        "detector": {"kind": "rehearsal-detector"},
        "writer": {"kind": "rehearsal", **blocks.pop("writer", {})},
    }
    stages = {
        "caption": {"prompt": "demo"},
        "ground": {},
        "select": {},
        "region_caption": {"prompt": "demo"},
        "hard_negative": {"prompt": "demo"},
        "export": {"finehard": True, "allow_unverified": True},
    }
    content = {
        "workdir": "work",
        "corpus": {"path": corpus, "unit_size": 4},
        "engines": engines,
        "stages": stages,
        "export_to": "dataset",
        "placement": {"schedule": "streaming", "stages": {name: {"cpus": 0.1} for name in stages}},
    }
    return {**content, **blocks}


def write_job(folder: Path, **blocks: Any) -> Path:
    """A folder with a corpus of two tars of 8 and 6 images (unless one is given) and its configuration."""
    if not (folder / "corpus").exists() and "corpus" not in blocks:
        write_tar(folder / "corpus" / "a.tar", [f"a{i}" for i in range(8)], tint=10)
        write_tar(folder / "corpus" / "b.tar", [f"b{i}" for i in range(6)], tint=200)
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job_content("corpus", **blocks), sort_keys=False))
    return path


def files(folder: Path, pattern: str = "**/*") -> dict[str, bytes]:
    """Relative path -> bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob(pattern)) if path.is_file()}


def times(folder: Path) -> dict[str, int]:
    """Relative path -> modification time in nanoseconds of all files below a folder."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}
