"""Writes what describes the whole data set (manifest and card) once all of its shards are exported."""

import importlib.metadata
from collections.abc import Sequence

from pipeline.config.read import Config
from pipeline.ledger.state import Item, State
from pipeline.ledger.status import count_statuses
from pipeline.storage import Storage
from schemas.dataset import ShardStats, shard_name
from stages.dataset.card import DataSet, dataset_files, describe_stage_run
from stages.export import Export


def write_dataset_files(config: Config, state: State) -> None:
    """Write manifest.json and README.md; nothing where the run has no export or some shard is not exported yet.

    A file that would be the same is left as it is.
    """
    if Export.name not in state.nodes or config.export_to is None:
        return
    tables = state.current_tables(Export.name)
    if any(table is None for _, table in tables):
        return
    target = Storage(config.export_to)
    shards = [stats for stats in _statistics(target, [item for item, _ in tables]) if stats is not None]
    stages = [
        describe_stage_run(
            status.fingerprint,
            state.nodes[status.name].description,
            {task: prompt.answered_by for task, prompt in state.nodes[status.name].prompts.items()},
            status.images,
        )
        for status in count_statuses(state)
    ]
    for path, content in dataset_files(DataSet(importlib.metadata.version("fgdata"), shards, stages)).items():
        if not target.exists(path) or target.read(path) != content:
            target.write(path, content)


def ask_for_lost_shards(config: Config, state: State) -> int:
    """Mark committed shards to be exported again whose files at `export.to` are gone or come from another ledger; says how many."""
    if Export.name not in state.nodes or config.export_to is None:
        return 0
    done = [item for item, table in state.current_tables(Export.name) if table is not None]
    found = _statistics(Storage(config.export_to), done)
    lost = [item for item, stats in zip(done, found, strict=True) if stats is None or stats.label != state.label(Export.name, item)]
    for item in lost:
        state.ask_retry(Export.name, item)
    return len(lost)


def _statistics(target: Storage, items: Sequence[Item]) -> list[ShardStats | None]:
    names = [f"{shard_name(item.units[0].shard_number)}_stats.json" for item in items]
    return [None if content is None else ShardStats.model_validate_json(content) for content in target.read_many(names)]
