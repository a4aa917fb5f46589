"""Checkpoints: the model's folder and all other state, written all or nothing. Knows no losses and no data set."""

import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stages.train.config import TrainError
from stages.train.model.base import FgModel

_STATE_FILE = "state.pt"
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class Progress:
    """Where a training stands: the next step, and what decides its order (a resumed training must have the same)."""

    step: int
    shape: Mapping[str, Any]


def save_model(model: FgModel, tokenizer: Any, folder: Path) -> None:
    """A folder with the model and its tokenizer, there whole or not at all; one that was there is replaced."""
    with _Unfinished(folder) as unfinished:
        model.save(unfinished)
        tokenizer.save_pretrained(unfinished)


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
        model.save(unfinished)
        tokenizer.save_pretrained(unfinished)
        state = {"optimiser": optimiser.state_dict(), "step": progress.step, "shape": dict(progress.shape), "random": random_states}
        torch.save(state, unfinished / _STATE_FILE)
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; None where there is none."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def load_checkpoint(path: Path, model: FgModel, optimiser: torch.optim.Optimizer, shape: Mapping[str, Any], rank: int) -> int:
    """Put the state back, this process's random numbers among it; returns the next step.

    Raises: TrainError where the training has another shape (processes, readers, batch, seed, data set), whose order would differ.
    """
    from safetensors.torch import load_file

    state = torch.load(path / _STATE_FILE, map_location="cpu", weights_only=True)
    for name, value in shape.items():
        if state["shape"].get(name) != value:
            raise TrainError(
                f"{path}: was written with {name} {state['shape'].get(name)}, now it is {value}: the order of the images would differ; "
                "set it back, or choose another `out`"
            )
    weights = {f"clip.{name}": value for name, value in load_file(path / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict({**weights, **load_file(path / "fgclip.safetensors")}, strict=False)
    if missing or unexpected:
        raise TrainError(f"{path}: does not fit the model: {[*missing, *unexpected][:3]}")
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"][rank])
    return int(state["step"])


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)) if folder.is_dir() else []


class _Unfinished:
    """A folder beside the target that takes its place when all is written and on the disk."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folder = target.parent / f".writing-{uuid.uuid4().hex}"

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
