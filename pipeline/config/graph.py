"""The DAG of one configuration: its stages in run order, each with its fingerprint chained through what it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Literal

from pipeline.config.fingerprint import describe_stage, fingerprint_of
from pipeline.config.read import Config, ConfigError
from pipeline.config.registry import BLOCK_STAGES, STAGES, row_type
from prompts.loader import Prompt, PromptError, load_prompt
from schemas.rows import Row
from stages.export import Export

Scope = Literal["unit", "block", "shard"]


@dataclass(frozen=True)
class Node:
    """One stage of this configuration. `reads` names its upstream stages; `description` becomes stage.json."""

    name: str
    scope: Scope
    reads: tuple[str, ...]
    fingerprint: str
    description: Mapping[str, Any]
    prompts: Mapping[str, Prompt]

    @property
    def row_type(self) -> type[Row]:
        return row_type(self.name)


def build_graph(config: Config) -> list[Node]:
    """The stages of the configuration in an order in which each comes after all that it reads.

    Raises: ConfigError where a prompt is missing or wrong.
    """
    nodes: dict[str, Node] = {}
    for name in TopologicalSorter({name: _reads(config, name) for name in config.stages}).static_order():
        nodes[name] = _node(config, name, nodes)
    return list(nodes.values())


def _reads(config: Config, name: str) -> tuple[str, ...]:
    if name == Export.name:
        return Export.reads_among(config.stages)
    stage = STAGES[name]
    if not config.is_computed(name):
        return tuple(other for other in stage.reads if other in config.stages)
    return stage.reads_among(config.stages)


def _scope(name: str) -> Scope:
    if name == Export.name:
        return "shard"
    return "block" if name in BLOCK_STAGES else "unit"


def _node(config: Config, name: str, nodes: Mapping[str, Node]) -> Node:
    is_export = name == Export.name
    reads = _reads(config, name)
    names = {} if is_export or not config.is_computed(name) else STAGES[name].prompt_names(config.stages[name])
    try:
        prompts = {task: load_prompt(task, version, config.prompts_dir) for task, version in names.items()}
    except PromptError as error:
        raise ConfigError(f"stages.{name}: {error}") from error
    description = describe_stage(
        name,
        Export.version if is_export else STAGES[name].version,
        config.stages[name],
        prompts,
        config.specs(name),
        {upstream: nodes[upstream].fingerprint for upstream in reads},
        config.given.get(name),
    )
    return Node(name, _scope(name), reads, fingerprint_of(description), description, prompts)
