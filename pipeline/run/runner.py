"""Carries pending items through the pools of workers until none is left. The loop that decides order, deaths and ends."""

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.graph import Node
from pipeline.config.model import Config
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from pipeline.run.cluster import holds_all
from pipeline.run.gate import Gate
from pipeline.run.inputs import Inputs, StageJob, Task, failed_rows
from pipeline.run.pool import Death, Pool
from pipeline.run.progress import Watcher


@dataclass
class StageFigures:
    """What one stage did in this run."""

    units: int = 0
    images: int = 0
    tokens: int = 0
    deaths: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    busy_s: float = 0.0
    wall_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "images": self.images,
            "tokens": self.tokens,
            "deaths": self.deaths,
            "statuses": dict(self.statuses),
            "busy_s": round(self.busy_s, 3),
            "wall_s": round(self.wall_s, 3),
        }


@dataclass
class _Lane:
    """One stage at work: what can be run now, what must be run alone, what is in flight."""

    node: Node
    pool: Pool
    ready: deque[Item] = field(default_factory=deque)
    suspects: deque[Item] = field(default_factory=deque)
    offered: set[str] = field(default_factory=set)
    num_in_flight: int = 0


class Runner:
    """One run of a configuration over the state of its ledger."""

    def __init__(self, config: Config, state: State, marker: tuple[str, bytes], watcher: Watcher) -> None:
        self.config, self.state, self.watcher = config, state, watcher
        self.marker = marker
        self.figures: dict[str, StageFigures] = {}
        self.gate = Gate(state, config.stages)
        self._lanes: dict[str, _Lane] = {}

    def run(self) -> None:
        """Run all that is pending.

        Raises: PoolError where it cannot go on; ConservationError for a bug in a stage; GateError at the end, where shards
            were not exported.
        """
        for node in self.state.graph:
            self.state.ledger.declare(node.description)
        for group in self._groups():
            pending = [node for node in group if self.state.has_pending(node.name) or len(group) > 1]
            if pending:
                self._drive(pending)
        self.gate.check()

    def _groups(self) -> list[list[Node]]:
        schedule = self.config.placement.schedule
        wanted = [self.config.resources(node.name) for node in self.state.graph]
        if schedule == "streaming" or (schedule == "auto" and holds_all(wanted)):
            return [self.state.graph]
        return [[node] for node in self.state.graph]

    def _drive(self, nodes: Sequence[Node]) -> None:
        import ray

        started = time.monotonic()
        self._lanes = {node.name: _Lane(node, Pool(self._job(node), *self.marker)) for node in nodes}
        try:
            for lane in self._lanes.values():
                tables = self.state.current_tables(lane.node.name)
                done = sum(len(item.units) for item, table in tables if table is not None)
                self.watcher.begin(lane.node.name, done, sum(len(item.units) for item, _ in tables))
                self.figures.setdefault(lane.node.name, StageFigures())
                for item in self.state.items(lane.node.name):
                    self._offer(lane, item)
            while self._fill():
                refs = [ref for lane in self._lanes.values() for ref in lane.pool.refs()]
                ready, _ = ray.wait(refs, num_returns=1, timeout=5)
                for ref in ready:
                    self._settle(ref)
        finally:
            for lane in self._lanes.values():
                self.figures.setdefault(lane.node.name, StageFigures()).wall_s += time.monotonic() - started
                lane.pool.close()

    def _job(self, node: Node) -> StageJob:
        return StageJob(
            stage=node.name,
            params=self.config.stages[node.name],
            fingerprint=node.fingerprint,
            specs=self.config.specs(node.name),
            prompts=node.prompts,
            resources=self.config.resources(node.name),
            workdir=self.config.workdir,
            corpus=self.config.corpus,
            export_to=self.config.export_to,
            given=self.config.given.get(node.name),
            descriptions={other.name: other.description for other in self._before(node)},
        )

    def _before(self, node: Node) -> list[Node]:
        """The stages whose tables this one reads, at first or at second hand, in run order."""
        names = {*node.description.upstream}
        for other in reversed(self.state.graph):
            if other.name in names:
                names |= {*other.description.upstream}
        return [other for other in self.state.graph if other.name in names]

    def _offer(self, lane: _Lane, item: Item) -> None:
        """Queue the item if it can be run now and has not been."""
        if item.id in lane.offered or self.state.inputs(lane.node.name, item) is None:
            return
        if self.state.is_done(lane.node.name, item):
            lane.offered.add(item.id)
            return
        if lane.node.scope == "block" and not self.state.seal(item):
            self._offer_blocks_anew()
            return
        lane.offered.add(item.id)
        if not self.gate.passes(lane.node, item):
            return
        deaths = self.state.deaths(lane.node.name, item)
        if deaths >= 2:
            self._give_up(lane, item)
        else:
            (lane.suspects if deaths else lane.ready).append(item)

    def _offer_blocks_anew(self) -> None:
        """Another driver sealed the blocks: what is to be run of them is known only now."""
        for lane in self._lanes.values():
            if lane.node.scope == "block":
                for item in self.state.items(lane.node.name):
                    self._offer(lane, item)

    def _fill(self) -> bool:
        """Give the workers what they have room for; says whether anything is left to wait for."""
        for lane in self._lanes.values():
            if lane.suspects:
                lane.pool.set_aside()
                if lane.pool.submit_alone(self._task(lane.node, lane.suspects[0])):
                    lane.suspects.popleft()
                    lane.num_in_flight += 1
            for _ in range(min(lane.pool.room(), len(lane.ready))):
                lane.pool.submit(self._task(lane.node, lane.ready.popleft()))
                lane.num_in_flight += 1
        return any(lane.num_in_flight or lane.ready or lane.suspects for lane in self._lanes.values())

    def _task(self, node: Node, item: Item) -> Task:
        retry = self.state.retry(node.name, item)
        inputs = self.state.inputs(node.name, item)
        assert inputs is not None, "only offered items are run"
        upstream = {name: self.state.tables_of(name, item.units) for name in node.reads}
        parts = [(part, self.state.table(node.name, part)) for part in self.state.tabled(node.name, item)]
        done = frozenset(part.id for part, table in parts if table is not None)
        # What a block stage says of an image depends on the others: a retry copies nothing.
        previous = self.state.table(node.name, item, retry=retry - 1) if retry and node.scope != "block" else None
        given = self.state.given_path(node.name, item)
        return Task(item, inputs, self.state.label(node.name, item), upstream, retry, previous, given, done)

    def _settle(self, ref: Any) -> None:
        lane = next((lane for lane in self._lanes.values() if ref in list(lane.pool.refs())), None)
        if lane is None:
            return
        outcome = lane.pool.settle(ref)
        if outcome is None:
            return
        if isinstance(outcome, Death):
            self._bury(lane, outcome)
            return
        task, done = outcome
        lane.num_in_flight -= 1
        for table in done.tables:
            self.state.add(table)
        if not lane.suspects:
            lane.pool.release()
        figures = self.figures[lane.node.name]
        num_units = len(task.item.units) - len(task.done)
        figures.units += num_units
        figures.images += done.num_images
        figures.tokens += done.num_tokens
        figures.busy_s += done.seconds
        figures.statuses.update(done.statuses)
        self.watcher.advance(lane.node.name, num_units, done.num_images, done.num_tokens)
        self._offer_below(lane.node, task.item)

    def _offer_below(self, node: Node, item: Item) -> None:
        for lane in self._lanes.values():
            if node.name in lane.node.reads:
                for below in {self.state.item_of(lane.node.name, unit): None for unit in item.units}:
                    self._offer(lane, below)

    def _bury(self, lane: _Lane, death: Death) -> None:
        """What was in flight when a worker died is run again: alone, if its node lives; given up after a second time."""
        figures = self.figures[lane.node.name]
        figures.deaths += 1
        lane.num_in_flight -= len(death.tasks)
        lane.pool.release()
        if not death.node_is_alive:
            lane.ready.extendleft(task.item for task in reversed(death.tasks))
            return
        for task in death.tasks:
            if self.state.note_death(lane.node.name, task.item) >= 2:
                self._give_up(lane, task.item)
            else:
                lane.suspects.append(task.item)

    def _give_up(self, lane: _Lane, item: Item) -> None:
        """Commit the item as failed: its engine died with it twice, the second time with nothing else in flight."""
        task = self._task(lane.node, item)
        node, ledger, figures = lane.node, self.state.ledger, self.figures[lane.node.name]
        for name, rows in failed_rows(Inputs(self._job(node), task, ledger), "engine_death").items():
            if name not in task.done:
                self.state.add(ledger.commit(node.name, node.fingerprint, name, task.inputs, rows, node.row_type))
                figures.images += len(rows)
                figures.statuses.update(row.status for row in rows)
                self.watcher.advance(node.name, 0, len(rows), 0)
        figures.units += len(item.units) - len(task.done)
        self.watcher.advance(node.name, len(item.units) - len(task.done), 0, 0)
        self._offer_below(node, item)
