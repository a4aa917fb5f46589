"""FG-CLIP 2's model around transformers' SiglipModel and Siglip2Model (NaFlex: images keep their shape). Knows no losses, no data set.

Axes: B images, T image tokens, P a patch's values, E width of a tower and of a feature; R boxes an image (padded); N texts; Q queries.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from stages.train.data.texts import PaddedPacker, TextPacker
from stages.train.model.base import FgModel, by_kind, clamped
from stages.train.model.roi import roi_weights

SIGLIP_PIXELS: Mapping[str, Any] = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5), "resample": 2}  # bilinear


class FgSiglip(FgModel):
    """The towers of a SigLIP 2 checkpoint, a head each for long and for box texts (copies of the text tower's own), and a dense head (a
    copy of the pooling head, with every patch as its own query).

    With NaFlex towers an image is given as patches (B, T, P) of uint8, padded, and its grid (rows, columns).
    """

    tower_name, is_causal = "siglip", False

    def __init__(self, siglip: Any, pixels: Mapping[str, Any] = SIGLIP_PIXELS) -> None:
        super().__init__()
        self.siglip = siglip
        self.add_common_parts(pixels, siglip.logit_scale)
        self.long_head: nn.Linear = copy.deepcopy(siglip.text_model.head)
        self.box_head: nn.Linear = copy.deepcopy(siglip.text_model.head)
        self.dense_head: nn.Module = copy.deepcopy(siglip.vision_model.head)
        self.dense_head.probe.requires_grad_(False)  # kept for the official layout; each patch is its own query

    @property
    def width(self) -> int:
        return int(self.long_head.out_features)

    @property
    def patch_size(self) -> int | None:
        return int(self.siglip.config.vision_config.patch_size) if self.siglip.config.model_type == "siglip2" else None

    @property
    def image_size(self) -> int:
        """Of NaFlex towers: of the square whose patches the positions were made for."""
        vision = self.siglip.config.vision_config
        return int(vision.num_patches**0.5) * int(vision.patch_size) if self.patch_size else int(vision.image_size)

    @property
    def global_bias(self) -> Float[Tensor, ""] | None:
        bias: torch.Tensor = self.siglip.logit_bias.reshape(())
        return bias

    def packer(self, tokenizer: Any) -> TextPacker:
        return PaddedPacker(tokenizer, *self.num_positions)

    def scales(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """The global one is not limited: SigLIP's lie above 100."""
        return self.siglip.logit_scale.exp().reshape(()), clamped(self.regional_scale), clamped(self.hard_scale)

    @torch.no_grad()
    def clamp_scales(self) -> None:
        for scale in (self.regional_scale, self.hard_scale):
            scale.clamp_(max=torch.tensor(100.0).log().item())

    def image_tokens(self, pixels: Shaped[Tensor, "B ..."], grid_B2: Int[Tensor, "B 2"] | None = None) -> Float[Tensor, "B T E"]:
        """The tower's tokens after its last norm."""
        vision = self.siglip.vision_model
        values = pixels.to(vision.post_layernorm.weight.dtype)
        if grid_B2 is None:
            hidden_BTE = vision.embeddings((values - self._mean_C11) / self._std_C11)
        else:
            values = (values.unflatten(-1, (-1, 3)) - self._mean_C11.flatten()) / self._std_C11.flatten()
            hidden_BTE = vision.embeddings.patch_embedding(values.flatten(-2)) + self._positions(grid_B2, pixels.shape[1])
        mask_B1TT = self._patch_mask(grid_B2, pixels.shape[1])
        if mask_B1TT is not None:
            mask_B1TT = self.as_mask(mask_B1TT.expand(-1, -1, pixels.shape[1], -1), hidden_BTE.dtype)
        for layer in vision.encoder.layers:
            hidden_BTE = layer(hidden_BTE, mask_B1TT)
        tokens_BTE: torch.Tensor = vision.post_layernorm(hidden_BTE)
        return tokens_BTE

    def image_features(self, hidden_BTE: Float[Tensor, "B T E"], grid_B2: Int[Tensor, "B 2"] | None) -> Float[Tensor, "B D"]:
        head = self.siglip.vision_model.head
        query_BQE = head.probe.expand(hidden_BTE.shape[0], -1, -1)
        return _attended(head, query_BQE, hidden_BTE, self._patch_mask(grid_B2, hidden_BTE.shape[1]))[:, 0]

    def region_features(
        self, hidden_BTE: Float[Tensor, "B T E"], boxes_BR4: Float[Tensor, "B R 4"], grid_B2: Int[Tensor, "B 2"] | None
    ) -> Float[Tensor, "B R D"]:
        map_BTE = _attended(self.dense_head, hidden_BTE, hidden_BTE, self._patch_mask(grid_B2, hidden_BTE.shape[1]))
        if grid_B2 is None:
            side = int(hidden_BTE.shape[1] ** 0.5)
            grid_B2 = torch.tensor([[side, side]]).expand(hidden_BTE.shape[0], -1)
        weights_BRT = map_BTE.new_zeros((*boxes_BR4.shape[:2], map_BTE.shape[1]))
        for rows, columns, where in _by_grid(grid_B2):
            weights_BRT[where, :, : rows * columns] = roi_weights(boxes_BR4[where], rows, columns).to(map_BTE.dtype)
        region_BRE: torch.Tensor = weights_BRT @ map_BTE
        return region_BRE

    def dense_map(self, pixels: Shaped[Tensor, "B ..."], grid_B2: Int[Tensor, "B 2"] | None = None) -> Float[Tensor, "B T E"]:
        """Features of each patch (B, T, E), not normalised; row by row of the image's grid."""
        hidden_BTE = self.image_tokens(pixels, grid_B2)
        return _attended(self.dense_head, hidden_BTE, hidden_BTE, self._patch_mask(grid_B2, hidden_BTE.shape[1])).float()

    def project_texts(self, ends_NE: Float[Tensor, "N E"], kind_N: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        return by_kind(kind_N, self.siglip.text_model.head(ends_NE), self.long_head(ends_NE), self.box_head(ends_NE))

    def pixel_settings(self) -> dict[str, Any]:
        if self.patch_size is None:
            return {"image_processor_type": "SiglipImageProcessor", **super().pixel_settings()}
        patches = int(self.siglip.config.vision_config.num_patches)
        settings = {key: value for key, value in super().pixel_settings().items() if key != "size"}
        return {"image_processor_type": "Siglip2ImageProcessor", "patch_size": self.patch_size, "max_num_patches": patches, **settings}

    def _positions(self, grid_B2: Int[Tensor, "B 2"], num_tokens: int) -> Float[Tensor, "B {num_tokens} E"]:
        """(B, T, E): the square table, resized to each image's grid; zeros for padding, which nothing sees."""
        table_TE = self.siglip.vision_model.embeddings.position_embedding.weight
        side = int(table_TE.shape[0] ** 0.5)
        square_1EHW = table_TE.unflatten(0, (side, side)).permute(2, 0, 1)[None].float()
        parts = [square_1EHW.new_zeros(0)] * grid_B2.shape[0]
        for rows, columns, where in _by_grid(grid_B2):
            resized = F.interpolate(square_1EHW, size=(rows, columns), mode="bilinear", align_corners=False, antialias=True)
            padded_TE = F.pad(resized[0].flatten(1).T, (0, 0, 0, num_tokens - rows * columns))
            for image in where:
                parts[image] = padded_TE
        return torch.stack(parts).to(table_TE.dtype)

    def _patch_mask(self, grid_B2: Int[Tensor, "B 2"] | None, num_tokens: int) -> Bool[Tensor, "B 1 1 {num_tokens}"] | None:
        """(B, 1, 1, T), true where a token is a patch of the image; None where all are."""
        if grid_B2 is None:
            return None
        is_patch_BT = torch.arange(num_tokens, device=grid_B2.device)[None] < grid_B2.prod(1)[:, None]
        return is_patch_BT[:, None, None]


def _attended(
    head: Any, query_BQE: Float[Tensor, "B Q E"], hidden_BTE: Float[Tensor, "B T E"], mask: Shaped[Tensor, "B 1 #Q T"] | None
) -> Float[Tensor, "B Q E"]:
    """A pooling head's output (B, Q, E) for these queries: attention, then a residual MLP."""
    attention = head.attention
    width, heads = attention.embed_dim, (attention.num_heads, attention.embed_dim // attention.num_heads)
    weight, bias = attention.in_proj_weight.split(width), attention.in_proj_bias.split(width)
    parts = [F.linear(part, weight[i], bias[i]) for i, part in enumerate((query_BQE, hidden_BTE, hidden_BTE))]
    query, key, value = (part.unflatten(-1, heads).transpose(1, 2) for part in parts)
    mixed_BQE = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
    pooled_BQE = attention.out_proj(mixed_BQE)
    found_BQE: torch.Tensor = pooled_BQE + head.mlp(head.layernorm(pooled_BQE))
    return found_BQE


def _by_grid(grid_B2: Int[Tensor, "B 2"]) -> list[tuple[int, int, list[int]]]:
    """Rows, columns and the images that have them."""
    by_grid: dict[tuple[int, int], list[int]] = {}
    for image, (rows, columns) in enumerate(grid_B2.tolist()):
        by_grid.setdefault((rows, columns), []).append(image)
    return [(rows, columns, where) for (rows, columns), where in by_grid.items()]
