"""FG-CLIP's model around transformers' CLIPModel. Knows no losses and no data set.

Axes: B images, C their channels, H W pixels or grid, T image tokens, E width of a tower, D features; R boxes an image (padded);
N texts.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from stages.train.data.texts import LONG, TextPacker
from stages.train.model.base import SIGMOID_BIAS, SIGMOID_SCALE, FgModel, after_attention, attended
from stages.train.model.roi import roi_weights

CLIP_PIXELS: Mapping[str, Any] = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
    "resample": 3,  # bicubic
}


class FgClip(FgModel):
    """The towers of a CLIP checkpoint, a projection of its own for long texts, and the dense map of the last block without mixing.

    The bias of the sigmoid loss is there only once such a loss has been asked for.
    """

    tower_name, is_causal = "clip", True
    bias: nn.Parameter | None

    def __init__(self, clip: Any, pixels: Mapping[str, Any] = CLIP_PIXELS) -> None:
        super().__init__()
        self.clip = clip
        self.add_common_parts(pixels, clip.logit_scale)
        self.register_parameter("bias", None)
        self.long_projection = nn.Linear(clip.text_projection.in_features, clip.text_projection.out_features, bias=False)
        self.long_projection.weight.data.copy_(clip.text_projection.weight.detach())

    @property
    def width(self) -> int:
        return int(self.long_projection.out_features)

    @property
    def global_bias(self) -> Float[Tensor, ""] | None:
        return self.bias

    def packer(self, tokenizer: Any) -> TextPacker:
        return TextPacker(tokenizer, *self.num_positions)

    def add_bias(self) -> None:
        if self.bias is None:
            self.bias = nn.Parameter(torch.tensor(SIGMOID_BIAS, device=self.regional_scale.device))

    def start_sigmoid(self) -> None:
        if self.bias is None:
            self.add_bias()
            self.clip.logit_scale.data.fill_(math.log(SIGMOID_SCALE))

    def image_features(self, hidden_BTE: Float[Tensor, "B T E"], grid_B2: Int[Tensor, "B 2"] | None) -> Float[Tensor, "B D"]:
        image_BD: torch.Tensor = self.clip.visual_projection(self.clip.vision_model.post_layernorm(self._cls_token(hidden_BTE)))
        return image_BD

    def region_features(
        self, hidden_BTE: Float[Tensor, "B T E"], boxes_BR4: Float[Tensor, "B R 4"], grid_B2: Int[Tensor, "B 2"] | None
    ) -> Float[Tensor, "B R D"]:
        side = math.isqrt(hidden_BTE.shape[1] - 1)
        weights_BRT = roi_weights(boxes_BR4, side, side)
        image_M, patch_M = weights_BRT.any(1).nonzero(as_tuple=True)  # patches on which a box lies: of the others nothing is read
        map_ME = self._unmixed(hidden_BTE[image_M, patch_M + 1])
        map_BTE = map_ME.new_zeros((*weights_BRT[:, 0].shape, map_ME.shape[1])).index_put((image_M, patch_M), map_ME)
        # The projection is linear: pooled first, it is applied to a few boxes and not to the whole grid.
        region_BRD: torch.Tensor = self.clip.visual_projection(weights_BRT.to(map_BTE.dtype) @ map_BTE)
        return region_BRD

    def dense_map(self, pixels_BCHW: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B h w D"]:
        """Features of each patch (B, H, W, D), not normalised: the last block without attention mixing, projected."""
        map_BTD: torch.Tensor = self.clip.visual_projection(self._unmixed(self.image_tokens(pixels_BCHW)[:, 1:]))
        side = math.isqrt(map_BTD.shape[1])
        map_BHWD: torch.Tensor = map_BTD.unflatten(1, (side, side))
        return map_BHWD.float()

    def project_texts(self, ends_NE: Float[Tensor, "N E"], kind_N: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        return torch.where((kind_N == LONG)[:, None], self.long_projection(ends_NE), self.clip.text_projection(ends_NE))

    def image_tokens(self, pixels: Shaped[Tensor, "B 3 H W"], grid_B2: Int[Tensor, "B 2"] | None = None) -> Float[Tensor, "B T E"]:
        """What enters the last block."""
        vision = self.clip.vision_model
        normal_BCHW = (pixels.to(vision.post_layernorm.weight.dtype) - self._mean_C11) / self._std_C11
        hidden_BTE: torch.Tensor = vision.pre_layrnorm(vision.embeddings(normal_BCHW))
        for layer in vision.encoder.layers[:-1]:
            hidden_BTE = layer(hidden_BTE, None)
        return hidden_BTE

    def _cls_token(self, hidden_BTE: Float[Tensor, "B T E"]) -> Float[Tensor, "B E"]:
        """(B, E): the last block's output for the CLS token; nothing else of it is ever read."""
        last = self.clip.vision_model.encoder.layers[-1]
        normed_BTE = last.layer_norm1(hidden_BTE)
        return after_attention(last, hidden_BTE[:, :1], attended(last, normed_BTE[:, :1], normed_BTE))[:, 0]

    def _unmixed(self, patches_E: Float[Tensor, "*N E"]) -> Float[Tensor, "*N E"]:
        """The last block with each patch attending to itself alone, after the last norm."""
        last = self.clip.vision_model.encoder.layers[-1]
        output_E = after_attention(last, patches_E, last.self_attn.v_proj(last.layer_norm1(patches_E)))
        map_E: torch.Tensor = self.clip.vision_model.post_layernorm(output_E)
        return map_E

    def pixel_settings(self) -> dict[str, Any]:
        return {"image_processor_type": "CLIPImageProcessor", "do_center_crop": False, **super().pixel_settings()}
