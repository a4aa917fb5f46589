"""Writes what describes the whole data set (manifest and card) once all of its shards are exported."""

from pipeline.config import Config
from pipeline.plan import State


def write_dataset_files(config: Config, state: State) -> None:
    """Nothing where the run has no export or some shard is not exported yet."""
