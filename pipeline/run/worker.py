"""The process that holds a stage's engine and carries units through it: read, ask, commit. Ray wraps it; it knows no Ray."""

import asyncio
import dataclasses
import logging
import os
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.registry import BLOCK_STAGES, DETECTOR_ROLES, STAGES, build_detector, build_generator, row_type
from pipeline.corpus.images import load_images, read_bytes
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows
from pipeline.given.params import GivenParams
from pipeline.given.unit import GivenTable
from pipeline.ledger.state import Item
from pipeline.ledger.tables import Ledger, Table
from pipeline.run.code_digest import code_digest
from pipeline.storage import Storage, remote_errors
from prompts.loader import Prompt
from schemas.rows import CorpusRow, Row
from stages.base import BlockStage, ConservationError, Image, Stage, StageContext, StageParams, skip_reason
from stages.engines.base import EngineDead
from stages.engines.specs import AnySpec, Resources
from stages.export import Export, ExportImage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageJob:
    """All that a worker needs to be born, picklable; the engine is built from its spec on the worker."""

    stage: str
    params: StageParams
    fingerprint: str
    specs: Mapping[str, AnySpec]
    prompts: Mapping[str, Prompt]
    resources: Resources
    workdir: str
    corpus: CorpusParams
    export_to: str | None
    given: GivenParams | None = None


@dataclass(frozen=True)
class Task:
    """One item to carry through: a few hundred bytes a unit. `upstream`: stage -> its tables, in unit order.

    `previous` is the item's table before a retry: its rows that were ok are copied over. `label` names what an exported
    shard comes from: the fingerprint and the inputs, whatever the retry. `given` is the path of the shard's given rows. `done`
    names the units of a block whose tables for these inputs are there already.
    """

    item: Item
    inputs: str
    label: str
    upstream: Mapping[str, Sequence[Table]]
    retry: int = 0
    previous: Table | None = None
    given: str | None = None
    done: frozenset[str] = frozenset()


@dataclass
class Done:
    """What a worker reports of an item: the tables it committed and the figures for the progress line and the run's record."""

    tables: list[Table] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    num_images: int = 0
    num_tokens: int = 0
    seconds: float = 0.0

    def add(self, table: Table, rows: Sequence[Row]) -> None:
        """Count one committed table."""
        self.tables.append(table)
        self.statuses.update(row.status for row in rows)
        self.num_images += len(rows)
        self.num_tokens += sum(map(_tokens, rows))


@dataclass(frozen=True)
class Born:
    """What a worker says of itself before it gets work."""

    code: str
    marker: bytes | None


class FolderSink:
    """Where export puts its files: a storage root."""

    def __init__(self, to: str) -> None:
        self._storage = Storage(to)

    def put(self, path: str, content: bytes | Path) -> None:
        if isinstance(content, Path):
            self._storage.write_file(path, content)
        else:
            self._storage.write(path, content)


class StageWorker:
    """One worker of one stage."""

    def __init__(self, job: StageJob) -> None:
        self.job = job
        self.workdir = Storage(job.workdir)
        self.ledger = Ledger(self.workdir)
        self._stage = None if job.stage == Export.name else STAGES[job.stage](job.params, self._context())

    def _context(self) -> StageContext:
        generators, detectors = {}, {}
        for role, spec in self.job.specs.items():
            if role in DETECTOR_ROLES:
                detectors[role] = build_detector(spec, self.job.resources)  # type: ignore[arg-type]  # config gives detectors detector specs
            else:
                generators[role] = build_generator(spec, self.job.resources)  # type: ignore[arg-type]  # and the others generator specs
        return StageContext(self.job.fingerprint, self.job.prompts, generators, detectors)

    def born(self, marker: str) -> Born:
        """What the driver checks: the code's digest, and the marker read back from the workdir as this node sees it."""
        content = self.workdir.read(marker) if self.workdir.exists(marker) else None
        return Born(code_digest(), content)

    async def carry(self, task: Task) -> Done:
        """Run one item and commit its tables. An exception of the stage becomes failed rows; a dead engine ends the process."""
        started = time.monotonic()
        done = Done()
        try:
            async for name, rows in self._results(task):
                await self._commit(task, name, rows, done)
        except _StageError as error:
            for name, rows in (await asyncio.to_thread(self._failed, task, error.detail)).items():
                await self._commit(task, name, rows, done)
        done.seconds = time.monotonic() - started
        return done

    async def _results(self, task: Task) -> AsyncIterator[tuple[str, list[Row]]]:
        """The rows of each table of the item, by the name of the item that the table is of."""
        produced = self._produce(task)
        while True:
            try:
                result = await anext(produced, None)
            except EngineDead:
                logger.exception("engine of stage %s died; ending the worker", self.job.stage)
                os._exit(1)
            except ConservationError:
                raise
            except remote_errors():
                raise  # a place that cannot be read or written is a bad run, not a bad image
            except Exception as error:
                logger.exception("stage %s failed on %s", self.job.stage, task.item.id)
                raise _StageError(traceback.format_exc(limit=-1).strip().splitlines()[-1][:300]) from error
            if result is None:
                return
            yield result

    async def _produce(self, task: Task) -> AsyncIterator[tuple[str, list[Row]]]:
        if isinstance(self._stage, BlockStage):
            rest = self._stage.process(_BlockUnits(self, task))
            for unit in task.item.units:
                rows = await asyncio.to_thread(next, rest, None)
                assert rows is not None, "process yields as many units as the block has"
                yield unit.id, rows
        elif isinstance(self._stage, Stage):
            yield task.item.id, await self._run(self._stage, task)
        else:
            yield task.item.id, await self._export(task)

    async def _commit(self, task: Task, name: str, rows: Sequence[Row], done: Done) -> None:
        """Commit one table, unless the unit of a block has one for these inputs: a committed table stays as it is."""
        num_images = sum(unit.num_rows for unit in task.item.units if name in (unit.id, task.item.id))
        if len(rows) != num_images:
            raise ConservationError(f"{self.job.stage}/{name}: {len(rows)} rows for {num_images} images")
        if name in task.done or any(table.item == name for table in done.tables):
            return
        stage, fingerprint = self.job.stage, self.job.fingerprint
        done.add(await asyncio.to_thread(self.ledger.commit, stage, fingerprint, name, task.inputs, rows, row_type(stage)), rows)

    async def close(self) -> None:
        """Let the engines end what they started."""
        if self._stage is not None:
            for generator in self._stage.context.generators.values():
                await generator.close()
            for detector in self._stage.context.detectors.values():
                await detector.close()

    async def _run(self, stage: Stage[Any, Any], task: Task) -> list[Row]:
        previous = await asyncio.to_thread(self._previous, task)
        images = await asyncio.to_thread(self._images, task, {row.key for row in previous.values()})
        fresh = iter(await stage.process([image for image in images if image.key not in previous], task.retry))
        return [previous[image.key] if image.key in previous else next(fresh) for image in images]

    def _previous(self, task: Task) -> dict[str, Row]:
        """Rows that are not computed, by key: those that were given, and those that a retry copies over."""
        given = self._given(task)
        if task.previous is None:
            return given
        rows = self.ledger.read(task.previous, row_type(self.job.stage))
        return {**given, **{row.key: row for row in rows if row.status == "ok"}}

    def _given(self, task: Task) -> dict[str, Row]:
        if self.job.given is None or task.given is None:
            return {}
        (unit,) = task.item.units
        table = GivenTable(self.job.stage, self.job.given, self.job.corpus, self.workdir)
        return dict(table.rows(task.given, unit, read_rows(self.workdir, unit), self.texts(task, 0)))

    def _images(self, task: Task, settled: set[str]) -> list[Image]:
        (unit,) = task.item.units
        images = self.texts(task, 0)
        if self._stage is None or not self._stage.needs_pixels:
            return images
        corpus_rows = read_rows(self.workdir, unit)
        wanted = [
            i for i, image in enumerate(images) if image.key not in settled and all(r.status == "ok" for r in image.upstream.values())
        ]
        loaded = load_images(self.job.corpus, [corpus_rows[i] for i in wanted])
        for i, result in zip(wanted, loaded, strict=True):
            images[i] = _with_pixels(images[i], result.image, result.problem)
        return images

    def texts(self, task: Task, position: int) -> list[Image]:
        """The images of the unit at this position with what the stages upstream said of them, without pixels."""
        upstream = self._upstream(task, position)
        rows = read_rows(self.workdir, task.item.units[position])
        return [_image(row, [said[i] for said in upstream.values()]) for i, row in enumerate(rows)]

    def _upstream(self, task: Task, position: int) -> dict[str, list[Row]]:
        """Stage -> rows of the unit at this position."""
        return {name: self.ledger.read(tables[position], row_type(name)) for name, tables in task.upstream.items()}

    async def _export(self, task: Task) -> list[Row]:
        export = Export(self.job.params)  # type: ignore[arg-type]  # the registry pairs the stage with its parameters
        assert self.job.export_to is not None
        sink = FolderSink(self.job.export_to)
        number = task.item.units[0].shard_number
        return await asyncio.to_thread(lambda: list(export.run(number, self._export_units(task), self._bytes, sink, task.label)))

    def _export_units(self, task: Task) -> Iterator[list[ExportImage]]:
        for position, unit in enumerate(task.item.units):
            upstream = self._upstream(task, position)
            corpus_rows = read_rows(self.workdir, unit)
            yield [ExportImage(row, {name: rows[i] for name, rows in upstream.items()}) for i, row in enumerate(corpus_rows)]

    def _bytes(self, rows: Sequence[CorpusRow]) -> list[bytes | None]:
        return read_bytes(self.job.corpus, rows)

    def _failed(self, task: Task, detail: str) -> dict[str, list[Row]]:
        return failed_rows(self.ledger, self.workdir, self.job.stage, task, "stage_error", detail)


class _StageError(Exception):
    """A stage raised: its item gets failed rows."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _BlockUnits:
    """The units of a block, read when they are come to, and anew by each iterator; the unit read last is kept for a second one."""

    def __init__(self, worker: StageWorker, task: Task) -> None:
        self._worker, self._task = worker, task
        self._last: tuple[int, list[Image]] | None = None

    def __iter__(self) -> Iterator[list[Image]]:
        return (self._read(position) for position in range(len(self._task.item.units)))

    def _read(self, position: int) -> list[Image]:
        if self._last is None or self._last[0] != position:
            self._last = position, self._worker.texts(self._task, position)
        return self._last[1]


def failed_rows(ledger: Ledger, workdir: Storage, stage: str, task: Task, reason: str, detail: str | None = None) -> dict[str, list[Row]]:
    """Of an item that could not be run the rows of each of its tables: failed, or skipped where something upstream is not ok."""

    def failed(key: str) -> Row:
        return row_type(stage)(key=key, status="failed", reason=reason, detail=detail)

    tables: dict[str, list[Row]] = {}
    for position, unit in enumerate(task.item.units):
        rows = tables.setdefault(unit.id if stage in BLOCK_STAGES else task.item.id, [])
        upstream = [ledger.read(tables_of[position], row_type(name)) for name, tables_of in task.upstream.items()]
        for i, corpus_row in enumerate(read_rows(workdir, unit)):
            rows.append(_stopped(stage, [table[i] for table in upstream] or [corpus_row], is_first=not upstream) or failed(corpus_row.key))
    return tables


def _stopped(stage: str, reads: Sequence[Row], *, is_first: bool) -> Row | None:
    """The row of an image that something before this stage has settled already."""
    for row in reads:
        if row.status != "ok" and is_first:
            return row_type(stage)(key=row.key, status=row.status, reason=row.reason, detail=row.detail)
        if row.status != "ok":
            return row_type(stage)(key=row.key, status="skipped", reason=skip_reason(row))
    return None


def _image(row: CorpusRow, upstream: Iterable[Row]) -> Image:
    return Image(
        key=row.key,
        width=row.width,
        height=row.height,
        alt=row.alt,
        sha256=row.sha256,
        upstream={type(upstream_row): upstream_row for upstream_row in upstream},
    )


def _with_pixels(image: Image, pixels: Any, problem: Row | None) -> Image:
    width, height = (pixels.width, pixels.height) if pixels else (image.width, image.height)
    return dataclasses.replace(image, width=width, height=height, pixels=pixels, problem=problem)


def _tokens(row: Row) -> int:
    usage = getattr(row, "usage", None)
    return usage.completion_tokens if usage is not None else 0
