"""Whether and where a training goes on from a checkpoint: what must be equal, what may change, and what is said of it. No tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.train.config import MAY_CHANGE, TrainError
from stages.train.model.checkpoint import Progress

# Other numbers of these give another order of the images: a training may go on in it.
_ORDER = ("processes", "workers", "order")
_OPTIMISER = "lr min_lr_share warmup_steps weight_decay beta1 beta2 eps max_grad_norm precision".split()


def resumed_step(path: Path, saved: Progress, shape: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The step to go on with, and what is to be said of it. With the same numbers of processes and workers it is the very next one;
    with others, that of the same share of the training, in another order.

    Raises: TrainError where other images, texts or losses would be trained on.
    """
    reordered = [name for name in _ORDER if saved.shape.get(name, 1 if name == "order" else None) != shape[name]]
    free = {*_ORDER, *(("steps",) if reordered else ())}
    for name in shape:
        if name not in free and saved.shape.get(name) != shape[name]:
            raise TrainError(
                f"{path}: was written with {name} {saved.shape.get(name)}, now it is {shape[name]}: the order of the images would differ; "
                "set it back, or choose another `out`"
            )
    for name, before in saved.settings.items():
        if name in settings and name not in MAY_CHANGE and before != settings[name]:
            raise TrainError(
                f"{path}: was trained with {name} {before}, now it is {settings[name]}: what is trained would differ; "
                "set it back, or choose another `out`"
            )
    step, notes = saved.step, []
    if reordered:
        step = round(step * shape["steps"] / saved.shape["steps"])
        changes = ", ".join(f"{name} {saved.shape.get(name, 1)} before, {shape[name]} now" for name in reordered)
        notes.append(f"goes on at step {step} in another order of the images ({changes}): in this epoch some come twice, some not")
    return step, [f"{path}: {line}" for line in (*notes, *_changes(step, shape["steps"], saved.settings, settings))]


def _changes(step: int, num_steps: int, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changes = [f"{name} {now[name]} (before: {before[name]})" for name in _OPTIMISER if name in before and before[name] != now[name]]
    if step >= num_steps:
        also = f", with {', '.join(changes)} neither" if changes else ""
        return [f"is trained to its end: nothing is trained{also}; to train on choose another `out`"]
    return [f"goes on with {', '.join(changes)}"] if changes else []
