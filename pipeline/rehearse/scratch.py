"""The user's run made small and harmless: a sample of the corpus and rehearsed engines, all in a scratch folder. Touches nothing else."""

import dataclasses
import io
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.model import Config, Placement
from pipeline.corpus.discover import discover
from pipeline.corpus.formats.table import FORMATS
from pipeline.corpus.images import read_bytes
from pipeline.corpus.index import index_shard
from pipeline.corpus.names import suffix_of
from pipeline.corpus.params import CorpusParams
from schemas.rows import CorpusRow
from stages.engines.rehearsal import RehearsalDetectorSpec, RehearsalSpec
from stages.engines.specs import GeneratorSpec, Resources, Spec

_TARS = 2


@dataclasses.dataclass(frozen=True)
class Scratch:
    """A folder with the sample; each run in it has a folder of its own. `keys` name the sampled images."""

    folder: Path
    corpus: CorpusParams
    keys: Sequence[str]

    @property
    def odd_key(self) -> str:
        """A key that is part of no other, so that a fault can be bound to its image."""
        return next((key for key in reversed(self.keys) if sum(key in other for other in self.keys) == 1), self.keys[-1])


def sampled(config: Config, folder: Path, num_images: int) -> Scratch:
    """A sample of the corpus as tars in the folder; a corpus without pictures is used where it lies.

    Raises: CorpusError where there is no corpus.
    """
    rows: list[CorpusRow] = []
    for shard in sorted(discover(config.corpus), key=lambda shard: shard.location):
        part = dataclasses.replace(shard, files=shard.files[:num_images]) if FORMATS[shard.format].grows else shard
        rows += [row for row in index_shard(config.corpus, part).rows if row.status == "ok"]
        if len(rows) >= num_images:
            break
    rows = rows[:num_images]
    if not any(row.has_pixels for row in rows):
        return Scratch(folder, config.corpus, [row.key for row in rows])
    keys = _names(rows)
    (folder / "corpus").mkdir(parents=True)
    for number in range(_TARS):
        with tarfile.open(folder / "corpus" / f"{number:05}.tar", "w") as tar:
            mine = [place for place in range(len(rows)) if place * _TARS // len(rows) == number]
            for place, data in zip(mine, read_bytes(config.corpus, [rows[place] for place in mine]), strict=True):
                _add(tar, f"{keys[place]}.{suffix_of(rows[place].member or rows[place].path) or 'jpg'}", data or b"")
                if rows[place].alt:
                    _add(tar, f"{keys[place]}.txt", str(rows[place].alt).encode())
    unread = {"format": "auto", "image_column": None, "key_column": None, "alt_column": None}
    params = {"path": str(folder / "corpus"), "unit_size": max(1, len(rows) // 6), **unread}
    return Scratch(folder, config.corpus.model_copy(update=params), keys)


def _names(rows: Sequence[CorpusRow]) -> list[str]:
    """The keys where a tar can hold them as they are, else numbers."""
    keys = [row.key.rpartition("/")[2] for row in rows]
    is_plain = len(set(keys)) == len(keys) and all(key and "." not in key and not key.startswith("_") for key in keys)
    return keys if is_plain else [f"image-{place:06}" for place in range(len(rows))]


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def rehearsed(config: Config, scratch: Scratch, run: str, engine: Mapping[str, Any], **placement: Any) -> Path:
    """The configuration of one run in the scratch folder, pickled; `engine` holds the faults of its generators."""
    folder = scratch.folder / run
    folder.mkdir()
    engines = {role: _rehearsed(spec, engine) for role, spec in config.engines.items()}
    small = {name: Resources(cpus=0.05, in_flight=1, actors=1) for name in config.stages}
    content = dataclasses.replace(
        config,
        path=folder / "config",
        workdir=str(folder / "work"),
        corpus=scratch.corpus,
        engines=engines,
        placement=Placement(schedule="streaming", stages=small, **placement),
        export_to=None if config.export_to is None else str(folder / "dataset"),
    )
    path = folder / "config.pickle"
    path.write_bytes(pickle.dumps(content))
    return path


def _rehearsed(spec: Spec, faults: Mapping[str, Any]) -> Spec:
    if isinstance(spec, GeneratorSpec):
        return RehearsalSpec(kind="rehearsal", **{"delay_s": 0.3, **faults})
    return RehearsalDetectorSpec(kind="rehearsal-detector")
