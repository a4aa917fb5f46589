"""The DAG of one configuration: its stages in run order, each with its fingerprint chained through what it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from pipeline.config.fingerprint import describe_stage
from pipeline.config.model import Config, ConfigError
from pipeline.config.registry import DEMO_PROMPTS, STAGES, AnyStageType
from prompts.loader import Prompt, PromptError, load_prompt
from schemas.rows import Row
from schemas.stage_json import StageJson
from stages.base import Scope


@dataclass(frozen=True)
class Node:
    """One stage of this configuration. `reads` names its upstream stages; `description` becomes stage.json."""

    stage: AnyStageType
    reads: tuple[str, ...]
    fingerprint: str
    description: StageJson
    prompts: Mapping[str, Prompt]

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def scope(self) -> Scope:
        return self.stage.scope

    @property
    def row_type(self) -> type[Row]:
        return self.stage.row_type


def build_graph(config: Config) -> list[Node]:
    """The stages of the configuration in an order in which each comes after all that it reads.

    Raises: ConfigError where a prompt is missing or wrong.
    """
    nodes: dict[str, Node] = {}
    for name in TopologicalSorter({name: _reads(config, name) for name in config.stages}).static_order():
        nodes[name] = _node(config, name, nodes)
    return list(nodes.values())


def _reads(config: Config, name: str) -> tuple[str, ...]:
    """What the stage reads of this run; one whose rows are all given reads what they are rows about."""
    stage = STAGES[name]
    if config.is_computed(name):
        return stage.reads_among(config.stages)
    return tuple(other for other in stage.reads if other in config.stages)


def _node(config: Config, name: str, nodes: Mapping[str, Node]) -> Node:
    stage, reads, params = STAGES[name], _reads(config, name), config.stages[name]
    versions = stage.prompt_names(params) if config.is_computed(name) else {}
    try:
        prompts = {task: load_prompt(task, version, config.prompts_dir, DEMO_PROMPTS) for task, version in versions.items()}
    except PromptError as error:
        raise ConfigError(f"stages.{name}: {error}") from error
    for problem in stage.prompt_problems(params, prompts) if prompts else ():
        raise ConfigError(problem)
    upstream = {other: nodes[other].fingerprint for other in reads}
    given = config.given.get(name)
    description = describe_stage(name, stage.version, params, prompts, config.specs(name), upstream, given, stage.writes_values)
    return Node(stage, reads, description.fingerprint(), description, prompts)
