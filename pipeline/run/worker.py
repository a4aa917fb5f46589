"""The process that holds a stage's engine and carries items through it: ask, commit. Ray wraps it; it knows no Ray."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config.registry import STAGES, with_model_path
from pipeline.corpus.images import read_bytes
from pipeline.ledger.tables import Ledger, Table
from pipeline.masked import masked
from pipeline.run.blame.asking import Findings, UnitAsker, blamed, problem_of, raise_unless_an_images
from pipeline.run.budget import Budget
from pipeline.run.code_digest import code_digest
from pipeline.run.inputs import BlockUnits, Inputs, StageJob, Task
from pipeline.run.trial import ask_at_hand
from pipeline.storage import Storage
from schemas.check import Check
from schemas.rows import Row
from stages.base import AnyStage, BlockStage, ConservationError, Shard, ShardStage, Stage, StageContext
from stages.engines.base import Detector, EngineDead, Generator, ServerAway
from stages.engines.pulse import Phase, Pulse, enter, follow
from stages.engines.specs import DetectorSpec, GeneratorSpec

logger = logging.getLogger(__name__)


@dataclass
class Done:
    """What a worker reports of an item: the tables it committed and the figures for the progress line and the run's record.

    `findings`: what came of the images that the stage asked an engine about. `is_withheld`: all of them failed, and nothing was
    committed, since it is not known yet whether this stage can do any good. `away`: the engine's server did not answer; nothing
    was done. `is_held`: all is done but the commit, which the driver is to grant. `is_dropped`: given up, as the driver asked.
    `reasons` counts why images are not ok.
    """

    findings: Findings = field(default_factory=Findings)
    is_withheld: bool = False
    away: str | None = None
    is_held: bool = False
    is_dropped: bool = False
    reasons: Counter[str] = field(default_factory=Counter)
    tables: list[Table] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    num_images: int = 0
    num_tokens: int = 0
    seconds: float = 0.0

    def add(self, table: Table, rows: Sequence[Row]) -> None:
        """Count one committed table."""
        self.tables.append(table)
        self.statuses.update(row.status for row in rows)
        self.reasons.update(row.reason for row in rows if row.reason is not None and row.status != "ok")
        self.num_images += len(rows)
        self.num_tokens += sum(map(_tokens, rows))


@dataclass(frozen=True)
class Born:
    """What a worker says of itself before it gets work. `engine_death`: its engine ended at the trial question, so that it is of no use."""

    code: str
    marker: bytes | None
    failed: tuple[Check, ...] = ()
    engine_death: str | None = None


class FolderSink:
    """Where a shard stage puts its files: a storage root."""

    def __init__(self, to: str) -> None:
        self._storage = Storage(to)

    def put(self, path: str, content: bytes | Path) -> None:
        if isinstance(content, Path):
            self._storage.write_file(path, content)
        else:
            self._storage.write(path, content)


class NoSink:
    """Where a shard stage puts files that are not kept."""

    def put(self, path: str, content: bytes | Path) -> None:
        if isinstance(content, Path):
            content.unlink()


class StageWorker:
    """One worker of one stage."""

    def __init__(self, job: StageJob) -> None:
        self.job = job
        self.workdir = Storage(job.workdir)
        self.ledger = Ledger(self.workdir)
        self._stage = STAGES[job.stage](job.params, self._context())
        self._budget = Budget()
        if job.resources.renderers and self._stage.opener is None and self._stage.needs_pixels:
            logger.warning("placement.stages.%s.renderers: its engine has no use for them; images are read in the worker", job.stage)
        self._pulses: dict[str, Pulse] = {}
        self._at_work: dict[str, asyncio.Task[Any]] = {}
        self._held: set[str] = set()
        self._kept: dict[str, tuple[Task, Done, list[tuple[str, list[Row]]]]] = {}

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

    async def born(self, marker: str) -> Born:
        """What the driver checks: the code's digest, the marker read back from the workdir as this node sees it, and trial questions."""
        content = self.workdir.read(marker) if self.workdir.exists(marker) else None
        context = self._stage.context
        try:
            checks = await ask_at_hand(self.job.specs, context.generators, context.detectors, self.job.trials)
        except EngineDead as error:
            logger.exception("the engine of stage %s died at its trial question", self.job.stage)
            return Born(code_digest(), content, engine_death=str(error))
        return Born(code_digest(), content, tuple(check for check in checks if not check.is_ok))

    async def carry(self, task: Task) -> Done:
        """Run one item and commit its tables, unless it is a probe. A dead engine ends the process; a server that is away is reported."""
        started, name = time.monotonic(), task.item.id
        done = Done()
        self._pulses[name] = follow()
        at_work = asyncio.current_task()
        assert at_work is not None, "Ray runs it as a task"
        self._at_work[name] = at_work
        try:
            await self._carry(task, done)
        except asyncio.CancelledError:
            at_work.uncancel()
            done = Done(is_dropped=True)
        except EngineDead:
            logger.exception("engine of stage %s died; ending the worker", self.job.stage)
            os._exit(1)
        except ServerAway as error:
            logger.warning("stage %s: %s", self.job.stage, error)
            done.away = str(error)
        finally:
            self._held.discard(name)
            for kept in (self._pulses, self._at_work):
                kept.pop(name, None)
        done.seconds = time.monotonic() - started
        return done

    async def _carry(self, task: Task, done: Done) -> None:
        waiting: list[tuple[str, list[Row]]] = []
        async for name, rows in self._produce(Inputs(self.job, task, self.ledger), done):
            if task.is_probe or done.is_withheld:
                continue
            if task.must_ask or task.item.id in self._held:
                waiting.append((name, rows))
                continue
            self._at_work.pop(task.item.id, None)  # from here on it is not given up
            await self._commit(task, name, rows, done)
        if waiting:
            done.is_held = True
            self._kept[task.item.id] = task, done, waiting

    async def pulses(self) -> dict[str, tuple[Phase, float]]:
        """Of each item at work what is being done, and the seconds since its last sign of life."""
        return {name: (pulse.phase, pulse.silent_s()) for name, pulse in self._pulses.items()}

    async def hold(self, name: str) -> bool:
        """Commit the item only where the driver grants it, since another worker is to do it too. False: it is too late for that."""
        if name in self._at_work:
            self._held.add(name)
        return name in self._held

    async def grant(self, name: str) -> Done:
        """Commit the item that was kept."""
        task, done, tables = self._kept.pop(name)
        done.is_held = False
        for table, rows in tables:
            await self._commit(task, table, rows, done)
        return done

    async def drop(self, name: str) -> None:
        """Give the item up, unless its commit has begun."""
        self._kept.pop(name, None)
        at_work = self._at_work.pop(name, None)
        if at_work is not None:
            at_work.cancel()

    async def _produce(self, inputs: Inputs, done: Done) -> AsyncIterator[tuple[str, list[Row]]]:
        """The rows of each table of the item, by the name of the item that the table is of."""
        item, stage = inputs.task.item, self._stage
        if isinstance(stage, Stage):
            asker = UnitAsker(stage, inputs, self._budget)
            rows = await asker.rows()
            done.findings = findings = asker.findings
            done.is_withheld = inputs.task.may_withhold and bool(findings.num_asked) and not findings.num_good
            yield item.id, rows
            return
        problems: Mapping[int, Row] = {}
        for _ in range(2):  # whole, then without the images that it raises on
            try:
                async for name, rows in self._whole(stage, replace(inputs, problems=problems)):
                    yield name, rows
                return
            except Exception as error:  # noqa: BLE001  # looked at below
                raise_unless_an_images(error)
                every = dict.fromkeys(range(item.num_images), problem_of("", error))
                problems = every if problems else await asyncio.to_thread(blamed, item.num_images, partial(self._try_part, inputs), error)
        async for name, rows in self._settled(replace(inputs, problems=every)):
            yield name, rows

    async def _settled(self, inputs: Inputs) -> AsyncIterator[tuple[str, list[Row]]]:
        """Of an item whose images are all stopped the rows of each of its tables; the stage is not run."""
        tables: dict[str, list[Row]] = {}
        for position, unit in enumerate(inputs.task.item.units):
            images = await asyncio.to_thread(inputs.texts, position)
            rows = tables.setdefault(inputs.task.item.table_of(unit, self._stage.scope), [])
            rows += [row for row in map(self._stage.settled, images) if row is not None]
        for name, rows in tables.items():
            yield name, rows

    async def _whole(self, stage: AnyStage[Any, Any], inputs: Inputs) -> AsyncIterator[tuple[str, list[Row]]]:
        item = inputs.task.item
        enter("working")
        if isinstance(stage, BlockStage):
            rest = stage.process(BlockUnits(inputs))
            for unit in item.units:
                rows = await asyncio.to_thread(next, rest, None)
                assert rows is not None, "process yields as many units as the block has"
                yield unit.id, rows
        else:
            assert isinstance(stage, ShardStage), "a stage looks at units, blocks or shards"
            shard = Shard(item.units[0].shard_number, inputs.task.label, inputs.units())
            yield item.id, await asyncio.to_thread(stage.process, shard)

    def _try_part(self, inputs: Inputs, part: tuple[int, int]) -> None:
        """Run the stage on these images of a block or shard, and keep nothing."""
        context = replace(self._stage.context, sink=NoSink())
        stage, some = type(self._stage)(self.job.params, context), replace(inputs, part=part)
        if isinstance(stage, BlockStage):
            for _ in stage.process(BlockUnits(some)):
                pass
        elif isinstance(stage, ShardStage):
            stage.process(Shard(inputs.task.item.units[0].shard_number, inputs.task.label, some.units()))

    async def _commit(self, task: Task, name: str, rows: Sequence[Row], done: Done) -> None:
        """Commit one table, unless the unit of a block has one for these inputs: a committed table stays as it is."""
        num_images = sum(unit.num_rows for unit in task.item.units if name in (unit.id, task.item.id))
        if len(rows) != num_images:
            raise ConservationError(f"{self.job.stage}/{name}: {len(rows)} rows for {num_images} images")
        if name in task.done or any(table.item == name for table in done.tables):
            return
        enter("writing")
        rows = [row.model_copy(update={"detail": masked(row.detail)}) if row.detail else row for row in rows]
        stage, fingerprint, row_type = self.job.stage, self.job.fingerprint, self._stage.row_type
        done.add(await asyncio.to_thread(self.ledger.commit, stage, fingerprint, name, task.inputs, rows, row_type), rows)

    async def close(self) -> None:
        """Let the engines end what they started."""
        context = self._stage.context
        engines: list[Generator | Detector] = [*context.generators.values(), *context.detectors.values()]
        for engine in engines:
            await engine.close()


def _tokens(row: Row) -> int:
    usage = getattr(row, "usage", None)
    return usage.completion_tokens if usage is not None else 0
