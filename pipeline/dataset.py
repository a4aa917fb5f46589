"""Writes what describes the whole data set (manifest and card) once all of its shards are exported."""

import importlib.metadata

from pipeline.config import Config
from pipeline.plan import State
from pipeline.status import count_statuses
from pipeline.storage import Storage
from schemas.dataset import ShardStats, shard_name
from stages.card import DataSet, dataset_files, describe_stage_run
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
    names = [f"{shard_name(item.units[0].shard_number)}_stats.json" for item, _ in tables]
    shards = [ShardStats.model_validate_json(content) for content in target.read_many(names) if content is not None]
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
