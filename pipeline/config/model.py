"""A configuration once it is read: what it holds, and what it says of each stage. Reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.config.registry import STAGES
from pipeline.corpus.params import CorpusParams
from pipeline.given.params import GivenParams
from stages.engines.specs import Resources, Spec
from stages.params import StageParams


class ConfigError(ValueError):
    """The user's configuration is wrong: one line that says what, where, and what to do."""


class Placement(BaseModel):
    """The YAML block `placement`: where and how fast. Never hashed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schedule: Literal["auto", "stages", "streaming"] = Field(
        "auto", description="One stage after another, or all pools at once; auto: at once where the cluster holds them all."
    )
    wait_for_nodes: bool = Field(
        False, description="The cluster grows on demand: workers that it cannot hold yet wait for nodes instead of being refused."
    )
    patience_s: float = Field(
        600, ge=0, description="How long an engine's server may stay away before the run stops; meanwhile it is asked again."
    )
    watchdog_s: float = Field(
        900, gt=0, description="How long a unit may give no sign of life before it is named and asked again; longer than a slow answer."
    )
    address: str | None = Field(None, description="Ray cluster to join (auto, host:port); null: start one here.")
    stages: Mapping[str, Resources] = Field(default_factory=dict, description="Workers by stage; what is absent gets one worker, one core.")


class ExportTo(BaseModel):
    """The YAML block `export`, which earlier versions read in place of `export_to`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    to: str = Field(description="Folder or s3:// location of the data set.")


@dataclass(frozen=True)
class Config:
    """A validated configuration; paths are absolute, the environment is read."""

    path: Path
    workdir: str
    corpus: CorpusParams
    engines: Mapping[str, Spec]
    stages: Mapping[str, StageParams]
    placement: Placement
    export_to: str | None
    prompts_dir: Path | None
    given: Mapping[str, GivenParams] = field(default_factory=dict)
    old_names: tuple[str, ...] = ()  # a line for each key that is written by its old name

    def is_computed(self, stage: str) -> bool:
        """Whether the stage itself runs: on all images, or on those without a given row."""
        return stage not in self.given or self.given[stage].missing == "compute"

    def resources(self, stage: str) -> Resources:
        """What a worker of this stage may use."""
        return self.placement.stages.get(stage, Resources())

    def specs(self, stage: str) -> dict[str, Spec]:
        """Role -> engine of the roles that a stage uses."""
        if not self.is_computed(stage):
            return {}
        return {role: self.engines[role] for role in STAGES[stage].roles(self.stages[stage])}
