"""The process that holds a stage's engine and carries items through it: ask, commit. Ray wraps it; it knows no Ray."""

import asyncio
import logging
import os
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config.registry import STAGES, with_model_path
from pipeline.corpus.images import read_bytes
from pipeline.ledger.tables import Ledger, Table
from pipeline.run.code_digest import code_digest
from pipeline.run.inputs import BlockUnits, Inputs, StageJob, Task, failed_rows
from pipeline.storage import Storage, remote_errors
from schemas.rows import Row
from stages.base import BlockStage, ConservationError, Shard, ShardStage, Stage, StageContext
from stages.engines.base import Detector, EngineDead, Generator
from stages.engines.specs import DetectorSpec, GeneratorSpec

logger = logging.getLogger(__name__)


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
    """Where a shard stage puts its files: a storage root."""

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
        self._stage = STAGES[job.stage](job.params, self._context())

    def _context(self) -> StageContext:
        specs = {role: with_model_path(spec) for role, spec in self.job.specs.items()}
        return StageContext(
            fingerprint=self.job.fingerprint,
            prompts=self.job.prompts,
            generators={role: spec.build(self.job.resources) for role, spec in specs.items() if isinstance(spec, GeneratorSpec)},
            detectors={role: spec.build(self.job.resources) for role, spec in specs.items() if isinstance(spec, DetectorSpec)},
            read_bytes=partial(read_bytes, self.job.corpus),
            sink=None if self.job.export_to is None else FolderSink(self.job.export_to),
            descriptions=self.job.descriptions,
        )

    def born(self, marker: str) -> Born:
        """What the driver checks: the code's digest, and the marker read back from the workdir as this node sees it."""
        content = self.workdir.read(marker) if self.workdir.exists(marker) else None
        return Born(code_digest(), content)

    async def carry(self, task: Task) -> Done:
        """Run one item and commit its tables. An exception of the stage becomes failed rows; a dead engine ends the process."""
        started = time.monotonic()
        done = Done()
        inputs = Inputs(self.job, task, self.ledger)
        try:
            async for name, rows in self._results(inputs):
                await self._commit(task, name, rows, done)
        except _StageError as error:
            detail = error.detail
            for name, rows in (await asyncio.to_thread(lambda: failed_rows(inputs, "stage_error", detail))).items():
                await self._commit(task, name, rows, done)
        done.seconds = time.monotonic() - started
        return done

    async def _results(self, inputs: Inputs) -> AsyncIterator[tuple[str, list[Row]]]:
        """The rows of each table of the item, by the name of the item that the table is of."""
        produced = self._produce(inputs)
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
                logger.exception("stage %s failed on %s", self.job.stage, inputs.task.item.id)
                raise _StageError(traceback.format_exc(limit=-1).strip().splitlines()[-1][:300]) from error
            if result is None:
                return
            yield result

    async def _produce(self, inputs: Inputs) -> AsyncIterator[tuple[str, list[Row]]]:
        item, stage = inputs.task.item, self._stage
        if isinstance(stage, BlockStage):
            rest = stage.process(BlockUnits(inputs))
            for unit in item.units:
                rows = await asyncio.to_thread(next, rest, None)
                assert rows is not None, "process yields as many units as the block has"
                yield unit.id, rows
        elif isinstance(stage, ShardStage):
            shard = Shard(item.units[0].shard_number, inputs.task.label, inputs.units())
            yield item.id, await asyncio.to_thread(stage.process, shard)
        else:
            assert isinstance(stage, Stage), "a stage looks at units, blocks or shards"
            yield item.id, await self._run(stage, inputs)

    async def _run(self, stage: Stage[Any, Any], inputs: Inputs) -> list[Row]:
        settled = await asyncio.to_thread(inputs.settled)
        images = await asyncio.to_thread(inputs.texts)
        rest = [image for image in images if image.key not in settled]
        if stage.needs_pixels:
            rest = await asyncio.to_thread(inputs.with_pixels, rest)
        fresh = iter(await stage.process(rest, inputs.task.retry))
        return [settled[image.key] if image.key in settled else next(fresh) for image in images]

    async def _commit(self, task: Task, name: str, rows: Sequence[Row], done: Done) -> None:
        """Commit one table, unless the unit of a block has one for these inputs: a committed table stays as it is."""
        num_images = sum(unit.num_rows for unit in task.item.units if name in (unit.id, task.item.id))
        if len(rows) != num_images:
            raise ConservationError(f"{self.job.stage}/{name}: {len(rows)} rows for {num_images} images")
        if name in task.done or any(table.item == name for table in done.tables):
            return
        stage, fingerprint, row_type = self.job.stage, self.job.fingerprint, self._stage.row_type
        done.add(await asyncio.to_thread(self.ledger.commit, stage, fingerprint, name, task.inputs, rows, row_type), rows)

    async def close(self) -> None:
        """Let the engines end what they started."""
        context = self._stage.context
        engines: list[Generator | Detector] = [*context.generators.values(), *context.detectors.values()]
        for engine in engines:
            await engine.close()


class _StageError(Exception):
    """A stage raised: its item gets failed rows."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def _tokens(row: Row) -> int:
    usage = getattr(row, "usage", None)
    return usage.completion_tokens if usage is not None else 0
