"""The user's run made small and harmless: a sample of the corpus and rehearsed engines, all in a scratch folder. Touches nothing else."""

import dataclasses
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.model import Config, Placement
from pipeline.corpus.discover import discover
from pipeline.corpus.formats.small_tars import corpus_of_tars, write_tars
from pipeline.corpus.formats.table import FORMATS
from pipeline.corpus.index import index_shard
from pipeline.corpus.params import CorpusParams
from pipeline.storage import Storage
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
    keys = write_tars(config.corpus, rows, Storage(str(folder / "corpus")), _TARS)
    return Scratch(folder, corpus_of_tars(config.corpus, str(folder / "corpus"), max(1, len(rows) // 6)), keys)


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
