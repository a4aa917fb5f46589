"""The process that holds a stage's engine and carries units through it: read, ask, commit. Ray wraps it; it knows no Ray."""

import asyncio
import dataclasses
import logging
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.code_digest import code_digest
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows
from pipeline.given.params import GivenParams
from pipeline.given.unit import GivenTable
from pipeline.images import load_images, read_bytes
from pipeline.ledger import Ledger, Table
from pipeline.plan import Item
from pipeline.registry import DETECTOR_ROLES, UNIT_STAGES, build_detector, build_generator, row_type
from pipeline.storage import Storage, remote_errors
from prompts.loader import Prompt
from schemas.rows import CorpusRow, Row
from stages.base import ConservationError, Image, StageContext, StageParams, skip_reason
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
    shard comes from: the fingerprint and the inputs, whatever the retry. `given` is the path of the shard's given rows.
    """

    item: Item
    inputs: str
    label: str
    upstream: Mapping[str, Sequence[Table]]
    retry: int = 0
    previous: Table | None = None
    given: str | None = None


@dataclass(frozen=True)
class Done:
    """What a worker reports of an item: the committed table and the figures for the progress line and the run's record."""

    table: Table
    statuses: Mapping[str, int]
    num_images: int
    num_tokens: int
    seconds: float


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
        self._stage = None if job.stage == Export.name else UNIT_STAGES[job.stage](job.params, self._context())

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
        """Run one item and commit its table. An exception of the stage becomes failed rows; a dead engine ends the process."""
        started = time.monotonic()
        try:
            rows = await (self._export(task) if self._stage is None else self._run(task))
        except EngineDead:
            logger.exception("engine of stage %s died; ending the worker", self.job.stage)
            os._exit(1)
        except ConservationError:
            raise
        except remote_errors():
            raise  # a place that cannot be read or written is a bad run, not a bad image
        except Exception:
            logger.exception("stage %s failed on %s", self.job.stage, task.item.id)
            rows = await asyncio.to_thread(self._failed, task, traceback.format_exc(limit=-1).strip().splitlines()[-1][:300])
        self._check(task, rows)
        table = await asyncio.to_thread(
            self.ledger.commit, self.job.stage, self.job.fingerprint, task.item.id, task.inputs, rows, row_type(self.job.stage)
        )
        statuses: Counter[str] = Counter(row.status for row in rows)
        return Done(table, dict(statuses), len(rows), sum(map(_tokens, rows)), time.monotonic() - started)

    async def close(self) -> None:
        """Let the engines end what they started."""
        if self._stage is not None:
            for generator in self._stage.context.generators.values():
                await generator.close()
            for detector in self._stage.context.detectors.values():
                await detector.close()

    async def _run(self, task: Task) -> list[Row]:
        assert self._stage is not None
        previous = await asyncio.to_thread(self._previous, task)
        images = await asyncio.to_thread(self._images, task, {row.key for row in previous.values()})
        fresh = iter(await self._stage.process([image for image in images if image.key not in previous], task.retry))
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
        members, upstream = read_rows(self.workdir, unit), self._upstream(task, 0)
        images = [_image(member, [rows[i] for rows in upstream.values()]) for i, member in enumerate(members)]
        table = GivenTable(self.job.stage, self.job.given, self.job.corpus, self.workdir)
        return dict(table.rows(task.given, unit, members, images))

    def _images(self, task: Task, settled: set[str]) -> list[Image]:
        (unit,) = task.item.units
        corpus_rows = read_rows(self.workdir, unit)
        upstream = self._upstream(task, 0)
        images = [_image(row, [rows[i] for rows in upstream.values()]) for i, row in enumerate(corpus_rows)]
        if self._stage is None or not self._stage.needs_pixels:
            return images
        wanted = [
            i for i, image in enumerate(images) if image.key not in settled and all(r.status == "ok" for r in image.upstream.values())
        ]
        loaded = load_images(self.job.corpus, [corpus_rows[i] for i in wanted])
        for i, result in zip(wanted, loaded, strict=True):
            images[i] = _with_pixels(images[i], result.image, result.problem)
        return images

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

    def _failed(self, task: Task, detail: str) -> list[Row]:
        return failed_rows(self.ledger, self.workdir, self.job.stage, task, "stage_error", detail)

    def _check(self, task: Task, rows: Sequence[Row]) -> None:
        if len(rows) != task.item.num_images:
            raise ConservationError(f"{self.job.stage}/{task.item.id}: {len(rows)} rows for {task.item.num_images} images")


def failed_rows(ledger: Ledger, workdir: Storage, stage: str, task: Task, reason: str, detail: str | None = None) -> list[Row]:
    """A row an image of an item that could not be run: failed, or skipped where something upstream is not ok."""

    def failed(key: str) -> Row:
        return row_type(stage)(key=key, status="failed", reason=reason, detail=detail)

    rows: list[Row] = []
    for position, unit in enumerate(task.item.units):
        upstream = [ledger.read(tables[position], row_type(name)) for name, tables in task.upstream.items()]
        for i, corpus_row in enumerate(read_rows(workdir, unit)):
            rows.append(_stopped(stage, [table[i] for table in upstream] or [corpus_row], is_first=not upstream) or failed(corpus_row.key))
    return rows


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
