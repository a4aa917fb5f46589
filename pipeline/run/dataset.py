"""Writes what describes the whole data set (manifest and card) once all of its shards are written. Knows a stage by its scope."""

import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from pipeline.config.model import Config
from pipeline.ledger.items import Item
from pipeline.ledger.state import State
from pipeline.ledger.status import StageStatus, count_statuses
from pipeline.masked import masked_content
from pipeline.run.export_place import settle_stale, shard_nodes
from pipeline.storage import Storage
from schemas.dataset import ShardStats, StageDescription, shard_name
from stages.dataset.card import DataSet, dataset_files, describe_stage_run


def write_dataset_files(config: Config, state: State) -> list[str]:
    """Write manifest.json and README.md; nothing where no stage of the run writes shards, or some shard is not written yet.

    A file that would be the same is left as it is. Returns the names of shards that lie beside the set and are not of it.
    """
    stale = []
    for node in shard_nodes(config, state.graph):
        tables = state.current_tables(node.name)
        if any(table is None for _, table in tables):
            continue
        stale = settle_stale(config, state)
        target = Storage(str(config.export_to))
        shards = [stats for stats in _statistics(target, [item for item, _ in tables]) if stats is not None]
        stages = [_described(state, status) for status in count_statuses(state)]
        for path, content in dataset_files(DataSet(importlib.metadata.version("fgdata"), shards, stages)).items():
            if not target.exists(path) or target.read(path) != content:
                target.write(path, content)
    return stale


@dataclass(frozen=True)
class Written:
    """The data set as it lies at `place`: what its shards hold together."""

    place: str
    images: int
    regions: int
    negatives: int
    proposed: int = 0
    rejects: Mapping[str, int] = field(default_factory=dict)
    verdicts: frozenset[str] = frozenset()
    finehard_flagged: int | None = None


def written(config: Config, state: State) -> Written | None:
    """What the run's data set holds; None where no stage writes one, or some shard is not written yet."""
    for node in shard_nodes(config, state.graph):
        tables = state.current_tables(node.name)
        shards = _statistics(Storage(str(config.export_to)), [item for item, table in tables if table is not None])
        statistics = [stats for stats in shards if stats is not None]
        if tables and len(statistics) == len(tables):
            rejects: Counter[str] = Counter()
            for stats in statistics:
                rejects.update(stats.negatives_rejected)
            return Written(
                str(config.export_to),
                sum(stats.images for stats in statistics),
                sum(stats.regions for stats in statistics),
                sum(stats.negatives for stats in statistics),
                sum(stats.negatives_proposed for stats in statistics),
                rejects,
                frozenset(audit.verdict for stats in statistics for audit in stats.audits),
                sum(stats.finehard_flagged for stats in statistics) if any(stats.finehard for stats in statistics) else None,
            )
    return None


def _described(state: State, status: StageStatus) -> StageDescription:
    node = state.nodes[status.name]
    answered_by = {task: prompt.answered_by for task, prompt in node.prompts.items()}
    description = node.description.model_validate(masked_content(node.description.as_json()))
    return describe_stage_run(status.fingerprint, description, answered_by, status.images)


def ask_for_lost_shards(config: Config, state: State) -> int:
    """Mark committed shards to be written again whose files at `export_to` are gone or come from another ledger; says how many."""
    num_lost = 0
    for node in shard_nodes(config, state.graph):
        done = [item for item, table in state.current_tables(node.name) if table is not None]
        statistics = _statistics(Storage(str(config.export_to)), done)
        lost = [item for item, stats in zip(done, statistics, strict=True) if stats is None or stats.label != state.label(node.name, item)]
        for item in lost:
            state.ask_retry(node.name, item)
        num_lost += len(lost)
    return num_lost


def _statistics(target: Storage, items: Sequence[Item]) -> list[ShardStats | None]:
    names = [f"{shard_name(item.units[0].shard_number)}_stats.json" for item in items]
    return [None if content is None else _parsed(content) for content in target.read_many(names)]


def _parsed(content: bytes) -> ShardStats | None:
    """None of what another tool, or another version, wrote under this name."""
    try:
        return ShardStats.model_validate_json(content)
    except ValidationError:
        return None
