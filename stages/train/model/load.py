"""A model and its tokenizer from a folder or hub name: which family it is, and every tensor accounted for. Knows no losses."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stages.train.config import TrainError
from stages.train.model.base import EXTRA_FILE, PIXELS_FILE, FgModel
from stages.train.model.clip import CLIP_PIXELS, FgClip
from stages.train.model.official import from_official, official_name
from stages.train.model.siglip import SIGLIP_PIXELS, FgSiglip

_ATTENTIONS = (None, "sdpa", "eager")
_INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# Counters that older versions of transformers wrote into their files; they are no weights.
_NO_WEIGHTS = (".embeddings.position_ids",)


@dataclass(frozen=True)
class _Family:
    """One model type: transformers' class and configuration, our model around it, and what pixels are where the folder does not say."""

    towers: str
    config: str
    model: Callable[[Any, Mapping[str, Any]], FgModel]
    pixels: Mapping[str, Any]


_FAMILIES = {
    "clip": _Family("CLIPModel", "CLIPConfig", FgClip, CLIP_PIXELS),
    "siglip": _Family("SiglipModel", "SiglipConfig", FgSiglip, SIGLIP_PIXELS),
    "siglip2": _Family("Siglip2Model", "Siglip2Config", FgSiglip, SIGLIP_PIXELS),
}
# Scales of which published checkpoints have none: they start as copies of the global one, as in the official stage 2.
_OPTIONAL = ("regional_scale", "hard_scale")
# What the official code calls its models.
_OFFICIAL_TYPES = {"fgclip": "clip", "fgclip2": "siglip2"}


def load_model(place: str, revision: str | None = None, from_scratch: bool = False) -> tuple[FgModel, Any]:
    """The model and the tokenizer of a folder or hub name, with parameters in fp32 whatever they were stored in.

    A plain CLIP or SigLIP gets its stretched positions, and copies of its heads and scale; one that was saved here, or by FG-CLIP's own
    code, gets back all it had. `from_scratch` reads the configuration and draws the weights.

    Raises: TrainError where the place holds another kind of model, or a tensor is missing or unknown.
    """
    if (place.startswith((".", "/", "~")) or place.count("/") > 1) and not Path(place).is_dir():
        raise TrainError(f"model {place}: no such folder")
    config = _json_file(place, "config.json", revision)
    kind = str(config.get("model_type"))
    family = _FAMILIES.get(_OFFICIAL_TYPES.get(kind, kind))
    if family is None:
        raise TrainError(f"model {place}: is of type {kind}; what can be trained: {', '.join((*_FAMILIES, *_OFFICIAL_TYPES))}")
    tokenizer = _tokenizer(place, revision, family.model is FgSiglip)
    towers = _drawn(place, family, config)
    pixels = {**family.pixels, **_known_pixels(_json_file(place, PIXELS_FILE, revision, must_exist=False), family.pixels)}
    if from_scratch:
        if family.towers == "CLIPModel":
            towers.config.text_config.eos_token_id = towers.text_model.eos_token_id = tokenizer.eos_token_id
        return family.model(towers, pixels), tokenizer
    _check_end_token(place, config, tokenizer, family)
    weights, extra = from_official(_weights(place, revision))
    _put(place, towers, weights, "its weights file")
    model = family.model(towers, pixels)
    path = _file_of(place, EXTRA_FILE, revision)
    if path is not None:
        extra = _read(path)
    if extra:
        if "bias" in extra:
            model.add_bias()
        kept = {name: value for name, value in model.state_dict().items() if name.startswith(f"{model.tower_name}.") or name in _OPTIONAL}
        _put(place, model, {**kept, **extra}, EXTRA_FILE if path else "its weights file", str if path else official_name)
    return model, tokenizer


def _drawn(place: str, family: _Family, config: Mapping[str, Any]) -> Any:
    """Transformers' model of this configuration, with drawn weights in fp32."""
    import transformers

    attention = config.get("attn_implementation", config.get("_attn_implementation"))
    if attention not in _ATTENTIONS:
        raise TrainError(
            f"model {place}: its config.json asks for attn_implementation {attention}, which cannot see packed texts apart; "
            "set it to sdpa or eager, or take it out"
        )
    try:
        known = getattr(transformers, family.config).from_dict({**config, "model_type": family.config.removesuffix("Config").lower()})
        known.dtype = "float32"
        if attention:
            known._attn_implementation = attention  # noqa: SLF001  # transformers has no public name for it
        towers = getattr(transformers, family.towers)(known).float()
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise TrainError(f"model {place}: config.json makes no {family.towers}: {_line(error)}") from error
    if not hasattr(towers.vision_model, "head") and family.model is FgSiglip:
        raise TrainError(f"model {place}: has no pooling head (vision_use_head is false), which image features come from")
    return towers


def _tokenizer(place: str, revision: str | None, is_padded: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise TrainError(f"model {place}: no tokenizer there: {_line(error)}") from error
    if tokenizer.eos_token_id is None:
        raise TrainError(f"model {place}: its tokenizer has no end token; texts are read at theirs")
    if is_padded and tokenizer.pad_token_id is None:
        raise TrainError(f"model {place}: its tokenizer has no padding token, which SigLIP's texts are filled up with")
    return tokenizer


def _check_end_token(place: str, config: Mapping[str, Any], tokenizer: Any, family: _Family) -> None:
    """CLIP reads a text at its configuration's end token, or (2, of old) at the largest id; we at the tokenizer's first end token."""
    if family.towers != "CLIPModel":
        return
    text = config.get("text_config") or {}
    configured, end = text.get("eos_token_id", 49407), tokenizer.eos_token_id
    if configured == 2 and end != 2:
        configured = max(tokenizer.get_vocab().values())
    if configured != end:
        raise TrainError(
            f"model {place}: its configuration ends texts at token {configured}, its tokenizer at {end}: they do not belong together"
        )


def _put(
    place: str, module: torch.nn.Module, weights: Mapping[str, torch.Tensor], source: str, name_of: Callable[[str], str] = str
) -> None:
    """Load all of a module's state; every tensor has to be there, and to be known. `said` names one as the file does."""
    wanted = module.state_dict()
    missing = sorted(set(wanted) - set(weights))
    unknown = sorted(name for name in set(weights) - set(wanted) if not name.endswith(_NO_WEIGHTS))
    for problem, names in (("has no", missing), ("holds the unknown tensor", unknown)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise TrainError(
                f"model {place}: {source} {problem} {name_of(names[0])}{more}: it is of another kind of model, or its names were changed"
            )
    known = {name: value.reshape(wanted[name].shape) if value.numel() == 1 and name in wanted else value for name, value in weights.items()}
    try:
        module.load_state_dict({name: value for name, value in known.items() if not name.endswith(_NO_WEIGHTS)})
    except RuntimeError as error:
        raise TrainError(f"model {place}: {source} does not fit its config.json: {_line(error)}") from error


def _weights(place: str, revision: str | None) -> dict[str, torch.Tensor]:
    """All tensors of the checkpoint, of one file or several, in fp32."""
    for name in _WEIGHT_FILES:
        path = _file_of(place, name, revision)
        if path is not None:
            return _read(path)
    for name in _INDEX_FILES:
        path = _file_of(place, name, revision)
        if path is not None:
            parts = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
            paths = [_file_of(place, part, revision) for part in parts]
            missing = [part for part, where in zip(parts, paths, strict=True) if where is None]
            if missing:
                raise TrainError(f"model {place}: {name} names {missing[0]}, which is not there")
            return {key: value for where in paths if where is not None for key, value in _read(where).items()}
    raise TrainError(f"model {place}: no weights there ({', '.join(_WEIGHT_FILES)}); from_scratch: true draws them")


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise TrainError(f"{path}: cannot be read: {_line(error)}") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _json_file(place: str, name: str, revision: str | None, must_exist: bool = True) -> dict[str, Any]:
    try:
        path = _file_of(place, name, revision)
        content = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"model {place}: {name} cannot be read: {_line(error)}") from error
    if (path is None and must_exist) or not isinstance(content, dict):
        raise TrainError(f"model {place}: no {name} there; give a folder or hub name of a CLIP or SigLIP checkpoint of transformers")
    return content


def _known_pixels(content: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {key: content[key] for key in wanted if content.get(key) is not None}


def _file_of(place: str, name: str, revision: str | None) -> Path | None:
    """A file of the folder or hub model; None where it has none."""
    from transformers.utils import cached_file

    if Path(place).is_dir():
        path = Path(place) / name
        return path if path.is_file() else None
    cached = cached_file(
        place,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(cached) if cached else None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
