"""What doctor says of a vLLM engine's memory, from the files of a model alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.commands.memory import budget_of, memory_checks, shape_of
from pipeline.config.read import load_config
from stages.engines.specs import Resources
from stages.engines.vllm_async import VllmSpec

# The shape of Qwen2.5-VL-7B, as its config.json has it.
SHAPE: dict[str, Any] = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "vision_config": {"patch_size": 14, "spatial_merge_size": 2},
}


def model(folder: Path, weights_bytes: int, **shape: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**SHAPE, **shape}), encoding="utf-8")
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(weights_bytes)  # a hole: it takes no room
    return folder


def memory_detail(folder: Path, spec: dict[str, Any], **resources: Any) -> str:
    content = {
        "workdir": "work",
        "corpus": {"path": "images"},
        "engines": {"captioner": {"kind": "vllm", **spec}},
        "stages": {"caption": {}},
        "placement": {"stages": {"caption": {"gpus": 1, **resources}}},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    (check,) = memory_checks(load_config(path))
    assert check.is_ok
    assert check.name == "memory of caption (captioner)"
    return check.detail


def test_a_token_of_the_cache_is_a_key_and_a_value_in_each_layer(tmp_path: Path) -> None:
    spec = VllmSpec(kind="vllm", model=str(model(tmp_path / "model", 16_600_000_000)), max_model_len=4096, max_num_seqs=256)
    shape = shape_of(spec)
    assert shape is not None
    assert shape.token_bytes(2) == 2 * 28 * 4 * 128 * 2  # 57,344 bytes, as vLLM reports for this model
    budget = budget_of(80, spec, shape, Resources(gpu_memory_share=0.9))
    assert budget.cache == pytest.approx(0.9 * 80e9 - 16.6e9 - budget.step - 1e9)
    assert budget.tokens == int(budget.cache / 57_344)
    halved = budget_of(80, spec.model_copy(update={"engine_args": {"kv_cache_dtype": "fp8"}}), shape, Resources(gpu_memory_share=0.9))
    assert halved.tokens == pytest.approx(2 * budget.tokens, abs=1)


def test_layers_without_a_cache_are_not_counted(tmp_path: Path) -> None:
    kinds = ["linear_attention"] * 21 + ["full_attention"] * 7
    shape = shape_of(VllmSpec(kind="vllm", model=str(model(tmp_path / "model", 10**9, layer_types=kinds))))
    assert shape is not None
    assert shape.cached_layers == 7


def test_doctor_says_what_fits_and_what_can_never_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.commands.memory.shutil.which", lambda _: None)  # no card here
    spec = {"model": str(model(tmp_path / "model", 16_600_000_000)), "max_pixels": 1003520, "max_model_len": 4096, "max_num_seqs": 256}
    on_24, on_80, on_141 = memory_detail(tmp_path, spec).split("; 1 x")
    assert "weights 16.6 GB" in on_24
    assert "max_num_seqs 256 can never be reached" in on_24
    assert "WARNING" not in on_80
    assert "WARNING" not in on_141
    assert "sequences of max_model_len" in on_80
    assert "of a largest image alone" in on_80


def test_a_model_too_large_for_a_card_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.commands.memory.shutil.which", lambda _: None)
    spec = {"model": str(model(tmp_path / "model", 61_000_000_000)), "max_model_len": 4096}
    assert "1 x 24 GB: does not fit: weights and one step take" in memory_detail(tmp_path, spec)
    assert "4 x 24 GB: weights 61.0 GB" in memory_detail(tmp_path, spec, gpus=4, tensor_parallel=4)


@pytest.mark.parametrize("broken", ["", "{}", "[1]", '{"hidden_size": "wide"}'])
def test_what_a_model_does_not_say_is_not_known(tmp_path: Path, broken: str) -> None:
    folder = model(tmp_path / "model", 10**9)
    (folder / "config.json").write_text(broken, encoding="utf-8")
    assert "not known before" in memory_detail(tmp_path, {"model": str(folder)})
    assert "not known before Org/Name-7B lies on this machine" in memory_detail(tmp_path, {"model": "Org/Name-7B", "revision": "main"})
