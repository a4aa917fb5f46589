"""Checkpoints: the model's folder and all other state, written all or nothing. Knows no losses and no data set."""

import json
import logging
import os
import pickle
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stages.train.config import TrainError
from stages.train.model.base import EXTRA_FILE, FgModel
from stages.train.model.official import official_config, to_official, write_bpe_files

logger = logging.getLogger(__name__)

_STATE_FILE = "state.pt"
_WEIGHTS_FILE = "model.safetensors"
_NAME = re.compile(r"step-(\d{8})")
_UNFINISHED = ".writing-"
_TORN = (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Progress:
    """Where a training stands: the next step, what decides its order, its settings, and the margin of the margin loss."""

    step: int
    shape: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    margin: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """One that was read whole: nothing of it is in use yet."""

    path: Path
    progress: Progress
    weights: Mapping[str, torch.Tensor]
    optimiser: dict[str, Any]
    random_states: list[torch.Tensor]


def save_model(model: FgModel, tokenizer: Any, folder: Path) -> None:
    """A folder with the model and its tokenizer, there whole or not at all; one that was there is replaced."""
    with _Unfinished(folder) as unfinished:
        _write(model, tokenizer, unfinished)


def save_official(model: FgModel, tokenizer: Any, folder: Path) -> None:
    """The same model as FG-CLIP's own code loads it (version 1 for CLIP, 2 for NaFlex towers), whole or not at all."""
    from safetensors.torch import save_file

    check_official(model)
    if "bias" in model.state_dict():
        logger.warning("%s: version 1 has no place for the bias of the sigmoid loss: it is left out; no feature depends on it", folder)
    with _Unfinished(folder) as unfinished:
        _write(model, tokenizer, unfinished)
        (unfinished / EXTRA_FILE).unlink()
        state = {name: value.cpu() for name, value in model.state_dict().items()}
        save_file(to_official(state, model.tower_name), unfinished / _WEIGHTS_FILE, {"format": "pt"})
        config = json.loads((unfinished / "config.json").read_text(encoding="utf-8"))
        content = json.dumps(official_config(config, model.num_positions[1]), indent=1)
        (unfinished / "config.json").write_text(content + "\n", encoding="utf-8")


def check_official(model: FgModel) -> None:
    """Raises: TrainError where FG-CLIP's own code has no such model."""
    kind = model.towers.config.model_type
    if kind not in ("clip", "siglip2"):
        raise TrainError(f"official: true: FG-CLIP's own code has CLIP and NaFlex towers; this model is of type {kind}")


def _write(model: FgModel, tokenizer: Any, folder: Path) -> None:
    model.save(folder)
    tokenizer.save_pretrained(folder)
    write_bpe_files(tokenizer, folder)


def save_checkpoint(
    folder: Path,
    model: FgModel,
    tokenizer: Any,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    random_states: list[torch.Tensor],
    keep: int,
) -> Path:
    """Write `step-NNNNNNNN` into the folder and remove all but the newest `keep` checkpoints. `random_states`: one a process."""
    target = folder / f"step-{progress.step:08d}"
    with _Unfinished(target) as unfinished:
        _write(model, tokenizer, unfinished)
        state = {
            "optimiser": optimiser.state_dict(),
            "step": progress.step,
            "shape": dict(progress.shape),
            "settings": dict(progress.settings),
            "margin": progress.margin,
            "random": random_states,
        }
        torch.save(state, unfinished / _STATE_FILE)
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint; None where there is none."""
    checkpoints = _checkpoints(folder)
    return checkpoints[-1] if checkpoints else None


def read_newest(folder: Path, model: FgModel, is_told: bool = True) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there is none. One that is not is logged (by one process: `is_told`), and the one
    before is tried.

    Raises: TrainError where there are some and none is whole: to begin anew is for the user to decide.
    """
    checkpoints = _checkpoints(folder)
    for path in reversed(checkpoints):
        try:
            return _read(path, model)
        except _TORN as error:
            level = logging.WARNING if is_told else logging.DEBUG
            logger.log(level, "%s: cannot be read (%s); the checkpoint before it is tried", path, " ".join(str(error).split())[:120])
    if checkpoints:
        raise TrainError(f"{folder}: no checkpoint can be read; remove them to train from the start")
    return None


def _read(path: Path, model: FgModel) -> Checkpoint:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state = torch.load(path / _STATE_FILE, map_location="cpu", weights_only=True)
    try:
        towers, extra = load_file(path / _WEIGHTS_FILE), load_file(path / EXTRA_FILE)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    weights = {**{f"{model.tower_name}.{name}": value for name, value in towers.items()}, **extra}
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise ValueError("holds weights that are no numbers")
    progress = Progress(int(state["step"]), state["shape"], state.get("settings", {}), float(state.get("margin", 0.0)))
    return Checkpoint(path, progress, weights, state["optimiser"], state["random"])


def put_back(checkpoint: Checkpoint, model: FgModel, optimiser: torch.optim.Optimizer, rank: int, seed: int) -> None:
    """Weights, the optimiser's moments and this process's random numbers. The optimiser's settings stay as they are now.

    Raises: TrainError where the checkpoint is of another model.
    """
    if "bias" in checkpoint.weights:
        model.add_bias()
    missing, unexpected = model.load_state_dict(checkpoint.weights, strict=False)
    if missing or unexpected:
        raise TrainError(f"{checkpoint.path}: does not fit the model: {[*missing, *unexpected][:3]}; choose another `out`")
    now = [{key: value for key, value in group.items() if key != "params"} for group in optimiser.param_groups]
    try:
        optimiser.load_state_dict(checkpoint.optimiser)
    except ValueError as error:
        raise TrainError(f"{checkpoint.path}: its optimiser does not fit the model: {error}; choose another `out`") from error
    for group, settings in zip(optimiser.param_groups, now, strict=True):
        group.update(settings)
    if rank < len(checkpoint.random_states):
        torch.set_rng_state(checkpoint.random_states[rank])
    else:
        torch.manual_seed(seed + 7919 * rank + checkpoint.progress.step)  # a process that the checkpoint does not know


def remove_unfinished(*folders: Path) -> None:
    """Saves that were killed leave their folders behind."""
    for folder in folders:
        for left in folder.glob(f"{_UNFINISHED}*") if folder.is_dir() else ():
            shutil.rmtree(left, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)) if folder.is_dir() else []


class _Unfinished:
    """A folder beside the target that takes its place when all is written and on the disk."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folder = target.parent / f"{_UNFINISHED}{uuid.uuid4().hex}"

    def __enter__(self) -> Path:
        self._folder.mkdir(parents=True)
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for path in [*self._folder.iterdir(), self._folder]:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        if self._target.exists():
            shutil.rmtree(self._target)
        self._folder.rename(self._target)
