"""One optimiser step's losses and gradients, of a batch at once or in parts. Knows the model's features and the losses.

Axes: B images, R boxes an image, K boxes with an expression, H boxes with negatives, M their texts, N distinct texts, D features.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from stages.train.config import StageTraining
from stages.train.data.batch import NONE, TYPE_NAMES, Batch
from stages.train.data.texts import PackedTexts
from stages.train.losses import (
    Gather,
    TypeFigures,
    by_type,
    contrastive_loss,
    hard_loss,
    hard_similarities,
    sigmoid_loss,
    weighted_logits,
)
from stages.train.model.base import FgModel
from stages.train.region_losses import MAX_MARGIN, batch_contrast_loss, margin_loss, next_margin, text_text_loss


@dataclass(frozen=True)
class Losses:
    """The weighted sum, its terms unweighted, the scores of the negatives where they are read, and what this process says of the next
    margin."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    hard_logits_HM: Float[Tensor, "H M"] | None
    hard_type_HM: Int[Tensor, "H M"]
    margin: Float[Tensor, ""] | None = None

    def values(self) -> dict[str, float]:
        return {"loss": float(self.total.detach()), **{f"loss_{name}": float(term.detach()) for name, term in self.terms.items()}}

    def by_type(self) -> dict[str, TypeFigures]:
        """How the hard loss does by edit type."""
        return {} if self.hard_logits_HM is None else by_type(self.hard_logits_HM, self.hard_type_HM, TYPE_NAMES)


class TrainingStep:
    """Losses of a batch and their gradients, for one stage's parameters."""

    def __init__(self, model: FgModel, params: StageTraining, gather: Gather) -> None:
        self.model, self.params, self.gather = model, params, gather
        self.margin = 0.0  # of the margin loss; equal on all processes, part of a checkpoint

    def backward(self, batch: Batch) -> Losses:
        """Add the batch's gradients to the parameters'. With `chunks` the towers see parts of the batch, the losses all of it."""
        if self.params.chunks == 1:
            losses = self.losses(batch, *self.features(batch))
            losses.total.backward()
        else:
            losses = self._backward_in_parts(batch)
        if self.params.weight_cmr:
            self._move_margin(losses.margin, batch.boxes_BR4.device)
        return losses

    def features(self, batch: Batch) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B R D"], Float[Tensor, "N D"]]:
        """Image (B, D), region (B, R, D) and text features (N, D) of a batch."""
        no_text_ND = batch.boxes_BR4.new_zeros((0, self.model.width))
        text_ND = self._texts(batch.texts) if len(batch.texts) else no_text_ND
        return *self._images(batch.pixels_BCHW, batch.boxes_BR4, batch.grid_B2), text_ND

    def losses(
        self, batch: Batch, image_BD: Float[Tensor, "B D"], region_BRD: Float[Tensor, "B R D"], text_ND: Float[Tensor, "N D"]
    ) -> Losses:
        """The stage's losses on features."""
        params, logits_HM, margin = self.params, None, None
        scale, regional_scale, hard_scale = self.model.scales()
        region_D = region_BRD.flatten(0, 1)
        terms = self._global_terms(batch, image_BD, text_ND, scale)
        if params.reads_expressions:
            expression_KD = _rows(text_ND, batch.expression_K)
            if params.weight_regional:
                keys_K = self._keys(batch, batch.expression_K)
                terms["regional"] = contrastive_loss(region_D[batch.box_K], expression_KD, regional_scale, text_key_B=keys_K)
            if params.weight_tic:
                terms["tic"] = text_text_loss(expression_KD)
        if params.reads_negatives:
            box_HD, text_HMD, weight_HM = region_D[batch.hard_box_H], _rows(text_ND, batch.hard_text_HM), batch.hard_weight_HM
            similarity_HM = hard_similarities(box_HD, text_HMD, hard_scale)
            logits_HM = weighted_logits(similarity_HM, weight_HM)
            if params.weight_hard:
                terms["hard"] = hard_loss(logits_HM)
            if params.weight_hard_batch:
                keys_HM = self._keys(batch, batch.hard_text_HM)
                terms["hard_batch"] = batch_contrast_loss(box_HD, text_HMD, hard_scale, weight_HM, keys_HM)
            if params.weight_cmr:
                terms["cmr"] = margin_loss(similarity_HM, weight_HM, self.margin)
                margin = next_margin(similarity_HM, weight_HM)
        # Each feature and scale takes part, with weight 0 where no loss reads it: every step has a graph on every process.
        idle = (image_BD.sum() + region_BRD.sum() + text_ND.sum()) * 0
        total = sum((getattr(params, f"weight_{name}") * term for name, term in terms.items()), start=idle)
        return Losses(total, terms, None if logits_HM is None else logits_HM.detach(), batch.hard_type_HM, margin)

    def _global_terms(
        self, batch: Batch, image_BD: Float[Tensor, "B D"], text_ND: Float[Tensor, "N D"], scale: Float[Tensor, ""]
    ) -> dict[str, Float[Tensor, ""]]:
        """The contrast of images with long and with short captions."""
        params, terms = self.params, {}
        for name, text_B in (("long", batch.long_B), ("short", batch.short_B)):
            if not getattr(params, f"weight_{name}"):
                continue
            rest = text_B != NONE, self._keys(batch, text_B), self.gather
            if params.global_loss == "sigmoid":
                bias = self.model.global_bias
                assert bias is not None  # start_sigmoid gave it one
                terms[name] = sigmoid_loss(image_BD, _rows(text_ND, text_B), scale, bias, *rest)
            else:
                terms[name] = contrastive_loss(image_BD, _rows(text_ND, text_B), scale, *rest)
        return terms

    def _move_margin(self, own: Float[Tensor, ""] | None, device: torch.device) -> None:
        """The margin of the next step: the mean over the processes, of which each takes part in each step."""
        mine = torch.full((1,), self.margin, device=device) if own is None else own.float().reshape(1)
        self.margin = float(self.gather.values(mine).mean().clamp(0, MAX_MARGIN))

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[None]:
        if self.params.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def _keys(self, batch: Batch, index: Int[Tensor, "*I"]) -> Int[Tensor, "*I"] | None:
        """The texts' keys, on every process or on none: the processes gather them together."""
        if not self.params.mask_duplicates:
            return None
        return batch.text_key_N[index] if len(batch.texts) else torch.zeros_like(index)

    def _images(
        self, pixels_BCHW: Shaped[Tensor, "B ..."], boxes_BR4: Float[Tensor, "B R 4"], grid_B2: Int[Tensor, "B 2"] | None = None
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B R D"]]:
        with self.autocast(pixels_BCHW.device):
            return self.model.encode_images(pixels_BCHW, boxes_BR4, grid_B2)

    def _texts(self, texts: PackedTexts) -> Float[Tensor, "N D"]:
        with self.autocast(texts.ids_PL.device):
            return self.model.encode_texts(texts)

    def _backward_in_parts(self, batch: Batch) -> Losses:
        """Features of all parts without a graph, the losses' gradients for them, then each part again with its share of those.

        Source: GradCache (arXiv 2101.06983). The gradients are those of the undivided batch.
        """
        parts = [tensor.tensor_split(self.params.chunks) for tensor in (batch.pixels_BCHW, batch.boxes_BR4)]
        grids = batch.grid_B2.tensor_split(self.params.chunks) if batch.grid_B2 is not None else [None] * len(parts[0])
        images = [_Replayed(partial(self._images, *part)) for part in zip(*parts, grids, strict=True) if len(part[0])]
        text_parts = batch.texts.parts(self.params.chunks)
        texts = [_Replayed(partial(self._texts, part)) for part in text_parts]
        with torch.no_grad():
            seen = [encode() for encode in images]
            image_BD, region_BRD = (torch.cat(feature).requires_grad_() for feature in zip(*seen, strict=True))
            text_ND = torch.cat([encode() for encode in texts] or [image_BD.new_zeros((0, image_BD.shape[1]))]).requires_grad_()
        losses = self.losses(batch, image_BD, region_BRD, text_ND)
        losses.total.backward()
        sizes = [len(image) for image, _ in seen]
        for encode, *gradients in zip(images, _gradients(image_BD, sizes), _gradients(region_BRD, sizes), strict=True):
            _push(encode(), gradients)
        for encode_text, gradient in zip(texts, _gradients(text_ND, [len(part) for part in text_parts]), strict=True):
            _push([encode_text()], [gradient])
        return losses


class _Replayed:
    """An encoder that is called twice and draws the same random numbers (dropout) both times; what comes after draws on from the first."""

    def __init__(self, encode: Callable[[], Any]) -> None:
        self._encode = encode
        self._states: tuple[torch.Tensor, list[torch.Tensor]] | None = None

    def __call__(self) -> Any:
        if self._states is None:
            self._states = _random_states()
            return self._encode()
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices):
            torch.set_rng_state(self._states[0])
            for device, state in zip(devices, self._states[1], strict=True):
                torch.cuda.set_rng_state(state, device)
            return self._encode()


def _random_states() -> tuple[torch.Tensor, list[torch.Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _gradients(feature: torch.Tensor, lengths: Sequence[int]) -> Sequence[torch.Tensor]:
    """What the losses' backward pass left at a feature, cut into parts of these lengths."""
    assert feature.grad is not None  # each feature takes part in the total
    return feature.grad.split(lengths) if lengths else ()


def _push(features: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
    """Backward from the features that have a graph: without boxes the regions have none."""
    live = [(feature, gradient) for feature, gradient in zip(features, gradients, strict=True) if feature.requires_grad]
    torch.autograd.backward([feature for feature, _ in live], [gradient for _, gradient in live])


def _rows(text_ND: Float[Tensor, "N D"], index: Int[Tensor, "*I"]) -> Float[Tensor, "*I D"]:
    """The texts' features; where there is no text, a row that the losses' masks leave out."""
    if text_ND.shape[0] == 0:
        return text_ND.new_zeros((*index.shape, text_ND.shape[1])) + text_ND.sum()
    return text_ND[index.clamp(min=0)]
