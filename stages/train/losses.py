"""The global, regional and hard losses on features of length 1; region_losses.py has what FG-CLIP 2 adds. Knows no model, no batch.

Axes: B rows of this process, G rows gathered over all processes, K boxes, H boxes with negatives, M their texts (positive first,
padded), D features. A scale is what similarities are multiplied with. All is computed in fp32. A loss without a row is a zero that
still has a graph, so that each process takes part in each backward pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@runtime_checkable  # the tests check arguments
class Gather(Protocol):
    """Rows of all processes, in their order, and where this process's begin."""

    def features(self, rows_BD: Float[Tensor, "B D"]) -> Float[Tensor, "G D"]: ...

    def values(self, rows_B: Shaped[Tensor, " B"]) -> Shaped[Tensor, " G"]: ...

    @property
    def rank(self) -> int: ...

    @property
    def num_processes(self) -> int: ...


class Alone:
    """The Gather of a single process, and of a loss that stays within one."""

    rank, num_processes = 0, 1

    def features(self, rows_BD: Float[Tensor, "B D"]) -> Float[Tensor, "G D"]:
        return rows_BD

    def values(self, rows_B: Shaped[Tensor, " B"]) -> Shaped[Tensor, " G"]:
        return rows_B


def contrastive_loss(
    image_BD: Float[Tensor, "B D"],
    text_BD: Float[Tensor, "B D"],
    scale: Float[Tensor, ""],
    is_valid_B: Bool[Tensor, " B"] | None = None,
    text_key_B: Int[Tensor, " B"] | None = None,
    gather: Gather | None = None,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: half the cross-entropy of each row's text among all texts, and of each row's image among all images.

    The global loss (long and short captions, gathered over the processes with gradient, rows local) and the regional loss (boxes
    and expressions of one process). Each process returns its share of the mean over all valid rows, times the number of
    processes: averaged over the processes, values and gradients are those of one process on the joined batch.

    Rows that are not valid (no text, no readable image) are neither rows nor candidates. Rows with equal `text_key_B` are no
    negatives of each other; without keys they are, as published.

    Source: FG-CLIP (arXiv 2505.05071) section 3.1 (global), 3.2 (regional).
    """
    gather = gather or Alone()
    num_rows, device = image_BD.shape[0], image_BD.device
    is_valid_B = torch.ones(num_rows, dtype=torch.bool, device=device) if is_valid_B is None else is_valid_B
    image_GD, text_GD = gather.features(image_BD.float()), gather.features(text_BD.float())
    is_valid_G = gather.values(is_valid_B)
    num_valid = is_valid_G.sum().clamp(min=1)
    if image_GD.shape[0] == 0:
        return (image_GD.sum() + text_GD.sum()) * 0 + scale * 0
    own_B = torch.arange(num_rows, device=device) + gather.rank * num_rows
    is_out_BG = ~is_valid_G[None, :].expand(num_rows, -1)
    if text_key_B is not None:
        is_out_BG = is_out_BG | (text_key_B[:, None] == gather.values(text_key_B)[None, :])
    is_out_BG = is_out_BG.scatter(1, own_B[:, None], torch.zeros_like(own_B, dtype=torch.bool)[:, None])
    to_text_BG = (scale * image_BD.float() @ text_GD.T).masked_fill(is_out_BG, float("-inf"))
    to_image_BG = (scale * text_BD.float() @ image_GD.T).masked_fill(is_out_BG, float("-inf"))
    loss_B = (F.cross_entropy(to_text_BG, own_B, reduction="none") + F.cross_entropy(to_image_BG, own_B, reduction="none")) / 2
    return torch.where(is_valid_B, loss_B, 0.0).sum() / num_valid * gather.num_processes


def sigmoid_loss(
    image_BD: Float[Tensor, "B D"],
    text_BD: Float[Tensor, "B D"],
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
    is_valid_B: Bool[Tensor, " B"] | None = None,
    text_key_B: Int[Tensor, " B"] | None = None,
    gather: Gather | None = None,
) -> Float[Tensor, ""]:
    """Pairwise sigmoid: -sum over an image's row of logsigmoid(z (scale * x.t + bias)), z = 1 for its own text and -1 for every other
    text of all processes; the mean over rows.

    The same share of a process, and the same meaning of `is_valid_B` and `text_key_B`, as in `contrastive_loss`: a text that is equal
    to an image's own is neither its positive nor its negative.

    Source: SigLIP (arXiv 2303.15343) section 3.2; FG-CLIP 2, whose code gathers the texts.
    """
    gather = gather or Alone()
    num_rows, device = image_BD.shape[0], image_BD.device
    is_valid_B = torch.ones(num_rows, dtype=torch.bool, device=device) if is_valid_B is None else is_valid_B
    text_GD, is_valid_G = gather.features(text_BD.float()), gather.values(is_valid_B)
    logits_BG = scale * image_BD.float() @ text_GD.T + bias
    is_pair_BG = is_valid_B[:, None] & is_valid_G[None, :]
    own_B = torch.arange(num_rows, device=device) + gather.rank * num_rows
    is_own_BG = torch.zeros_like(is_pair_BG).scatter(1, own_B[:, None], torch.ones_like(own_B, dtype=torch.bool)[:, None])
    if text_key_B is not None:
        is_pair_BG = is_pair_BG & (is_own_BG | (text_key_B[:, None] != gather.values(text_key_B)[None, :]))
    loss_BG = -F.logsigmoid(torch.where(is_own_BG, logits_BG, -logits_BG))
    return torch.where(is_pair_BG, loss_BG, 0.0).sum() / is_valid_G.sum().clamp(min=1) * gather.num_processes


def hard_similarities(region_HD: Float[Tensor, "H D"], text_HMD: Float[Tensor, "H M D"], scale: Float[Tensor, ""]) -> Float[Tensor, "H M"]:
    """Scaled similarities of each box with its texts."""
    return scale * torch.einsum("hd,hmd->hm", region_HD.float(), text_HMD.float())


def weighted_logits(similarity_HM: Float[Tensor, "H M"], weight_HM: Float[Tensor, "H M"]) -> Float[Tensor, "H M"]:
    """Similarities plus the log of the texts' weights: -inf where a text weighs 0."""
    # masked, not added: the gradient of 0 * inf is no number
    return (similarity_HM + weight_HM.clamp(min=1e-30).log()).masked_fill(weight_HM <= 0, float("-inf"))


def hard_loss(logits_HM: Float[Tensor, "H M"]) -> Float[Tensor, ""]:
    """Cross-entropy of each box's own expression among itself and its negatives: the mean over boxes of
    -log(e^s0 / (e^s0 + sum_m w_m e^sm)), with s the scaled similarities and w the negatives' weights.

    With ten negatives of weight 1 it is the published 11-way cross-entropy, from image to text only. A weight of 0 takes a
    negative out (padding, `unsure`); a box whose negatives all weigh 0 does not count.

    Source: FG-CLIP (arXiv 2505.05071) section 3.3.
    """
    has_any_H = torch.isfinite(logits_HM[:, 1:]).any(1)
    loss_H = torch.where(has_any_H, _first_of(logits_HM), 0.0)
    return loss_H.sum() / has_any_H.sum().clamp(min=1)


@dataclass(frozen=True)
class TypeFigures:
    """What one edit type's negatives say of a batch: mean loss, share of boxes whose expression wins, boxes that have the type."""

    loss: float
    top1: float
    boxes: int


@torch.no_grad()
def by_type(logits_HM: Float[Tensor, "H M"], type_HM: Int[Tensor, "H M"], names: Mapping[int, str]) -> dict[str, TypeFigures]:
    """The hard loss and its top-1 with the negatives of one type alone, for each type that the batch has. Ties are not right."""
    losses = {}
    for number, name in names.items():
        is_kept_HM = (type_HM == number) & torch.isfinite(logits_HM)
        has_any_H = is_kept_HM.any(1)
        num_boxes = int(has_any_H.sum())
        if num_boxes:
            is_kept_HM[:, 0] = True
            kept_HM = logits_HM.masked_fill(~is_kept_HM, float("-inf"))[has_any_H]
            wins_H = kept_HM[:, 0] > kept_HM[:, 1:].max(1).values
            losses[name] = TypeFigures(float(_first_of(kept_HM).mean()), float(wins_H.float().mean()), num_boxes)
    return losses


def _first_of(logits_HM: Float[Tensor, "H M"]) -> Float[Tensor, " H"]:
    return logits_HM.logsumexp(1) - logits_HM[:, 0]
