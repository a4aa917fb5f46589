"""What a worker reads of an item: corpus rows, upstream tables, given rows, pixels. Asks no engine, writes nothing."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.config.registry import row_type
from pipeline.corpus.images import load_images
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows
from pipeline.given.params import GivenParams
from pipeline.given.unit import GivenTable
from pipeline.ledger.items import Item
from pipeline.ledger.tables import Ledger, Table
from pipeline.run.trial import Trial
from prompts.loader import Prompt
from schemas.rows import Row
from schemas.stage_json import StageJson
from stages.base import Image
from stages.engines.base import Opener
from stages.engines.pulse import beat
from stages.engines.specs import Resources, Spec
from stages.params import StageParams

_QUARANTINED = "it ended the engine twice, alone, while another image lived"


@dataclass(frozen=True)
class StageJob:
    """All that a worker needs to be born, picklable; the engine is built from its spec on the worker."""

    stage: str
    params: StageParams
    fingerprint: str
    specs: Mapping[str, Spec]
    prompts: Mapping[str, Prompt]
    resources: Resources
    workdir: str
    corpus: CorpusParams
    export_to: str | None
    given: GivenParams | None = None
    descriptions: Mapping[str, StageJson] = dataclasses.field(default_factory=dict)
    trials: Sequence[Trial] = ()


@dataclass(frozen=True)
class Task:
    """One item to carry through: a few hundred bytes a unit. `upstream`: stage -> its tables, in unit order.

    `previous` is the item's table before a retry: its rows that were ok are copied over. `label` names what an exported
    shard comes from: the fingerprint and the inputs, whatever the retry. `given` is the path of the shard's given rows. `done`
    names the units of a block whose tables for these inputs are there already. `quarantined` are places in the unit of images
    that end the engine; `parts`: the unit is asked in these, one after another; a probe asks its one part and commits nothing.
    `may_withhold`: no image of this stage has come back well yet, so a unit in which none does is not committed.
    `must_ask`: the unit was handed out twice; what comes of it is kept until the driver grants its commit.
    """

    item: Item
    inputs: str
    label: str
    upstream: Mapping[str, Sequence[Table]]
    retry: int = 0
    previous: Table | None = None
    given: str | None = None
    done: frozenset[str] = frozenset()
    quarantined: frozenset[int] = frozenset()
    parts: tuple[tuple[int, int], ...] = ()
    is_probe: bool = False
    may_withhold: bool = False
    must_ask: bool = False


@dataclass(frozen=True)
class Inputs:
    """One task's inputs, read when they are asked for."""

    job: StageJob
    task: Task
    ledger: Ledger
    problems: Mapping[int, Row] = dataclasses.field(default_factory=dict)
    part: tuple[int, int] | None = None

    def texts(self, position: int = 0) -> list[Image]:
        """The images of the unit at this position with what the stages upstream said of them, without pixels.

        `problems` stops images by their place in the item; `part`: only images in these places are there at all.
        """
        beat()
        rows = read_rows(self.ledger.workdir, self.task.item.units[position])
        upstream = [self.ledger.read(tables[position], row_type(name)) for name, tables in self.task.upstream.items()]
        lost = {row.key: row for row in self._good() if row.lost}
        images = [
            Image(row, upstream={type(rows_of_image[i]): rows_of_image[i] for rows_of_image in upstream}, previous=lost.get(row.key))
            for i, row in enumerate(rows)
        ]
        before = sum(unit.num_rows for unit in self.task.item.units[:position])
        for place in (place for place in {*self.problems, *self.task.quarantined} if 0 <= place - before < len(images)):
            image = images[place - before]
            problem = self.problems.get(place) or Row(key="", status="quarantined", reason="engine_death", detail=_QUARANTINED)
            images[place - before] = dataclasses.replace(image, problem=problem.model_copy(update={"key": image.key}))
        first, end = self.part or (before, before + len(images))
        return images[max(0, first - before) : max(0, end - before)]

    def units(self) -> Iterator[list[Image]]:
        """The images of unit after unit, without pixels."""
        return (self.texts(position) for position in range(len(self.task.item.units)))

    def settled(self) -> dict[str, Row]:
        """Rows that are not computed, by key: those that were given, and those that a retry copies over.

        One that has lost children is computed anew; it goes with its image as `previous`, so that they alone are asked about again.
        """
        return {**self._given(), **{row.key: row for row in self._good() if not row.lost}}

    def _good(self) -> list[Row]:
        """The rows that were ok before a retry."""
        if self.task.previous is None:
            return []
        return [row for row in self.ledger.read(self.task.previous, row_type(self.job.stage)) if row.status == "ok"]

    def with_pixels(self, images: Sequence[Image]) -> list[Image]:
        """The same images with pixels, where nothing upstream has stopped them."""
        wanted = _wanted(images)
        loaded = load_images(self.job.corpus, [images[i].corpus for i in wanted])
        opened = list(images)
        for i, result in zip(wanted, loaded, strict=True):
            opened[i] = dataclasses.replace(images[i], pixels=result.image, problem=result.problem)
        return opened

    async def opened(self, images: Sequence[Image], opener: Opener) -> list[Image] | None:
        """The same images opened in the engine's own processes; None where they are to be read here."""
        wanted = _wanted(images)
        rows = [images[i].corpus for i in wanted]
        answers = await opener.open(partial(load_images, self.job.corpus), rows, [row.sha256 or f"{row.path}/{row.key}" for row in rows])
        if answers is None:
            return None
        shown = list(images)
        for i, answer in zip(wanted, answers, strict=True):
            problem, image = (answer, None) if isinstance(answer, Row) else (None, answer)
            shown[i] = dataclasses.replace(images[i], problem=problem, opened=image)
        return shown

    def _given(self) -> dict[str, Row]:
        if self.job.given is None or self.task.given is None:
            return {}
        (unit,) = self.task.item.units
        table = GivenTable(self.job.stage, self.job.given, self.job.corpus, self.ledger.workdir)
        return dict(table.rows(self.task.given, unit, read_rows(self.ledger.workdir, unit), self.texts()))


def _wanted(images: Sequence[Image]) -> list[int]:
    """Which of them nothing upstream has stopped."""
    return [i for i, image in enumerate(images) if image.problem is None and all(row.status == "ok" for row in image.upstream.values())]


class BlockUnits:
    """The units of a block, read when they are come to, and anew by each iterator; the unit read last is kept for a second one."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._last: tuple[int, list[Image]] | None = None

    def __iter__(self) -> Iterator[list[Image]]:
        return (self._read(position) for position in range(len(self._inputs.task.item.units)))

    def _read(self, position: int) -> list[Image]:
        if self._last is None or self._last[0] != position:
            self._last = position, self._inputs.texts(position)
        return self._last[1]
