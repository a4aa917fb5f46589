"""The literal tables: which stages there are, which engines by kind, which folders the package carries. One row each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from schemas.rows import Row
from stages.balance import Balance
from stages.base import AnyStage
from stages.caption import Caption
from stages.engines.dino.grounding_dino import GroundingDinoSpec
from stages.engines.dino.groundingdino_py import GroundingDinoPySpec
from stages.engines.openai_server import OpenAISpec
from stages.engines.rehearsal import RehearsalDetectorSpec, RehearsalSpec
from stages.engines.specs import DetectorSpec, GeneratorSpec, ModelSpec, Spec
from stages.engines.transformers_local import TransformersSpec
from stages.engines.vllm_async import VllmSpec
from stages.exchange import Exchange
from stages.export import Export
from stages.ground import Ground
from stages.hard_negative import HardNegatives
from stages.mine import Mine
from stages.region_caption import RegionCaptioning
from stages.select import Select
from stages.verify import Verify

RowOfTable = TypeVar("RowOfTable")
SpecT = TypeVar("SpecT", bound=Spec)
AnyStageType = type[AnyStage[Any, Any]]


def _table(rows: Iterable[tuple[str, RowOfTable]]) -> dict[str, RowOfTable]:
    """Raises: ValueError where two rows have one name."""
    table: dict[str, RowOfTable] = {}
    for name, row in rows:
        if name in table:
            raise ValueError(f"two rows are named {name!r}")
        table[name] = row
    return table


def _kind(spec: type[Spec]) -> str:
    (kind,) = get_args(spec.model_fields["kind"].annotation)
    return str(kind)


# In the order of the DAG.
STAGES: Mapping[str, AnyStageType] = _table(
    (stage.name, stage) for stage in (Caption, Ground, Select, RegionCaptioning, HardNegatives, Mine, Exchange, Verify, Balance, Export)
)
GENERATORS: Mapping[str, type[GeneratorSpec]] = _table(
    (_kind(spec), spec) for spec in (VllmSpec, OpenAISpec, TransformersSpec, RehearsalSpec)
)
DETECTORS: Mapping[str, type[DetectorSpec]] = _table(
    (_kind(spec), spec) for spec in (GroundingDinoSpec, GroundingDinoPySpec, RehearsalDetectorSpec)
)
# Role in the configuration -> the kinds of engine that can play it.
ROLES: Mapping[str, Mapping[str, type[Spec]]] = {
    "captioner": GENERATORS,
    "writer": GENERATORS,
    "reader": GENERATORS,
    "judge": GENERATORS,
    "detector": DETECTORS,
    "second_detector": DETECTORS,
}
_DEMO = Path(__file__).parents[1] / "demo"
DEMO_PROMPTS = _DEMO / "prompts"
# What `prompts_dir` may name beside a folder of the user's -> the folder that the package carries.
PROMPT_FOLDERS: Mapping[str, Path] = {"builtin:demo": DEMO_PROMPTS}
# What stands before the colon of a model's name -> the folder of checkpoints that the package carries.
MODEL_FOLDERS: Mapping[str, Path] = {"builtin": _DEMO / "checkpoints"}


def row_type(stage: str) -> type[Row]:
    """The type of a stage's rows."""
    return STAGES[stage].row_type


def is_carried(model: str) -> bool:
    """Whether a model's name is that of a checkpoint which the package carries."""
    return model.partition(":")[0] in MODEL_FOLDERS and ":" in model


def model_path(model: str) -> str:
    """What a library loads for a model's name: the name, or the folder of a checkpoint that the package carries."""
    prefix, _, name = model.partition(":")
    return str(MODEL_FOLDERS[prefix] / name) if is_carried(model) else model


def with_model_path(spec: SpecT) -> SpecT:
    """The spec as an engine is born of it: what it loads is a name or a folder that libraries know."""
    return spec.model_copy(update={"model": model_path(spec.model)}) if isinstance(spec, ModelSpec) else spec
