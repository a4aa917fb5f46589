"""What an engine is, as data: the base of the YAML blocks under `engines`, one of which stands in each engine's file.

A spec travels; the engine is born of it on the worker.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.check import Check
from schemas.hashed import hashed
from stages.engines.base import Detector, Generator

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class Spec(BaseModel):
    """Base of all specs. Fields in `unhashed` decide where or how fast, never what is answered.

    `package` is what must be importable on the worker, None for nothing beside fgdata; `extra` is the one of ours that installs it.
    `is_remote`: it answers from elsewhere, so that the driver can ask it as well as a worker. `version` rises where the engine's code
    answers otherwise: what it answered before is then asked again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str
    unhashed: ClassVar[frozenset[str]] = frozenset()
    package: ClassVar[str | None] = None
    extra: ClassVar[str] = ""
    is_remote: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def hashed(self) -> dict[str, Any]:
        """The fields that enter a fingerprint."""
        version = {"version": self.version} if self.version > 1 else {}  # the first leaves all fingerprints as they were
        return {**hashed(self, without=self.unhashed), **version}

    def checks(self, name: str) -> Iterator[Check]:
        """What can be looked at from the driver before the engine is born."""
        yield Check(name, True, getattr(self, "model", self.kind))


class GeneratorSpec(Spec):
    """A spec of an engine that answers questions."""

    @abstractmethod
    def build(self, resources: "Resources") -> Generator:
        """The engine. Raises: MissingExtra where its packages are not installed."""


class DetectorSpec(Spec):
    """A spec of an engine that finds phrases in images."""

    default_min_score: float = Field(0.3, ge=0, le=1, description="The threshold that select uses where it names none.")
    unhashed = frozenset({"default_min_score"})

    @abstractmethod
    def build(self, resources: "Resources") -> Detector:
        """The engine. Raises: MissingExtra where its packages are not installed."""


class ModelSpec(Spec):
    """A spec whose answers come from weights."""

    model: str = Field(description="Hub name (org/name), a local folder, or builtin:NAME for a checkpoint of the demo.")
    revision: str | None = Field(None, description="Commit or tag on the hub; required for a hub name.")
    dtype: Dtype = Field("auto", description="Number format of weights and arithmetic.")


class Resources(BaseModel):
    """What one worker of a stage may use. Never hashed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    actors: int = Field(1, gt=0, description="Workers of this stage.")
    cpus: float = Field(1, ge=0, description="CPU cores a worker reserves.")
    gpus: float = Field(0, ge=0, description="GPUs a worker reserves; a fraction shares one.")
    custom: Mapping[str, float] = Field(
        default_factory=dict, description="Further Ray resources a worker reserves: what a node type offers under a name of its own."
    )
    in_flight: int = Field(2, gt=0, description="Units a worker works on at once.")
    renderers: int | None = Field(
        None,
        ge=0,
        description="Processes beside the worker's that read images and render them for vLLM; null: one a core but two, which the engine "
        "and the worker themselves need; 0: none.",
    )
    tensor_parallel: int = Field(1, gt=0, description="GPUs over which vLLM spreads one model.")
    gpu_memory_share: float = Field(0.9, gt=0, le=1, description="Share of the GPU's memory that vLLM takes.")

    @property
    def num_renderers(self) -> int:
        """How many renderers an engine has that can use them."""
        return max(0, int(self.cpus) - 2) if self.renderers is None else self.renderers
