"""Checkpoints in the layouts of FG-CLIP's own code: the names of its tensors are facts of that code, the weights are drawn."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from stages.train.config import Stage2, TrainError
from stages.train.data.shards import ExportedDataset
from stages.train.data.texts import BOX, LONG, SHORT
from stages.train.evaluation.evaluate import evaluate
from stages.train.evaluation.features import Encoder
from stages.train.loop import Job, Report, Trainer
from stages.train.model.base import FgModel
from stages.train.model.checkpoint import save_official
from stages.train.model.load import load_model
from tests.support.training_data import save_tiny_clip, save_tiny_siglip, toys, write_dataset

POSITIONS = "text_model.embeddings.position_embedding"
# What the official models hold beside the towers of transformers.
V1 = {f"{POSITIONS}_ori.weight", f"{POSITIONS}_res.weight", "text_filip_projection.weight", "logit_scale_finegraind", "logit_scale_hardneg"}
V2 = {
    f"{POSITIONS}_ori.weight", f"{POSITIONS}_res.weight", "longtext_head.weight", "longtext_head.bias", "boxtext_head.weight",
    "boxtext_head.bias", "logit_scale_finegraind", "logit_scale_hardneg",
    *(f"dense_feature_head.{name}" for name in (
        "probe", "attention.in_proj_weight", "attention.in_proj_bias", "attention.out_proj.weight", "attention.out_proj.bias",
        "layernorm.weight", "layernorm.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias")),
}  # fmt: skip
MAKERS: dict[str, tuple[Callable[[Path], Path], set[str]]] = {"v1": (save_tiny_clip, V1), "v2": (save_tiny_siglip, V2)}


def official(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """A folder as the official code saves it; its tensors."""
    make, extra = MAKERS[kind]
    make(folder)
    tensors = load_file(folder / "model.safetensors")
    width, (short, _) = 32, tensors[f"{POSITIONS}.weight"].shape
    generator = torch.Generator().manual_seed(3)
    for name in sorted(extra):
        like = {"_ori.weight": (4 * short - 60, width), "_res.weight": (4 * short - 60, width), "text_filip_projection.weight": (16, width)}
        shapes = [shape for end, shape in like.items() if name.endswith(end)]
        twin = name.replace("dense_feature_head", "vision_model.head").replace("longtext_head", "text_model.head")
        twin = twin.replace("boxtext_head", "text_model.head")
        shape = shapes[0] if shapes else () if name.startswith("logit") else tensors[twin].shape
        tensors[name] = torch.randn(shape, generator=generator) * 0.1
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "fgclip2" if kind == "v2" else "clip", "architectures": ["FG_CLIP2_Model" if kind == "v2" else "FGCLIPModel"]}
    if kind == "v2":
        config["text_config"] |= {"model_type": "fgclip2_text_model", "keep_len": 20, "longtext_len": 36}
        config["vision_config"] |= {"model_type": "fgclip2_vision_model"}
    (folder / "config.json").write_text(json.dumps(config))
    return tensors


def text_feature(model: FgModel, folder: Path, kind: int, text: str) -> torch.Tensor:
    packed, _ = model.packer(AutoTokenizer.from_pretrained(folder)).pack([(kind, text)])
    return model.eval().encode_texts(packed)[0]


def long_feature_as_published(folder: Path, tensors: dict[str, torch.Tensor], kind: str, text: str) -> torch.Tensor:
    """Rows below 20 of the first table, the others of the second; then the long texts' own head."""
    model, tokenizer = load_model(str(folder))
    tower = model.towers.text_model
    ids = tokenizer([text], **({"padding": "max_length", "max_length": 36} if kind == "v2" else {}), return_tensors="pt")["input_ids"]
    is_head = (torch.arange(ids.shape[1]) < 20)[:, None]
    first, second = (tensors[f"{POSITIONS}_{part}.weight"][: ids.shape[1]] for part in ("ori", "res"))
    hidden = tower.embeddings.token_embedding(ids) + torch.where(is_head, first, second)
    mask = None if kind == "v2" else torch.ones(ids.shape[1], ids.shape[1]).tril().bool()[None, None]
    for layer in tower.encoder.layers:
        hidden = layer(hidden, mask)
    last = tower.final_layer_norm(hidden)[0, -1]
    if kind == "v1":
        return F.normalize(tensors["text_filip_projection.weight"] @ last, dim=-1)
    return F.normalize(tensors["longtext_head.weight"] @ last + tensors["longtext_head.bias"], dim=-1)


@pytest.mark.parametrize("kind", MAKERS)
def test_an_official_checkpoint_brings_all_its_heads(tmp_path: Path, kind: str) -> None:
    tensors = official(tmp_path, kind)
    model, _ = load_model(str(tmp_path))
    text = "a photo of the green mug on the left and two small red toy with one large blue star on the table and a car right of the mug"
    torch.testing.assert_close(
        text_feature(model, tmp_path, LONG, text), long_feature_as_published(tmp_path, tensors, kind, text), atol=1e-6, rtol=1e-5
    )
    assert float(model.regional_scale.detach()) == pytest.approx(float(tensors["logit_scale_finegraind"]))
    assert float(model.hard_scale.detach()) == pytest.approx(float(tensors["logit_scale_hardneg"]))
    if kind == "v2":
        assert torch.equal(model.state_dict()["box_head.weight"], tensors["boxtext_head.weight"])
        assert torch.equal(model.state_dict()["dense_head.mlp.fc1.weight"], tensors["dense_feature_head.mlp.fc1.weight"])


@pytest.mark.parametrize("kind", MAKERS)
def test_out_and_in_again_nothing_changes(tmp_path: Path, kind: str) -> None:
    tensors = official(tmp_path / "in", kind)
    model, tokenizer = load_model(str(tmp_path / "in"))
    save_official(model, tokenizer, tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert set(written) == set(tensors)
    for name, value in tensors.items():
        if "_ori." not in name and "_res." not in name:  # of each, rows that nothing reads are not kept
            torch.testing.assert_close(written[name].reshape(value.shape), value, atol=0, rtol=0, msg=name)
    assert torch.equal(written[f"{POSITIONS}_ori.weight"][:20], tensors[f"{POSITIONS}_ori.weight"][:20])
    assert torch.equal(written[f"{POSITIONS}_res.weight"][20:], tensors[f"{POSITIONS}_res.weight"][20:])
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == ("fgclip2" if kind == "v2" else "clip")
    again, _ = load_model(str(tmp_path / "out"))
    for kind_of_text in (SHORT, LONG, BOX):
        left, right = (text_feature(either, tmp_path / "in", kind_of_text, "a red car on the table") for either in (model, again))
        torch.testing.assert_close(left, right, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ["logit_scale_new", "text_model.other_head.weight", "longtext_heads.weight"])
def test_a_tensor_that_is_not_known_is_named(tmp_path: Path, kind: str, name: str) -> None:
    tensors = official(tmp_path, kind)
    save_file({**tensors, name: torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(TrainError, match=f"holds the unknown tensor {name}"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_head_that_is_missing_is_named(tmp_path: Path, kind: str) -> None:
    tensors = official(tmp_path, kind)
    lost = "text_filip_projection.weight" if kind == "v1" else "boxtext_head.weight"
    save_file({name: value for name, value in tensors.items() if name != lost}, tmp_path / "model.safetensors")
    with pytest.raises(TrainError, match=f"has no {lost}"):
        load_model(str(tmp_path))


def test_scales_that_no_checkpoint_brings_start_as_the_global_one(tmp_path: Path) -> None:
    tensors = official(tmp_path, "v2")
    save_file({name: value for name, value in tensors.items() if not name.startswith("logit_scale_")}, tmp_path / "model.safetensors")
    model, _ = load_model(str(tmp_path))
    assert float(model.hard_scale.detach()) == pytest.approx(float(tensors["logit_scale"]))


def test_naflex_towers_train_to_an_official_checkpoint_that_evaluates_alike(tmp_path: Path) -> None:
    """Both ends of a training of FG-CLIP 2: its checkpoint in, steps in bf16, its checkpoint out."""
    official(tmp_path / "start", "v2")
    root = write_dataset(tmp_path / "toys", toys(12))
    params = Stage2.model_validate(
        {"recipe": "fgclip2", "batch_size": 4, "workers": 0, "steps": 3, "lr": 1e-4, "log_every": 1, "patch_budgets": [9, 16]}
    )
    reports: list[Report] = []
    job = Job(str(tmp_path / "start"), None, False, str(root), tmp_path / "out", params, official=True)
    Trainer(job, reports.append).train()
    assert all(math.isfinite(value) for report in reports for value in report.values.values())
    assert {"loss_tic", "loss_cmr", "loss_hard_batch"} <= set(reports[0].values)
    places = (tmp_path / "out" / "model", tmp_path / "out" / "official")
    figures = [evaluate(Encoder(*load_model(str(place))), ExportedDataset(str(root))) for place in places]
    assert figures[0] == figures[1]
    assert figures[0]["images"] == {"seen": 12, "unreadable": 0}
