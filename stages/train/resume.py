"""Whether and where a training goes on from a checkpoint: what must be equal, what may change, and what is said of it. No tensors."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.train.config import MAY_CHANGE, TrainError
from stages.train.model.checkpoint import Progress

logger = logging.getLogger(__name__)

# Other numbers of these give another order of the images: a training may go on in it.
_ORDER = ("processes", "workers", "order")
_OPTIMISER = "lr min_lr_share warmup_steps weight_decay beta1 beta2 eps max_grad_norm precision".split()


def resumed_step(path: Path, saved: Progress, shape: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """The step to go on with. With the same numbers of processes and workers it is the very next one; with others, that of the same
    share of the training, in another order.

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
    step = saved.step
    if reordered:
        step = round(step * shape["steps"] / saved.shape["steps"])
        changes = ", ".join(f"{name} {saved.shape.get(name, 1)} before, {shape[name]} now" for name in reordered)
        logger.warning(
            "%s: goes on at step %d in another order of the images (%s): in this epoch some come twice, some not", path, step, changes
        )
    _say_what_changed(path, step, shape["steps"], saved.settings, settings)
    return step


def _say_what_changed(path: Path, step: int, num_steps: int, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changes = [f"{name} {now[name]} (before: {before[name]})" for name in _OPTIMISER if name in before and before[name] != now[name]]
    if step >= num_steps:
        what = f": with {', '.join(changes)} too" if changes else ""
        logger.warning("%s: is trained to its end, nothing is trained%s; to train on choose another `out`", path, what)
    elif changes:
        logger.warning("%s: goes on with %s", path, ", ".join(changes))
