"""Carries pending items through the pools of workers until none is left. The loop that decides order, deaths and ends."""

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.graph import Node
from pipeline.config.model import Config
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from pipeline.masked import masked_content
from pipeline.run.blame.patience import Patience
from pipeline.run.blame.suspects import Ask, Hopeless, Indivisible, Probe, Search, Whole, Witness
from pipeline.run.cluster.holdings import RayEnded, holds_all, joined_nodes
from pipeline.run.gate import Gate
from pipeline.run.inputs import StageJob, Task
from pipeline.run.lane import Lane, Proof, StageFigures, StageStopped, Suspect
from pipeline.run.pool import Death, Pool, close_all
from pipeline.run.trial import Trial
from pipeline.run.watch.keeper import Keeper, is_to_be_looked_for_alone
from pipeline.run.watch.metrics import Meters
from pipeline.run.watch.progress import AnyWatcher, Watcher
from pipeline.run.watch.watchdog import Watchdog
from pipeline.run.worker import Done
from schemas.stage_json import StageJson

_WAIT_S = 2.0
_HURRIED_CLOSE_S, _CLOSE_S = 3.0, 30.0


class Runner:
    """One run of a configuration over the state of its ledger."""

    def __init__(
        self, config: Config, state: State, marker: tuple[str, bytes], watcher: Watcher | AnyWatcher, trials: Sequence[Trial] = ()
    ) -> None:
        self.config, self.state, self.watcher = config, state, watcher if isinstance(watcher, AnyWatcher) else AnyWatcher(watcher)
        self.marker, self.trials = marker, trials
        self.figures: dict[str, StageFigures] = {}
        self._meters = Meters(config.workdir)
        self.gate = Gate(state, config.stages)
        self._lanes: dict[str, Lane] = {}

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
        if schedule == "streaming" or (schedule == "auto" and holds_all(wanted, joined_nodes())):
            return [self.state.graph]
        return [[node] for node in self.state.graph]

    def _drive(self, nodes: Sequence[Node]) -> None:
        close_s = _CLOSE_S
        self._lanes = {node.name: self._lane(node) for node in nodes}
        try:
            for lane in self._lanes.values():
                self._begin(lane)
            keeper = Keeper(self.config, self.watcher, self._lanes)
            keeper.tick()
            while self._fill():
                self._wait()
                keeper.tick()
        except (KeyboardInterrupt, RayEnded):
            close_s = _HURRIED_CLOSE_S
            raise
        finally:
            for lane in self._lanes.values():
                self.figures.setdefault(lane.node.name, StageFigures()).wall_s += lane.wall_s
            close_all([lane.pool for lane in self._lanes.values()], close_s)

    def _lane(self, node: Node) -> Lane:
        proof = Proof(node.name, node.scope != "unit" or self.state.has_ok(node.name))
        placement = self.config.placement
        pool, patience = Pool(self._job(node), *self.marker), Patience(node.name, placement.patience_s)
        return Lane(node, pool, proof, patience, watchdog=Watchdog(placement.watchdog_s))

    def _begin(self, lane: Lane) -> None:
        tables = self.state.current_tables(lane.node.name)
        done = [item for item, table in tables if table is not None]
        units, images = sum(len(item.units) for item, _ in tables), sum(item.num_images for item, _ in tables)
        done_units, done_images = sum(len(item.units) for item in done), sum(item.num_images for item in done)
        self.watcher.begin(lane.node.name, (done_units, units), (done_images, images))
        self.figures.setdefault(lane.node.name, StageFigures())
        for item in self.state.items(lane.node.name):
            self._offer(lane, item)

    def _wait(self) -> None:
        """Until something has come back, or a server may be asked again."""
        import ray

        refs = [ref for lane in self._lanes.values() for ref in lane.pool.refs()]
        now = time.monotonic()
        pauses = [lane.patience.until - now for lane in self._lanes.values() if lane.patience.since is not None]
        timeout_s = max(0.05, min([_WAIT_S, *(pause for pause in pauses if pause > 0)]))
        if not refs:
            time.sleep(timeout_s)
            return
        ready, _ = ray.wait(refs, num_returns=1, timeout=timeout_s)
        for ref in ready:
            self._settle(ref)

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
            descriptions={other.name: _without_secrets(other.description) for other in self._before(node)},
            trials=[trial for trial in self.trials if trial.stage == node.name],
        )

    def _before(self, node: Node) -> list[Node]:
        """The stages whose tables this one reads, at first or at second hand, in run order."""
        names = {*node.description.upstream}
        for other in reversed(self.state.graph):
            if other.name in names:
                names |= {*other.description.upstream}
        return [other for other in self.state.graph if other.name in names]

    def _offer(self, lane: Lane, item: Item) -> None:
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
        if deaths:
            self._suspect(lane, item)
        else:
            lane.ready.append(item)

    def _offer_blocks_anew(self) -> None:
        """Another driver sealed the blocks: what is to be run of them is known only now."""
        for lane in self._lanes.values():
            if lane.node.scope == "block":
                for item in self.state.items(lane.node.name):
                    self._offer(lane, item)

    def _fill(self) -> bool:
        """Give the workers what they have room for; says whether anything is left to wait for."""
        for lane in self._lanes.values():
            limit = lane.patience.num_to_ask(time.monotonic(), lane.num_in_flight)
            if lane.suspects and limit != 0:
                lane.pool.set_aside()
                if lane.pool.is_alone_free():
                    self._ask_suspect(lane)
                    limit = None if limit is None else limit - 1
            room = min(lane.pool.room(), len(lane.ready))
            for _ in range(room if limit is None else min(room, limit)):
                item = lane.ready.popleft()
                lane.pool.submit(self._task(lane, item), [lane.avoid.pop(item.id, None)])
        if not any(lane.is_at_work for lane in self._lanes.values()):
            return self._run_withheld() and self._fill()
        return True

    def _run_withheld(self) -> bool:
        """Where a stage has nothing left but units that failed whole and were withheld, run them once more and commit what comes."""
        for lane in self._lanes.values():
            withheld = lane.proof.withheld
            if withheld:
                lane.ready.extend(lane.proof.settle())
                return True
        return False

    def _suspect(self, lane: Lane, item: Item) -> None:
        size, marks = item.num_images, self.state.deaths(lane.node.name, item)
        lane.suspects.append(Suspect(item, Search.resumed(size, marks) if lane.node.scope == "unit" else Indivisible()))

    def _ask_suspect(self, lane: Lane) -> None:
        """Send what the search in the first suspect asks for to the worker that was set aside.

        Raises: StageStopped where the engine ends whatever it is asked.
        """
        suspect = lane.suspects.popleft()
        ask = suspect.search.next()
        task = self._asked(lane, suspect, ask)
        while task is None:
            suspect.search.no_witness()
            ask = suspect.search.next()
            task = self._asked(lane, suspect, ask)
        lane.alone = suspect, ask, task
        lane.pool.submit_alone(task)

    def _asked(self, lane: Lane, suspect: Suspect, ask: Ask) -> Task | None:
        """The task of what a search asks; None: there is no witness."""
        if isinstance(ask, Hopeless):
            deaths = self.figures[lane.node.name].deaths
            raise StageStopped(
                f"{lane.node.name} was stopped: its worker ended {deaths} times, at last with whatever it was given alone, so that no "
                f"image is to blame; its log has the cause (memory, driver, engine). Nothing of {suspect.item.id} is committed"
            )
        quarantined = suspect.search.quarantined
        if isinstance(ask, Probe):
            return dataclasses.replace(self._task(lane, suspect.item), quarantined=quarantined, parts=(ask.part,), is_probe=True)
        if isinstance(ask, Whole):
            parts = ask.parts if len(ask.parts) != 1 else ()
            return dataclasses.replace(self._task(lane, suspect.item), quarantined=quarantined, parts=parts)
        if suspect.witnesses is None:
            suspect.witnesses = self._witnesses(lane, suspect)
        item, place = next((witness for witness in suspect.witnesses if witness[0].id != suspect.dead_witness), (None, 0))
        if item is None:
            return None
        # It is really asked, though a retry would copy its row.
        return dataclasses.replace(self._task(lane, item), previous=None, parts=((place, place + 1),), is_probe=True)

    def _witnesses(self, lane: Lane, suspect: Suspect) -> Iterator[tuple[Item, int]]:
        """Images that have come back well, before a retry too: those of other units first; else such as wait to be asked."""
        others = (item for item in self.state.items(lane.node.name) if item.id != suspect.item.id)
        for item in itertools.chain(others, (suspect.item,)):
            place = self._well_at(lane.node, item)
            if place is not None:
                yield item, place
        for item in [*lane.ready, *(other.item for other in lane.suspects)]:
            if item.id != suspect.item.id:
                yield from ((item, place) for place in range(item.num_images))

    def _well_at(self, node: Node, item: Item) -> int | None:
        """The place of an image of the unit that came back well, now or before it was asked for again."""
        for retry in range(self.state.retry(node.name, item), -1, -1):
            table = self.state.table(node.name, item, retry=retry)
            if table is not None and self.state.ledger.summary(table).statuses.get("ok"):
                rows = self.state.ledger.read(table, node.row_type)
                return next(place for place, row in enumerate(rows) if row.status == "ok")
        return None

    def _task(self, lane: Lane, item: Item) -> Task:
        task = self.task(lane.node, item)
        return task if lane.proof.is_settled else dataclasses.replace(task, may_withhold=True)

    def task(self, node: Node, item: Item) -> Task:
        """What a worker is told of an item."""
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
        member = next((each for each in lane.pool.members if ref in each.tasks), None)
        outcome = lane.pool.settle(ref)
        if outcome is None:
            return
        if isinstance(outcome, Death):
            self._bury(lane, outcome)
            return
        task, done = outcome
        assert member is not None, "a task came back"
        verdict = lane.doubles.settle(ref, member, task, done)
        if verdict == "nothing":
            return
        suspected = lane.take_alone(task)
        if verdict == "again" or done.is_dropped:
            lane.ready.appendleft(task.item)
            return
        if done.away is not None:
            self._server_is_away(lane, task, done.away, requeue=suspected is None)
            return
        lane.patience.back()
        if done.findings.num_good and not lane.proof.is_settled:
            lane.ready.extend(lane.proof.settle())
        if suspected is None:
            self._finish(lane, task, done)
            return
        suspect, ask = suspected
        suspect.search.lived(ask, done.findings.num_asked)
        if isinstance(ask, Whole):
            lane.suspects.popleft()
            self._finish(lane, task, done)

    def _server_is_away(self, lane: Lane, task: Task, reason: str, *, requeue: bool) -> None:
        if requeue:
            lane.ready.appendleft(task.item)
        words = lane.patience.away(time.monotonic(), reason)
        if words is not None:
            self.watcher.note(words)

    def _finish(self, lane: Lane, task: Task, done: Done) -> None:
        """Enter what an item's run has committed."""
        if not lane.suspects:
            lane.pool.release()
        figures = self.figures[lane.node.name]
        figures.busy_s += done.seconds
        figures.asks += 1
        lane.mean_s = figures.busy_s / figures.asks
        if done.is_withheld:
            lane.proof.withhold(task.item, done.findings)
            return
        for table in done.tables:
            self.state.add(table)
        num_units = len(task.item.units) - len(task.done)
        figures.units += num_units
        figures.images += done.num_images
        figures.tokens += done.num_tokens
        figures.asked += done.findings.num_asked
        figures.good += done.findings.num_good
        figures.statuses.update(done.statuses)
        figures.reasons.update(done.reasons)
        self._meters.finished(lane.node.name, num_units, done)
        self.watcher.advance(lane.node.name, num_units, done.num_images, done.num_tokens, done.statuses["failed"])
        self._offer_below(lane.node, task.item)

    def _offer_below(self, node: Node, item: Item) -> None:
        for lane in self._lanes.values():
            if node.name in lane.node.reads:
                for below in {self.state.item_of(lane.node.name, unit): None for unit in item.units}:
                    self._offer(lane, below)

    def _bury(self, lane: Lane, death: Death) -> None:
        """What was in flight when a worker died is suspect, if its node lives, and is run again alone; else it is nobody's fault."""
        figures = self.figures[lane.node.name]
        figures.deaths += 1
        self._meters.died(lane.node.name)
        lane.pool.release()
        for task in reversed(lane.doubles.lost(death.member, death.tasks)):
            suspected = lane.take_alone(task)
            if suspected is not None:
                if death.node_is_alive:
                    self._died_alone(lane, task, *suspected)
            elif not death.node_is_alive or (death.was_silent and not is_to_be_looked_for_alone(lane, task.item.id)):
                lane.ready.appendleft(task.item)
            else:
                self.state.note_death(lane.node.name, task.item)
                self._suspect(lane, task.item)

    def _died_alone(self, lane: Lane, task: Task, suspect: Suspect, ask: Ask) -> None:
        if isinstance(ask, Witness):
            suspect.dead_witness = task.item.id
        mark = suspect.search.died(ask)
        if mark is not None:
            self.state.note_death(lane.node.name, suspect.item, mark)


def _without_secrets(description: StageJson) -> StageJson:
    return StageJson.model_validate(masked_content(description.as_json()))
