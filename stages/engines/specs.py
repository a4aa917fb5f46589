"""What an engine is, as data: the YAML blocks under `engines`. A spec travels; the engine is born on the worker."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class Spec(BaseModel):
    """Base of all specs. Fields in `unhashed` decide where or how fast, never what is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unhashed: ClassVar[frozenset[str]] = frozenset()

    def hashed(self) -> dict[str, Any]:
        """The fields that enter a fingerprint."""
        return self.model_dump(mode="json", exclude=set(self.unhashed))


class ModelSpec(Spec):
    """A spec whose answers come from weights."""

    model: str = Field(description="Hub name (org/name), a local folder, or builtin:NAME for a checkpoint of the demo.")
    revision: str | None = Field(None, description="Commit or tag on the hub; required for a hub name.")
    dtype: Dtype = Field("auto", description="Number format of weights and arithmetic.")


class VllmSpec(ModelSpec):
    """vLLM's AsyncLLM inside the worker."""

    kind: Literal["vllm"]
    quantization: str | None = Field(None, description="vLLM's quantization method; null: as the checkpoint says.")
    max_model_len: int | None = Field(None, gt=0, description="Context length in tokens; null: the model's own.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels before they are sent.")
    chat_template: str | None = Field(None, description="Jinja text that replaces the model's own template.")
    enforce_eager: bool = Field(False, description="Skip graph capture: slower answers, faster start.")
    max_num_seqs: int | None = Field(None, gt=0, description="Sequences decoded together; null: vLLM's default.")
    engine_args: Mapping[str, Any] = Field(default_factory=dict, description="Further AsyncEngineArgs, hashed as written.")
    unhashed = frozenset({"enforce_eager", "max_num_seqs"})


class OpenAISpec(Spec):
    """Any OpenAI-compatible server: vllm serve, SGLang, a vendor."""

    kind: Literal["openai"]
    model: str = Field(description="The name the server knows the model by.")
    revision: str | None = Field(None, description="Names what the server serves; hashed, not sent.")
    base_url: str = Field(description="Up to and with /v1.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key; may be unset for a local server.")
    structured: Literal["json_schema", "none"] = Field("json_schema", description="How the answer schema is sent.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels before they are sent.")
    concurrency: int = Field(32, gt=0, description="Requests in flight a worker.")
    timeout_s: float = Field(600, gt=0, description="Of one request.")
    max_retries: int = Field(6, ge=0, description="On rate limits, timeouts and 5xx, with exponential waits.")
    unhashed = frozenset({"base_url", "api_key_env", "concurrency", "timeout_s", "max_retries"})


class TransformersSpec(ModelSpec):
    """transformers in the worker, CPU or GPU; batches are formed within a unit, in fixed order."""

    kind: Literal["transformers"]
    batch_size: int = Field(16, gt=0, description="Sequences generated together. Hashed: padding moves the last bit.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels.")
    chat_template: str | None = Field(None, description="Jinja text that replaces the model's own template.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 ...")
    threads: int | None = Field(None, gt=0, description="CPU threads of torch; null: torch's own choice.")
    unhashed = frozenset({"device", "threads"})


class RehearsalSpec(Spec):
    """Canned, deterministic answers with injected faults. Its exports are marked as a rehearsal."""

    kind: Literal["rehearsal"]
    seed: int = 0
    delay_s: float = Field(0.0, ge=0, description="Pause before each call's answers.")
    bad_json_rate: float = Field(0.0, ge=0, le=1, description="Share of questions whose first answer does not parse.")
    truncation_rate: float = Field(0.0, ge=0, le=1, description="Share of questions whose first answer ends by length.")
    error_rate: float = Field(0.0, ge=0, le=1, description="Share of questions that always end in bad_request.")
    crash_on: str | None = Field(None, description="The process ends where a request's first image id or text contains this.")
    crash_once_dir: str | None = Field(None, description="With crash_on: a folder that remembers a crash, so that it happens once.")
    unhashed = frozenset({"delay_s", "crash_on", "crash_once_dir"})


class GroundingDinoSpec(ModelSpec):
    """transformers' Grounding DINO, MM-Grounding-DINO or OWLv2, by the same Auto class."""

    kind: Literal["grounding-dino"]
    batch_size: int = Field(8, gt=0, description="Images a forward pass.")
    max_pixels: int | None = Field(None, gt=0, description="Images are shrunk to at most so many pixels; boxes are scaled back.")
    default_min_score: float = Field(0.3, ge=0, le=1, description="The threshold that select uses where it names none.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 ...")
    threads: int | None = Field(None, gt=0, description="CPU threads of torch; null: torch's own choice.")
    unhashed = frozenset({"device", "threads", "default_min_score"})


class GroundingDinoPySpec(Spec):
    """The original groundingdino-py package, in a Python environment of its own."""

    kind: Literal["groundingdino-py"]
    weights: str | None = Field(None, description="Path of the published .pth; null: random weights (a smoke test).")
    config: str = Field("GroundingDINO_SwinT_OGC", description="Name of a configuration that the package ships.")
    text_encoder: str = Field("bert-base-uncased", description="Hub name or folder of its BERT.")
    python: str = Field(description="Interpreter of the environment that holds groundingdino-py and transformers 4.")
    device: str = Field("cpu", description="cpu or cuda.")
    default_min_score: float = Field(0.3, ge=0, le=1, description="The threshold that select uses where it names none.")
    unhashed = frozenset({"python", "device", "default_min_score"})


class RehearsalDetectorSpec(Spec):
    """Boxes derived from a hash of image and phrase; every phrase is found."""

    kind: Literal["rehearsal-detector"]
    seed: int = 0
    default_min_score: float = Field(0.3, ge=0, le=1, description="The threshold that select uses where it names none.")
    unhashed = frozenset({"default_min_score"})


GeneratorSpec = Annotated[VllmSpec | OpenAISpec | TransformersSpec | RehearsalSpec, Field(discriminator="kind")]
DetectorSpec = Annotated[GroundingDinoSpec | GroundingDinoPySpec | RehearsalDetectorSpec, Field(discriminator="kind")]
AnyGeneratorSpec = VllmSpec | OpenAISpec | TransformersSpec | RehearsalSpec
AnyDetectorSpec = GroundingDinoSpec | GroundingDinoPySpec | RehearsalDetectorSpec
AnySpec = AnyGeneratorSpec | AnyDetectorSpec


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
    tensor_parallel: int = Field(1, gt=0, description="GPUs over which vLLM spreads one model.")
    gpu_memory_share: float = Field(0.9, gt=0, le=1, description="Share of the GPU's memory that vLLM takes.")
