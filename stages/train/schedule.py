"""The optimiser's parameters: learning rate by step, and which weights decay. Knows no data."""

import math

import torch

from stages.train.config import StageTraining
from stages.train.model.base import FgModel


def lr_at(step: int, num_steps: int, params: StageTraining) -> float:
    """The rate of step 0, 1, ...: it rises evenly over the warm-up to lr, then falls as half a cosine to `min_lr_share` of it."""
    if step < params.warmup_steps:
        return params.lr * (step + 1) / params.warmup_steps
    share = (step - params.warmup_steps) / max(1, num_steps - params.warmup_steps)
    lowest = params.lr * params.min_lr_share
    return lowest + (params.lr - lowest) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def optimiser(model: FgModel, params: StageTraining) -> torch.optim.AdamW:
    """AdamW; biases, norms and scales (all that is no matrix) do not decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    others = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": params.weight_decay}, {"params": others, "weight_decay": 0.0}]
    is_fused = all(parameter.device.type in ("cpu", "cuda") for parameter in model.parameters())
    return torch.optim.AdamW(groups, lr=params.lr, betas=(params.beta1, params.beta2), eps=params.eps, fused=is_fused)


def set_lr(adamw: torch.optim.Optimizer, lr: float) -> None:
    for group in adamw.param_groups:
        group["lr"] = lr
