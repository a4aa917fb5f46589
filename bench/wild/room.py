"""A case's own folder, and what a user sees there: the command's exit and words, the index, a stage's rows. Knows no case."""

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from pipeline.cli import app

_STAGES = {
    "caption": {"prompt": "demo"},
    "ground": {},
    "select": {},
    "region_caption": {"prompt": "demo"},
    "hard_negative": {"prompt": "demo"},
    "export": {"finehard": True, "allow_unverified": True},
}


@dataclass(frozen=True)
class Ran:
    """How a command ended. `crash` is the exception's name where a user would have seen a traceback."""

    code: int
    out: str
    err: str
    crash: str | None

    @property
    def message(self) -> str:
        """What it said last, on one line."""
        return " ".join((self.err or self.out).split())[-300:]


@dataclass(frozen=True)
class Room:
    """The folder of one case; the current folder while the case runs."""

    folder: Path

    def put(self, files: Mapping[str, bytes]) -> None:
        """Files below the folder, made where missing."""
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def job(
        self, corpus: str | dict[str, Any] = "corpus", stages: Sequence[str] | Mapping[str, Any] = tuple(_STAGES), **blocks: Any
    ) -> Path:
        """A configuration of rehearsal engines over a corpus; `blocks` replace whole blocks."""
        content = {
            "workdir": "work",
            "corpus": {"path": corpus, "unit_size": 4} if isinstance(corpus, str) else corpus,
            "engines": {"captioner": {"kind": "rehearsal"}, "detector": {"kind": "rehearsal-detector"}, "writer": {"kind": "rehearsal"}},
            "stages": dict(stages) if isinstance(stages, Mapping) else {name: _STAGES[name] for name in stages},
            "placement": {"schedule": "streaming", "stages": {name: {"cpus": 0.1} for name in stages}},
            **({"export_to": "dataset"} if "export" in stages else {}),
            **blocks,
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    def fgdata(self, *words: str) -> Ran:
        """The command with these words, in this process."""
        result = CliRunner().invoke(app, list(words))
        error = result.exception
        crash = None if error is None or isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"[:300]
        return Ran(result.exit_code, result.stdout, result.stderr, crash)

    def done(self, *words: str) -> Ran:
        """The command, which must end well."""
        ran = self.fgdata(*words)
        assert ran.crash is None, f"traceback: {ran.crash}"
        assert ran.code == 0, f"exit {ran.code}: {ran.message}"
        return ran

    def refused(self, *words: str) -> Ran:
        """The command, which must refuse in one line, exit 2."""
        ran = self.fgdata(*words)
        assert ran.crash is None, f"traceback: {ran.crash}"
        assert ran.code == 2, f"exit {ran.code}: {ran.message}"
        assert len(ran.err.strip().splitlines()) == 1, f"not one line: {ran.err!r}"
        return ran

    def plan(self) -> dict[str, Any]:
        """`fgdata plan --json` of the case's configuration."""
        content = json.loads(self.done("plan", "job.yaml", "--json").out)
        assert isinstance(content, dict)
        return content

    def index(self) -> list[dict[str, Any]]:
        """The corpus index's rows as stored, by key."""
        rows = [row for path in sorted((self.folder / "work/corpus").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
        return sorted(rows, key=lambda row: row["key"])

    def rows(self, stage: str) -> list[dict[str, Any]]:
        """A stage's committed rows, by key."""
        paths = sorted((self.folder / "work" / stage).glob("*/*.parquet"))
        return sorted((row for path in paths for row in pq.read_table(path).to_pylist()), key=lambda row: row["key"])

    def tree(self, name: str) -> dict[str, str]:
        """Digest of each file below a folder of the case."""
        paths = [path for path in (self.folder / name).rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    @contextlib.contextmanager
    def as_nobody(self) -> Iterator[None]:
        """As a user whom rights hold back: root is nobody for that time, once all that a plan imports is imported."""
        if os.geteuid() != 0:
            yield
            return
        warm = Room(self.folder / "warm")
        warm.put({"corpus/a.jpg": jpeg(0)})
        warm.job()
        warm.done("plan", str(warm.folder / "job.yaml"))
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    def link(self, name: str, target: str) -> None:
        """A symbolic link below the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def picture(number: int, size: tuple[int, int] = (96, 64), mode: str = "RGB") -> Image.Image:
    """A picture that differs for each number."""
    image = Image.new("RGB", size, ((number * 37) % 256, (number * 91) % 256, 90))
    ImageDraw.Draw(image).rectangle((5 + number % 20, 5, 40, 40), fill=(255, 255 - number % 200, 0))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The image as a file of this kind."""
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def jpeg(number: int) -> bytes:
    """A small JPEG that differs for each number."""
    return encoded(picture(number))


def tar_bytes(members: Sequence[tuple[str, bytes]], **options: Any) -> bytes:
    """A tar of these members, in order."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", **options) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def keys(room: Room) -> list[str]:
    """The index's keys."""
    return [row["key"] for row in room.index()]


def accounted(plan: dict[str, Any]) -> str:
    """The plan's accounting in a few words.

    Raises: AssertionError where files and members are not images, sidecars and what was left out.
    """
    left_out = sum(plan["left_out"].values())
    inside = plan["members"] - plan["shards"]
    assert plan["files"] + inside == plan["images"] + plan["sidecars"] + left_out, f"counts do not add up: {plan}"
    return f"{plan['images']} images, {plan['sidecars']} sidecars, left out {plan['left_out'] or 'nothing'}"
