"""What a vLLM engine's memory goes to, computed from the model's files where they lie on this machine. Starts nothing, asks nobody."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.model import Config
from pipeline.config.registry import with_model_path
from schemas.check import Check
from stages.engines.specs import ModelSpec, Resources, Spec

_GB = 1e9
_CARDS_GB = (24, 80, 141)  # where this machine has none
_PATCH_PX, _MERGED = 14, 2  # of Qwen2.5-VL, where the configuration names none
_STEP_TOKENS = 8192  # vLLM's own default for offline use on cards under 70 GB
_OVERHEAD_GB = 1.0  # CUDA's context, the libraries' workspaces, captured graphs
_WEIGHTS = ("*.safetensors", "*.bin")
_ELEMENT_BYTES = {"float32": 4}


@dataclass(frozen=True)
class ModelShape:
    """What of a model decides memory. `weights_bytes` as its files hold them; `pixels_a_token`: of an image."""

    weights_bytes: int
    layers: int
    cached_layers: int
    kv_heads: int
    head_size: int
    width: int
    inner_width: int
    vocabulary: int
    pixels_a_token: int

    def token_bytes(self, element_bytes: int) -> int:
        """Bytes that one token takes in the cache: a key and a value in each layer that keeps them."""
        return 2 * self.cached_layers * self.kv_heads * self.head_size * element_bytes


@dataclass(frozen=True)
class Budget:
    """Of one worker's GPUs together, in bytes; `tokens` fit into the cache, in sequences of at least `least_tokens`."""

    all: float
    weights: float
    step: float
    cache: float
    tokens: int
    least_tokens: int
    longest_tokens: int | None

    @property
    def most_sequences(self) -> int:
        """As many of the shortest as fit at once."""
        return self.tokens // max(1, self.least_tokens)


def memory_checks(config: Config) -> Iterator[Check]:
    """A line for each stage with an engine that plans its memory; none of them fails a check.

    What an image tower's activations take is not counted: vLLM tells all of it as it starts.
    """
    cards = [(gb, "here") for gb in _cards_here()] or [(gb, "") for gb in _CARDS_GB]
    for stage in config.stages:
        for role, spec in config.specs(stage).items():
            if not isinstance(spec, ModelSpec) or not hasattr(spec, "max_num_seqs"):
                continue
            resources = config.resources(stage)
            shape = shape_of(with_model_path(spec))
            name = f"memory of {stage} ({role})"
            if shape is None:
                detail = f"not known before {getattr(spec, 'model', '')} lies on this machine: its config.json and weights are looked for"
                yield Check(name, True, detail)
                continue
            lines = [_line(gb, where, spec, shape, resources) for gb, where in cards]
            yield Check(name, True, "; ".join(lines))


def shape_of(spec: Spec) -> ModelShape | None:
    """The model's shape, None where its files are not on this machine or do not say."""
    folder = _folder(str(getattr(spec, "model", "")), getattr(spec, "revision", None))
    if folder is None or not (folder / "config.json").is_file():
        return None
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return _shape(content, sum(path.stat().st_size for pattern in _WEIGHTS for path in folder.glob(pattern)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def budget_of(gpu_gb: float, spec: Spec, shape: ModelShape, resources: Resources) -> Budget:
    """How the memory of a worker's GPUs is spent: weights, one step's activations, and the cache, which has the rest."""
    arguments: Mapping[str, Any] = getattr(spec, "engine_args", {})
    element = _ELEMENT_BYTES.get(str(getattr(spec, "dtype", "auto")), 2)
    step_tokens = int(arguments.get("max_num_batched_tokens", _STEP_TOKENS))
    sequences = int(getattr(spec, "max_num_seqs", None) or 256)
    step = step_tokens * (2 * shape.inner_width + 4 * shape.width) * element + sequences * shape.vocabulary * 4
    everything = gpu_gb * _GB * resources.gpu_memory_share * resources.tensor_parallel
    cache = max(0.0, everything - shape.weights_bytes - step - _OVERHEAD_GB * _GB * resources.tensor_parallel)
    cached = 1 if "fp8" in str(arguments.get("kv_cache_dtype", "")) else element
    pixels = getattr(spec, "max_pixels", None)
    least = (pixels // shape.pixels_a_token if pixels else 0) + 1
    tokens = int(cache / shape.token_bytes(cached))
    return Budget(everything, shape.weights_bytes, step, cache, tokens, least, getattr(spec, "max_model_len", None))


def _line(gpu_gb: float, where: str, spec: Spec, shape: ModelShape, resources: Resources) -> str:
    budget = budget_of(gpu_gb, spec, shape, resources)
    cards = f"{resources.tensor_parallel} x {gpu_gb:.0f} GB{' ' + where if where else ''}"
    if not budget.tokens:
        need, there = (budget.weights + budget.step) / _GB, budget.all / _GB
        return f"{cards}: does not fit: weights and one step take {need:.1f} GB of {there:.1f}; take a quantised checkpoint or more GPUs"
    parts = f"weights {budget.weights / _GB:.1f} GB, one step's texts about {budget.step / _GB:.1f}, cache {budget.cache / _GB:.1f}"
    fits = [f"{budget.tokens:,} tokens"]
    if budget.longest_tokens is not None:
        fits.append(f"{budget.tokens // budget.longest_tokens:,} sequences of max_model_len")
    if budget.least_tokens > 1:
        fits.append(f"{budget.most_sequences:,} of a largest image alone")
    wanted = getattr(spec, "max_num_seqs", None)
    if wanted is not None and budget.most_sequences < wanted:
        fits.append(f"WARNING: max_num_seqs {wanted} can never be reached with images of max_pixels: lower one of the two")
    return f"{cards}: {parts} for {', '.join(fits)}"


def _shape(content: Mapping[str, Any], weights_bytes: int) -> ModelShape | None:
    text: Mapping[str, Any] = next((content[name] for name in ("text_config", "llm_config") if content.get(name)), content)
    vision: Mapping[str, Any] = content.get("vision_config") or {}
    if not weights_bytes:
        return None
    layers, heads, width = int(text["num_hidden_layers"]), int(text["num_attention_heads"]), int(text["hidden_size"])
    kinds = text.get("layer_types") or ["full_attention"] * layers
    side = int(vision.get("patch_size") or _PATCH_PX) * int(vision.get("spatial_merge_size") or content.get("scale_factor") or _MERGED)
    return ModelShape(
        weights_bytes=weights_bytes,
        layers=layers,
        cached_layers=sum(kind != "linear_attention" for kind in kinds),
        kv_heads=int(text.get("num_key_value_heads") or heads),
        head_size=int(text.get("head_dim") or width // heads),
        width=width,
        inner_width=int(text.get("intermediate_size") or 4 * width),
        vocabulary=int(text.get("vocab_size") or content.get("vocab_size") or 0),
        pixels_a_token=side * side,
    )


def _folder(model: str, revision: str | None) -> Path | None:
    """Where the model's files lie: a folder, or the hub's cache on this machine, which nothing is fetched into."""
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    path = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def _cards_here() -> list[float]:
    """Memory of the smallest GPU of this machine in GB; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
    sizes = [float(line) * 2**20 / _GB for line in answer.stdout.splitlines() if line.strip().isdigit()]
    return [min(sizes)] if sizes else []
