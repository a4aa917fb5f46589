"""The sample's run with the configuration's own engines, in a scratch folder, and what it took stage by stage. Extrapolates nothing."""

import dataclasses
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline import api
from pipeline.config.graph import Node, build_graph
from pipeline.config.model import Config
from pipeline.corpus.formats.small_tars import corpus_of_tars, write_tars
from pipeline.estimate.sample import Sample
from pipeline.ledger.state import State
from pipeline.ledger.tables import Ledger, encode
from pipeline.run.gate import GateError
from pipeline.run.watch.progress import Watcher
from pipeline.storage import Storage
from schemas.rows import Row

_FOLDER = "estimate"
_MOMENT = "%Y%m%dT%H%M%S"
_ABANDONED_S = 2 * 24 * 3600.0  # what a killed estimate has left


@dataclass
class Taken:
    """What a stage took: of each image questions, tokens and a measure of its bytes, in the sample's order; of its worker the seconds.

    `seconds` run from its first question to its last table, `starting_s` before; `unit_s`: seconds an image of unit after unit.
    `bytes_a_file`, `bytes_an_image`: of its tables.
    """

    questions: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    weights: list[int] = field(default_factory=list)
    bytes_a_file: float = 0.0
    bytes_an_image: float = 0.0
    seconds: float = 0.0
    starting_s: float = 0.0
    unit_s: list[float] = field(default_factory=list)

    @property
    def prompt_share(self) -> float:
        """Of its tokens those of questions, which hold the images."""
        return self.prompt_tokens / max(1, sum(self.tokens))


@dataclass(frozen=True)
class Files:
    """What the export wrote: files of shards and files of the whole, each with their bytes; `refused` by a gate where it wrote nothing.

    `sizes`: of the sample's images as they lie in the corpus.
    """

    num_of_shards: int = 0
    bytes_of_shards: int = 0
    num_of_whole: int = 0
    bytes_of_whole: int = 0
    num_shards: int = 0
    sizes: Sequence[int] = ()
    refused: str | None = None


class Stopwatch:
    """A watcher that tells another one and keeps the times."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._born = time.monotonic()
        self.began: dict[str, float] = {}
        self.works: dict[str, float] = {}
        self.steps: dict[str, list[tuple[float, int]]] = {}

    def begin(self, stage: str, units: tuple[int, int], images: tuple[int, int]) -> None:
        self.began[stage] = time.monotonic()
        self._watcher.begin(stage, units, images)

    def advance(self, stage: str, units: int, images: int, tokens: int, failed: int) -> None:
        self.works.setdefault(stage, self.began[stage])
        self.steps.setdefault(stage, []).append((time.monotonic(), images))
        self._watcher.advance(stage, units, images, tokens, failed)

    def state(self, stage: str, words: str) -> None:
        if not words:
            self.works.setdefault(stage, time.monotonic())
        self._pass_on("state", stage, words)

    def phase(self, words: str) -> None:
        self._pass_on("phase", words)

    def finish(self, stage: str) -> None:
        self._pass_on("finish", stage)

    def note(self, words: str) -> None:
        self._watcher.note(words)

    def end(self) -> None:
        self._watcher.end()

    def _pass_on(self, name: str, *words: str) -> None:
        tell: Callable[..., Any] | None = getattr(self._watcher, name, None)
        if tell is not None:
            tell(*words)

    @property
    def setup_s(self) -> float:
        """Until the first stage could begin: trial questions and Ray's start."""
        return min(self.began.values(), default=self._born) - self._born

    def enter(self, stage: str, taken: Taken) -> None:
        """Put the stage's times down."""
        steps = self.steps.get(stage, [])
        if not steps:
            return
        first = self.works[stage]
        earlier = [times[-1][0] for name, times in self.steps.items() if name != stage and times and times[-1][0] <= first]
        taken.seconds = max(steps[-1][0] - first, 1e-3)
        taken.starting_s = max(0.0, first - max([self.began[stage], *earlier]))
        before = first
        for moment, images in steps:
            if images:
                taken.unit_s.append((moment - before) / images)
            before = moment


@contextmanager
def scratch_of(config: Config) -> Iterator[str]:
    """A folder below the workdir that no other command reads; it is removed at the end, whatever that is."""
    name = f"{time.strftime(_MOMENT)}-{uuid.uuid4().hex[:6]}"
    workdir = Storage(config.workdir)
    for left in workdir.folders(_FOLDER):
        if left < time.strftime(_MOMENT, time.localtime(time.time() - _ABANDONED_S)):
            _remove(workdir, f"{_FOLDER}/{left}")
    try:
        yield f"{config.workdir}/{_FOLDER}/{name}"
    finally:
        _remove(workdir, f"{_FOLDER}/{name}")


def run_sample(config: Config, sample: Sample, scratch: str, watch: Callable[[Sequence[str]], Watcher]) -> tuple[api.Job, State, Stopwatch]:
    """Run all stages on the sample, one after another, with one worker each.

    Raises: as api.run; what a gate has against exporting so small a set is no error.
    """
    corpus = f"{scratch}/corpus"
    write_tars(config.corpus, sample.rows, Storage(corpus), 1)
    single = {name: config.resources(name).model_copy(update={"actors": 1}) for name in config.stages}
    small = dataclasses.replace(
        config,
        workdir=f"{scratch}/work",
        corpus=corpus_of_tars(config.corpus, corpus, config.corpus.unit_size),
        placement=config.placement.model_copy(update={"schedule": "stages", "stages": single}),
        export_to=None if config.export_to is None else f"{scratch}/dataset",
    )
    job = api.Job(small, build_graph(small), Ledger(Storage(small.workdir)))
    watches: list[Stopwatch] = []

    def watched(stages: Sequence[str]) -> Watcher:
        watches.append(Stopwatch(watch(stages)))
        return watches[-1]

    try:
        api.run(job, watched)
    except GateError as error:
        watches[-1].note(f"the sample's export was refused ({error}); the estimate goes on without it")
    return job, job.state(), watches[-1]


def taken_by(node: Node, state: State, stopwatch: Stopwatch) -> Taken:
    """What a stage took of the sample."""
    taken = Taken()
    sizes = {entry.path: entry.size_bytes for entry in state.ledger.workdir.files(f"{node.name}/{node.fingerprint}")}
    num_bytes, num_files = 0, 0
    for _, table in state.current_tables(node.name):
        if table is None:
            continue
        rows = state.ledger.read(table, node.row_type)
        num_bytes, num_files = num_bytes + sizes.get(table.path, 0), num_files + 1
        for row in rows:
            usage = getattr(row, "usage", None)
            taken.questions.append(usage.attempts if usage else 0)
            taken.tokens.append(usage.prompt_tokens + usage.completion_tokens if usage else 0)
            taken.prompt_tokens += usage.prompt_tokens if usage else 0
            taken.weights.append(weight_of(row))
    taken.bytes_a_file = float(len(encode([], node.row_type)))
    taken.bytes_an_image = max(0.0, num_bytes - num_files * taken.bytes_a_file) / max(1, len(taken.weights))
    stopwatch.enter(node.name, taken)
    return taken


def weight_of(row: Row) -> int:
    """How much a row holds, in characters: what its bytes grow with."""
    return len(row.model_dump_json(exclude_defaults=True))


def files_of(job: api.Job, image_sizes: Sequence[int]) -> Files:
    """What the export wrote of the sample's images."""
    if job.config.export_to is None:
        return Files()
    entries = [entry for entry in Storage(job.config.export_to).walk() if not entry.path.startswith(".")]
    of_shards = [entry for entry in entries if entry.path.rpartition("/")[2][:5].isdecimal()]
    if not of_shards:
        return Files(refused="the sample's blind audit fails, which says little of a set so small")
    whole = [entry for entry in entries if entry not in of_shards]
    num_shards = sum(entry.path.endswith(".tar") for entry in of_shards)
    sizes = [sum(entry.size_bytes for entry in part) for part in (of_shards, whole)]
    return Files(len(of_shards), sizes[0], len(whole), sizes[1], num_shards, image_sizes)


def _remove(workdir: Storage, folder: str) -> None:
    for entry in workdir.walk(folder):
        workdir.delete(entry.path)
    if workdir.local_root is not None:
        shutil.rmtree(workdir.local_root / folder, ignore_errors=True)
        with suppress(OSError):  # another estimate's lies there
            (workdir.local_root / folder).parent.rmdir()
