"""Several training processes as one: features gathered with gradient, gradients averaged. Knows torch.distributed, no model.

Axes: B rows of this process, G rows of all.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

from stages.train.losses import Alone, Gather

_BUCKET_BYTES = 64 * 2**20


class _GatherRows(torch.autograd.Function):
    """All processes' rows; backward, a process gets the sum of what all of them say of its own rows."""

    @staticmethod
    def forward(context: Any, rows_BD: Float[Tensor, "B D"]) -> torch.Tensor:
        context.num_rows = rows_BD.shape[0]
        return _gathered(rows_BD)

    @staticmethod
    def backward(context: Any, gradient_GD: Float[Tensor, "G D"]) -> torch.Tensor:
        gradient_GD = gradient_GD.contiguous()
        dist.all_reduce(gradient_GD)
        first = dist.get_rank() * context.num_rows
        return gradient_GD[first : first + context.num_rows]


class Together:
    """The Gather of this process group. Each process brings the same number of rows."""

    @property
    def rank(self) -> int:
        return int(dist.get_rank())

    @property
    def num_processes(self) -> int:
        return int(dist.get_world_size())

    def features(self, rows_BD: Float[Tensor, "B D"]) -> Float[Tensor, "G D"]:
        # A process whose rows have no graph (a batch without a text) must take part in the backward pass too, or the others wait.
        if torch.is_grad_enabled() and not rows_BD.requires_grad:
            rows_BD = rows_BD.detach().requires_grad_()
        gathered: torch.Tensor = _GatherRows.apply(rows_BD.contiguous())  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return gathered

    def values(self, rows_B: Shaped[Tensor, " B"]) -> Shaped[Tensor, " G"]:
        if rows_B.dtype == torch.bool:  # not every backend carries booleans
            return _gathered(rows_B.to(torch.uint8)).bool()
        return _gathered(rows_B)


def current_gather() -> Gather:
    """Together where a process group is up, else alone."""
    return Together() if is_distributed() else Alone()


def is_distributed() -> bool:
    return bool(dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Each parameter's gradient becomes the mean over the processes. One that a process did not use counts as 0 there.

    By hand and not by DistributedDataParallel: with cached features a step has several backward passes, and which parameters take
    part differs from process to process (a batch without regions).
    """
    if not is_distributed():
        return
    bucket: list[torch.Tensor] = []
    size = 0
    for parameter in parameters:
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        bucket.append(parameter.grad)
        size += parameter.numel() * parameter.element_size()
        if size >= _BUCKET_BYTES:
            _average(bucket)
            bucket, size = [], 0
    if bucket:
        _average(bucket)


def _average(gradients: list[torch.Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    at = 0
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()


def mean_over_processes(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """The mean of each value over the processes; all must bring the same names."""
    if not is_distributed():
        return values
    joined = torch.tensor([values[name] for name in sorted(values)], dtype=torch.float32, device=device)
    dist.all_reduce(joined)
    return dict(zip(sorted(values), (joined / dist.get_world_size()).tolist(), strict=True))


def _gathered(rows: torch.Tensor) -> torch.Tensor:
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)
