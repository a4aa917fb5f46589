"""One optimiser step's losses and gradients, of a batch at once or in parts. Knows the model's features and the losses.

Axes: B images, R boxes an image, K boxes with an expression, H boxes with negatives, M their texts, N distinct texts, D features.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from stages.train.config import StageTraining
from stages.train.data.batch import NONE, TYPE_NAMES, Batch
from stages.train.data.texts import PackedTexts
from stages.train.losses import Gather, TypeFigures, by_type, contrastive_loss, hard_logits, hard_loss
from stages.train.model.clip import FgClip


@dataclass(frozen=True)
class Losses:
    """The weighted sum, its terms unweighted, and the scores of the hard loss where it is on."""

    total: torch.Tensor
    terms: dict[str, torch.Tensor]
    hard_logits_HM: torch.Tensor | None
    hard_type_HM: torch.Tensor

    def values(self) -> dict[str, float]:
        return {"loss": float(self.total.detach()), **{f"loss_{name}": float(term.detach()) for name, term in self.terms.items()}}

    def by_type(self) -> dict[str, TypeFigures]:
        """How the hard loss does by edit type."""
        return {} if self.hard_logits_HM is None else by_type(self.hard_logits_HM, self.hard_type_HM, TYPE_NAMES)


class TrainingStep:
    """Losses of a batch and their gradients, for one stage's parameters."""

    def __init__(self, model: FgClip, params: StageTraining, gather: Gather) -> None:
        self.model, self.params, self.gather = model, params, gather

    def backward(self, batch: Batch) -> Losses:
        """Add the batch's gradients to the parameters'. With `chunks` the towers see parts of the batch, the losses all of it."""
        if self.params.chunks == 1:
            losses = self.losses(batch, *self.features(batch))
            losses.total.backward()
            return losses
        return self._backward_in_parts(batch)

    def features(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image (B, D), region (B, R, D) and text features (N, D) of a batch."""
        no_text_ND = batch.boxes_BR4.new_zeros((0, self.model.long_projection.out_features))
        text_ND = self._texts(batch.texts) if len(batch.texts) else no_text_ND
        return *self._images(batch.pixels_BCHW, batch.boxes_BR4), text_ND

    def losses(self, batch: Batch, image_BD: torch.Tensor, region_BRD: torch.Tensor, text_ND: torch.Tensor) -> Losses:
        """The stage's losses on features."""
        params, terms, logits_HM = self.params, {}, None
        scale, regional_scale, hard_scale = self.model.scales()
        weights = {"long": params.weight_long, "short": params.weight_short}
        for name, text_B in (("long", batch.long_B), ("short", batch.short_B)):
            if weights[name]:
                keys_B = self._keys(batch, text_B)
                terms[name] = contrastive_loss(image_BD, _rows(text_ND, text_B), scale, text_B != NONE, keys_B, self.gather)
        region_D = region_BRD.flatten(0, 1)
        if params.weight_regional:
            weights["regional"] = params.weight_regional
            box_KD, expression_KD = region_D[batch.box_K], _rows(text_ND, batch.expression_K)
            keys_K = self._keys(batch, batch.expression_K)
            terms["regional"] = contrastive_loss(box_KD, expression_KD, regional_scale, text_key_B=keys_K)
        if params.weight_hard:
            weights["hard"] = params.weight_hard
            logits_HM = hard_logits(region_D[batch.hard_box_H], _rows(text_ND, batch.hard_text_HM), hard_scale, batch.hard_weight_HM)
            terms["hard"] = hard_loss(logits_HM)
        # Each feature and scale takes part, with weight 0 where no loss reads it: every step has a graph on every process.
        idle = (image_BD.sum() + region_BRD.sum() + text_ND.sum()) * 0
        total = sum((weights[name] * term for name, term in terms.items()), start=idle)
        return Losses(total, terms, None if logits_HM is None else logits_HM.detach(), batch.hard_type_HM)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[None]:
        if self.params.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def _keys(self, batch: Batch, index: torch.Tensor) -> torch.Tensor | None:
        """The texts' keys, on every process or on none: the processes gather them together."""
        if not self.params.mask_duplicates:
            return None
        return batch.text_key_N[index] if len(batch.texts) else torch.zeros_like(index)

    def _images(self, pixels_BCHW: torch.Tensor, boxes_BR4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with self.autocast(pixels_BCHW.device):
            return self.model.encode_images(pixels_BCHW, boxes_BR4)

    def _texts(self, texts: PackedTexts) -> torch.Tensor:
        with self.autocast(texts.ids_PL.device):
            return self.model.encode_texts(texts)

    def _backward_in_parts(self, batch: Batch) -> Losses:
        """Features of all parts without a graph, the losses' gradients for them, then each part again with its share of those.

        Source: GradCache (arXiv 2101.06983). The gradients are those of the undivided batch.
        """
        pixels, boxes = (tensor.tensor_split(self.params.chunks) for tensor in (batch.pixels_BCHW, batch.boxes_BR4))
        images = [partial(self._images, *part) for part in zip(pixels, boxes, strict=True) if len(part[0])]
        texts = [partial(self._texts, part) for part in batch.texts.parts(self.params.chunks)]
        with torch.no_grad():
            seen = [encode() for encode in images]
            image_BD, region_BRD = (torch.cat(feature).requires_grad_() for feature in zip(*seen, strict=True))
            text_ND = torch.cat([encode() for encode in texts] or [image_BD.new_zeros((0, image_BD.shape[1]))]).requires_grad_()
        losses = self.losses(batch, image_BD, region_BRD, text_ND)
        losses.total.backward()
        sizes = [len(image) for image, _ in seen]
        for encode, *gradients in zip(images, _gradients(image_BD, sizes), _gradients(region_BRD, sizes), strict=True):
            _push(encode(), gradients)
        lengths = [len(part) for part in batch.texts.parts(self.params.chunks)]
        for encode_text, gradient in zip(texts, _gradients(text_ND, lengths), strict=True):
            _push([encode_text()], [gradient])
        return losses


def _gradients(feature: torch.Tensor, lengths: Sequence[int]) -> Sequence[torch.Tensor]:
    """What the losses' backward pass left at a feature, cut into parts of these lengths."""
    assert feature.grad is not None  # each feature takes part in the total
    return feature.grad.split(lengths) if lengths else ()


def _push(features: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
    """Backward from the features that have a graph: without boxes the regions have none."""
    live = [(feature, gradient) for feature, gradient in zip(features, gradients, strict=True) if feature.requires_grad]
    torch.autograd.backward([feature for feature, _ in live], [gradient for _, gradient in live])


def _rows(text_ND: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The texts' features; where there is no text, a row that the losses' masks leave out."""
    if text_ND.shape[0] == 0:
        return text_ND.new_zeros((*index.shape, text_ND.shape[1])) + text_ND.sum()
    return text_ND[index.clamp(min=0)]
