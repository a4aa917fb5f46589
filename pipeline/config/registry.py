"""The literal tables: which stages there are, which engines, and how an engine is born from its spec on the worker."""

import importlib
from pathlib import Path
from typing import Any

from schemas.rows import Row
from stages.balance import Balance
from stages.base import AnyStage, BlockStage, Stage, StageParams
from stages.caption import Caption
from stages.engines.base import Detector, Generator
from stages.engines.specs import AnyDetectorSpec, AnyGeneratorSpec, AnySpec, ModelSpec, Resources
from stages.export import Export
from stages.ground import Ground
from stages.hard_negative import HardNegatives
from stages.mine import Mine
from stages.region_caption import RegionCaptioning
from stages.select import Select
from stages.verify import Verify

# In the order of the DAG.
_ALL: tuple[type[AnyStage[Any, Any]], ...] = (Caption, Ground, Select, RegionCaptioning, HardNegatives, Mine, Verify, Balance)
STAGES: dict[str, type[AnyStage[Any, Any]]] = {stage.name: stage for stage in _ALL}
assert len(STAGES) == len(_ALL), "two stages share a name"
UNIT_STAGES: dict[str, type[Stage[Any, Any]]] = {name: stage for name, stage in STAGES.items() if issubclass(stage, Stage)}
BLOCK_STAGES: dict[str, type[BlockStage[Any, Any]]] = {name: stage for name, stage in STAGES.items() if issubclass(stage, BlockStage)}
STAGE_NAMES = (*STAGES, Export.name)

DETECTOR_ROLES = ("detector", "second_detector")
GENERATOR_ROLES = ("captioner", "writer", "reader", "judge")
ROLES = (*GENERATOR_ROLES, *DETECTOR_ROLES)

# kind -> (module, class, what answers are a function of: the unit alone, or of what else is in flight)
ENGINES: dict[str, tuple[str, str, bool]] = {
    "vllm": ("stages.engines.vllm_async", "VllmGenerator", False),
    "openai": ("stages.engines.openai_server", "OpenAIGenerator", False),
    "transformers": ("stages.engines.transformers_local", "TransformersGenerator", True),
    "rehearsal": ("stages.engines.rehearsal", "RehearsalGenerator", True),
    "grounding-dino": ("stages.engines.grounding_dino", "GroundingDinoDetector", True),
    "groundingdino-py": ("stages.engines.groundingdino_py", "GroundingDinoPyDetector", True),
    "rehearsal-detector": ("stages.engines.rehearsal", "RehearsalDetector", True),
}

CHECKPOINTS = Path(__file__).parents[1] / "demo" / "checkpoints"


def params_type(stage: str) -> type[StageParams]:
    """The type of a stage's block in the configuration."""
    return Export.params_type if stage == Export.name else STAGES[stage].params_type


def row_type(stage: str) -> type[Row]:
    """The type of a stage's rows."""
    return Export.row_type if stage == Export.name else STAGES[stage].row_type


def model_path(model: str) -> str:
    """What a library loads for a model's name: the name, or the folder of a checkpoint that the package carries."""
    return str(CHECKPOINTS / model.removeprefix("builtin:")) if model.startswith("builtin:") else model


def build_generator(spec: AnyGeneratorSpec, resources: Resources) -> Generator:
    """Raises: MissingExtra where its packages are not installed."""
    generator: Generator = _build(spec, resources)
    return generator


def build_detector(spec: AnyDetectorSpec, resources: Resources) -> Detector:
    """Raises: MissingExtra where its packages are not installed."""
    detector: Detector = _build(spec, resources)
    return detector


def _build(spec: AnySpec, resources: Resources) -> Any:
    module, name, _ = ENGINES[spec.kind]
    if isinstance(spec, ModelSpec):
        spec = spec.model_copy(update={"model": model_path(spec.model)})
    return getattr(importlib.import_module(module), name)(spec, resources)
