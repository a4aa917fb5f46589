"""What `plan` and `run` do, as functions: open a configuration, list its state, run what is pending. Prints nothing."""

import dataclasses
import json
import time
import typing
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.apart import check_links, places_written
from pipeline.config.graph import Node, build_graph
from pipeline.config.model import Config, ConfigError, Placement
from pipeline.config.read import load_config
from pipeline.config.registry import STAGES
from pipeline.corpus.listed.account import Account
from pipeline.corpus.update import Looked, MapShards, look_at, thread_map, update_corpus
from pipeline.given.matching import Matched, match_given
from pipeline.given.source import source_links
from pipeline.ledger.presence import present
from pipeline.ledger.state import State
from pipeline.ledger.status import Loss, StageStatus, count_statuses
from pipeline.ledger.tables import Ledger
from pipeline.run.cluster.join import connected
from pipeline.run.dataset import Written, ask_for_lost_shards, write_dataset_files, written
from pipeline.run.export_place import take_export_place
from pipeline.run.lane import StageFigures
from pipeline.run.preflight import check_cluster, check_config
from pipeline.run.runner import Runner
from pipeline.run.trial import Trial, ask_remote, picture_of, stand_in, trials_of
from pipeline.run.watch.progress import AnyWatcher, Silent, Watcher
from pipeline.run.watch.record import machine, versions
from pipeline.storage import Storage, StorageError, remote_errors
from schemas.check import Check
from stages.engines.base import ErrorKind

# Why an image fails that an engine was asked about; other reasons are the corpus's or the given rows'.
ASKED_REASONS = frozenset({*typing.get_args(ErrorKind), "stage_error"})


@dataclass(frozen=True)
class Job:
    """A configuration with its graph and its ledger; `stage_limit` ends the graph at a stage."""

    config: Config
    graph: list[Node]
    ledger: Ledger

    def look(self) -> Looked:
        """A listing of the corpus and of what is known of it. Writes nothing.

        Raises: CorpusError where there is no corpus; ConfigError where a link in it or in given rows leads into what is written.
        """
        with self._named():
            written = places_written(self.config)
            looked = look_at(self.config.corpus, self.ledger.workdir, lambda links: check_links("corpus.path", links, written))
            for name, given in self.config.given.items():
                check_links(f"given.{name}.path", source_links(name, given.path), written)
            return looked

    def state(self, map_shards: MapShards = thread_map, looked: Looked | None = None) -> State:
        """The ledger's listing over the corpus as it is now; indexes what is new. `looked`: what `look` just saw.

        Raises: as `look`; StorageError where the workdir cannot be written.
        """
        looked = looked or self.look()
        with self._named():
            indexed = update_corpus(self.config.corpus, self.ledger.workdir, map_shards, looked)
        given = {
            node.name: match_given(node.name, self.config.given[node.name], indexed.units, self.ledger.workdir)
            for node in self.graph
            if node.name in self.config.given
        }
        return State(self.graph, indexed.units, self.ledger, given, self.config.corpus.block_images, indexed.account)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """A place that cannot be read or written is told by its name."""
        try:
            yield
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise StorageError(f"{error.filename or self.config.workdir} cannot be read or written: {error.strerror}") from error


@dataclass(frozen=True)
class Outcome:
    """What a run did, and what there is now: statuses with an example of each loss, and the data set. `num_failed`: rows, of any stage."""

    figures: dict[str, StageFigures]
    num_images: int
    num_failed: int
    seconds: float
    run_id: str | None
    logs: str | None
    given: Sequence[Matched] = ()
    statuses: Sequence[StageStatus] = ()
    dataset: Written | None = None
    account: Account = field(default_factory=Account)
    stale: Sequence[str] = ()

    @property
    def barren(self) -> dict[str, tuple[str, Loss]]:
        """The stages that looked at images of which none came back well: the commonest reason, and how it was lost."""
        commonest = {}
        for stage in self.statuses:
            asked = {reason: loss for reason, loss in stage.losses.items() if loss.status == "failed" and reason in ASKED_REASONS}
            if asked and not stage.images.get("ok") and not stage.images.get("filtered"):
                commonest[stage.name] = max(asked.items(), key=lambda each: each[1].count)
        return commonest


def open_job(path: Any, until: str | None = None, *, allow_unverified: bool = False) -> Job:
    """Read a configuration; `until` drops the stages after that one; `allow_unverified` sets that option wherever a stage has it.

    Raises: ConfigError, StorageError.
    """
    config = load_config(path, allow_unverified=allow_unverified)
    graph = build_graph(config)
    if until is not None:
        if until not in config.stages:
            raise ConfigError(f"{path}: there is no stage {until} among {', '.join(config.stages)}")
        graph = _needed_for(graph, until)
    return Job(config, graph, Ledger(Storage(config.workdir)))


def exporting_stage() -> str:
    """The name of the stage that writes the data set."""
    return next(name for name, stage in STAGES.items() if stage.scope == "shard")


def placed(job: Job, address: str | None, schedule: str | None) -> Job:
    """The job with another address or schedule.

    Raises: ConfigError where the schedule is unknown.
    """
    schedules = typing.get_args(Placement.model_fields["schedule"].annotation)
    if schedule is not None and schedule not in schedules:
        raise ConfigError(f"--schedule {schedule}: must be one of {', '.join(schedules)}")
    given = {name: value for name, value in (("address", address), ("schedule", schedule)) if value is not None}
    placement = job.config.placement.model_copy(update=given)
    return dataclasses.replace(job, config=dataclasses.replace(job.config, placement=placement))


def _needed_for(graph: Sequence[Node], last: str) -> list[Node]:
    wanted = {last}
    for node in reversed(graph):
        if node.name in wanted:
            wanted |= set(node.reads)
    return [node for node in graph if node.name in wanted]


def failures(checks: Iterator[Check]) -> list[Check]:
    """The checks that are not well."""
    return [check for check in checks if not check.is_ok]


def run(job: Job, watch: Callable[[Sequence[str]], Watcher] | None = None) -> Outcome:
    """Run all that is pending and write the data set's manifest and card. Nothing pending: nothing is started.

    Raises: ConfigError where the preflight refuses; PoolError, ConservationError.
    """
    started = time.monotonic()
    looked = job.look()
    refuse(failures(check_config(job.config, job.graph)))
    with present(job.ledger.workdir, {node.name: node.fingerprint for node in job.graph}):
        return _run_present(job, looked, watch, started)


def _run_present(job: Job, looked: Looked, watch: Callable[[Sequence[str]], Watcher] | None, started: float) -> Outcome:
    state = job.state(looked=looked)
    ask_for_lost_shards(job.config, state)
    take_export_place(job.config, state)
    if not any(state.has_pending(node.name) for node in job.graph):
        stale = write_dataset_files(job.config, state)
        return _outcome(job, state, {}, started, None, None, stale)
    watcher = AnyWatcher(watch([node.name for node in job.graph]) if watch else Silent())
    try:
        trials = _ask_once(job, state, watcher.note)
        address = job.config.placement.address
        watcher.phase("starting Ray on this machine" if address is None else f"joining the Ray at {address}")
        with connected(address, watcher.note) as logs:
            if not job.config.placement.wait_for_nodes:
                refuse(failures(check_cluster(job.config, job.graph)))
            return _run_connected(job, state, trials, watcher, started, logs)
    finally:
        watcher.end()


def _ask_once(job: Job, state: State, note: Callable[[str], None]) -> list[Trial]:
    """One trial question to each server, of the stages that have something to do; returns those for engines in workers.

    Raises: ConfigError where a server will answer no question of this kind; PromptError where a prompt does not render; StayedAway.
    """
    pending = [node for node in job.graph if state.has_pending(node.name)]
    picture = picture_of(job.config, state)
    trials = trials_of(job.config, pending, picture or stand_in(None))
    refuse([check for check in ask_remote(job.config, trials, note) if not check.is_ok])
    return trials_of(job.config, pending, stand_in(picture))


def _run_connected(job: Job, state: State, trials: Sequence[Trial], watcher: AnyWatcher, started: float, logs: str) -> Outcome:
    run_id = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}"
    marker, content = f"runs/{run_id}.marker", run_id.encode()
    job.ledger.workdir.write(marker, content)
    runner = Runner(job.config, state, (marker, content), watcher, trials)
    try:
        runner.run()
        stale = write_dataset_files(job.config, state)
    except BaseException:
        with suppress(*remote_errors()):  # the first failure is told, not that of what is left behind
            _leave(job, runner, marker, started)
        raise
    _leave(job, runner, marker, started)
    return _outcome(job, state, runner.figures, started, run_id, logs, stale)


def _leave(job: Job, runner: Runner, marker: str, started: float) -> None:
    runner.watcher.end()
    job.ledger.workdir.delete(marker)
    _write_record(job, runner.figures, marker.removeprefix("runs/").removesuffix(".marker"), time.monotonic() - started)


def refuse(failed: list[Check]) -> None:
    """Raises: ConfigError with the first check that is not well."""
    if failed:
        first = failed[0]
        raise ConfigError(f"{first.name}: {first.detail}; {first.act}")


def _outcome(
    job: Job, state: State, figures: dict[str, StageFigures], started: float, run_id: str | None, logs: str | None, stale: Sequence[str]
) -> Outcome:
    statuses = count_statuses(state, with_examples=True)
    num_failed = sum(stage.images.get("failed", 0) for stage in statuses)
    num_images = sum(item.num_images for item in state.items(state.graph[0].name))
    given, dataset, seconds = list(state.given.values()), written(job.config, state), time.monotonic() - started
    return Outcome(figures, num_images, num_failed, seconds, run_id, logs, given, statuses, dataset, state.account, stale)


def _write_record(job: Job, figures: dict[str, StageFigures], run_id: str, seconds: float) -> None:
    record = {
        "run": run_id,
        "versions": versions(spec for node in job.graph for spec in job.config.specs(node.name).values()),
        "machine": machine(),
        "fingerprints": {node.name: node.fingerprint for node in job.graph},
        "seconds": round(seconds, 3),
        "stages": {name: figure.as_json() for name, figure in figures.items()},
    }
    job.ledger.workdir.write(f"runs/{run_id}.json", json.dumps(record, indent=1, sort_keys=True).encode())
