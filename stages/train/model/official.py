"""Names of tensors in the checkpoints of FG-CLIP's own code, versions 1 and 2, and ours: mapped both ways. Knows no model.

Source: the modules' attribute names in github.com/360CVGroup/FG-CLIP, fgclip/model and fgclip2/model.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_POSITIONS = "text_model.embeddings.position_embedding"
# Rows below 20 are read from the first table, the others from the second.
_HEAD_TABLE, _TAIL_TABLE = f"{_POSITIONS}_ori.weight", f"{_POSITIONS}_res.weight"
_KEPT_POSITIONS = 20
_PARTS = {  # official -> ours; a name that ends in a dot stands for all below it
    "text_filip_projection.": "long_projection.",
    "longtext_head.": "long_head.",
    "boxtext_head.": "box_head.",
    "dense_feature_head.": "dense_head.",
    "logit_scale_finegraind": "regional_scale",
    "logit_scale_hardneg": "hard_scale",
}


def from_official(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The towers' tensors under transformers' names, and FG-CLIP's own under ours; the second is empty for a plain checkpoint.

    Names that are known to neither stay in the first, where loading finds them out.
    """
    towers, own = {}, {}
    for name, value in tensors.items():
        ours = _mapped(name, _PARTS)
        if ours is not None:
            own[ours] = value
        elif name not in (_HEAD_TABLE, _TAIL_TABLE):
            towers[name] = value
    if _HEAD_TABLE in tensors and _TAIL_TABLE in tensors:
        kept = tensors[_HEAD_TABLE][:_KEPT_POSITIONS]
        own["long_positions.weight"] = torch.cat([kept, tensors[_TAIL_TABLE][_KEPT_POSITIONS:]])
    return towers, own


def to_official(state: Mapping[str, torch.Tensor], tower_name: str) -> dict[str, torch.Tensor]:
    """Our state under the official names."""
    back = {ours: official for official, ours in _PARTS.items()}
    renamed: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        official = _mapped(name, back)
        if name.startswith(f"{tower_name}."):
            renamed[name.removeprefix(f"{tower_name}.")] = value.contiguous()
        elif name == "long_positions.weight":
            renamed[_HEAD_TABLE], renamed[_TAIL_TABLE] = value.contiguous(), value.clone()
        elif official is not None:
            renamed[official] = value.contiguous()
        elif name != "bias":
            raise AssertionError(f"{name} has no official name")
    return renamed


def official_name(name: str) -> str:
    """What the official code calls a tensor of ours."""
    return _mapped(name, {ours: official for official, ours in _PARTS.items()}) or name


def _mapped(name: str, parts: Mapping[str, str]) -> str | None:
    for start, other in parts.items():
        if name == start or (start.endswith(".") and name.startswith(start)):
            return other + name.removeprefix(start)
    return None


def official_config(config: dict[str, Any], num_long_positions: int) -> dict[str, Any]:
    """A configuration as the official code reads it, of transformers' own."""
    content = {key: value for key, value in config.items() if key not in ("transformers_version", "dtype")}
    content["torch_dtype"] = "float32"
    if content["model_type"] == "clip":
        return {**content, "architectures": ["FGCLIPModel"]}
    text = {**content["text_config"], "keep_len": _KEPT_POSITIONS, "longtext_len": num_long_positions, "model_type": "fgclip2_text_model"}
    vision = {**content["vision_config"], "model_type": "fgclip2_vision_model"}
    return {**content, "architectures": ["FG_CLIP2_Model"], "model_type": "fgclip2", "text_config": text, "vision_config": vision}


def write_bpe_files(tokenizer: Any, folder: Path) -> None:
    """vocab.json and merges.txt, which the tokenizers of transformers 4 are made of; nothing where the tokenizer is no BPE."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = json.loads(backend.to_str())["model"] if backend is not None else {}
    if model.get("type") != "BPE":
        return
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
