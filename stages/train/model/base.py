"""What every model of the trainer has: towers of transformers, long texts, regions, scales, and how it is written. Knows no losses.

Axes: B images, T image tokens, E width of a tower, D features; R boxes an image (padded); N texts, P rows of packed texts, L tokens a row.
"""

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stages.train.data.texts import BOX, LONG, PackedTexts, TextPacker

KEPT_POSITIONS, STRETCH = 20, 4
MAX_SCALE = 100.0
# What a model that never saw a sigmoid loss starts with. Source: SigLIP (arXiv 2303.15343) section 3.2.
SIGMOID_SCALE, SIGMOID_BIAS = 10.0, -10.0
EXTRA_FILE = "fgclip.safetensors"
PIXELS_FILE = "preprocessor_config.json"


class FgModel(nn.Module):
    """Towers, a stretched position table for long texts, and the scales of the global, the regional and the hard loss.

    Source: FG-CLIP (arXiv 2505.05071) sections 3.1 to 3.3; Long-CLIP (arXiv 2403.15378) section 3.2 for the positions.
    """

    tower_name: ClassVar[str]  # the attribute that holds transformers' model
    is_causal: ClassVar[bool]
    long_positions: nn.Embedding
    regional_scale: nn.Parameter
    hard_scale: nn.Parameter
    _mean_C11: Float[Tensor, "C 1 1"]
    _std_C11: Float[Tensor, "C 1 1"]

    def add_common_parts(self, pixels: Mapping[str, Any], scale: Float[Tensor, "..."]) -> None:
        """Positions and scales as copies of the towers' own, and the pixel statistics of preprocessor_config.json."""
        short_LE = self.towers.text_model.embeddings.position_embedding.weight.detach()
        self.long_positions = nn.Embedding.from_pretrained(stretched(short_LE), freeze=False)
        self.regional_scale = nn.Parameter(scale.detach().clone().reshape(()))
        self.hard_scale = nn.Parameter(scale.detach().clone().reshape(()))
        self.resample = int(pixels["resample"])
        for name in ("mean", "std"):
            self.register_buffer(f"_{name}_C11", torch.tensor(pixels[f"image_{name}"]).view(-1, 1, 1) * 255, persistent=False)

    @property
    def towers(self) -> Any:
        return getattr(self, self.tower_name)

    @property
    def width(self) -> int:
        """Length of a feature."""
        raise NotImplementedError

    @property
    def image_size(self) -> int:
        """Pixels of a side of the square that images are resized to."""
        return int(self.towers.config.vision_config.image_size)

    @property
    def patch_size(self) -> int | None:
        """Pixels of a patch's side where images keep their shape and are given as patches; None: they are squares."""
        return None

    @property
    def image_settings(self) -> dict[str, Any]:
        """What SampleMaker has to know of the images that the model sees."""
        return {"image_size": self.image_size, "patch_size": self.patch_size, "resample": self.resample}

    @property
    def num_positions(self) -> tuple[int, int]:
        """Tokens that a short and a long text may have."""
        return self.towers.text_model.embeddings.position_embedding.num_embeddings, self.long_positions.num_embeddings

    @property
    def global_bias(self) -> Float[Tensor, ""] | None:
        """Of the sigmoid loss; None where the model has none."""
        raise NotImplementedError

    def packer(self, tokenizer: Any) -> TextPacker:
        raise NotImplementedError

    def add_bias(self) -> None:
        """Make room for a bias, where the model has none."""

    def start_sigmoid(self) -> None:
        """Give a model without a bias what a sigmoid loss starts with."""

    def encode_images(
        self,
        pixels: Shaped[Tensor, "B ..."],
        boxes_BR4: Float[Tensor, "B R 4"] | None = None,
        grid_B2: Int[Tensor, "B 2"] | None = None,
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B R D"]]:
        """Image features (B, D) and region features (B, R, D), of length 1. Pixels are 0..255, boxes shares of the image.

        A box without area has the feature 0. Images without a box have no dense map computed.
        """
        hidden_BTE = self.image_tokens(pixels, grid_B2)
        image_BD = F.normalize(self.image_features(hidden_BTE, grid_B2).float(), dim=-1)
        if boxes_BR4 is None or boxes_BR4.shape[1] == 0:
            return image_BD, image_BD.new_zeros((image_BD.shape[0], 0, image_BD.shape[1]))
        shown = ((boxes_BR4[..., 2:] > boxes_BR4[..., :2]).all(-1).any(1)).nonzero()[:, 0]
        grid_S2 = None if grid_B2 is None else grid_B2[shown]
        region_SRD = self.region_features(hidden_BTE[shown], boxes_BR4[shown].float(), grid_S2)
        region_BRD = image_BD.new_zeros((*boxes_BR4.shape[:2], image_BD.shape[1]))
        return image_BD, region_BRD.index_copy(0, shown, F.normalize(region_SRD.float(), dim=-1))

    def image_tokens(self, pixels: Shaped[Tensor, "B ..."], grid_B2: Int[Tensor, "B 2"] | None) -> Float[Tensor, "B T E"]:
        raise NotImplementedError

    def image_features(self, hidden_BTE: Float[Tensor, "B T E"], grid_B2: Int[Tensor, "B 2"] | None) -> Float[Tensor, "B D"]:
        raise NotImplementedError

    def region_features(
        self, hidden_BTE: Float[Tensor, "B T E"], boxes_BR4: Float[Tensor, "B R 4"], grid_B2: Int[Tensor, "B 2"] | None
    ) -> Float[Tensor, "B R D"]:
        raise NotImplementedError

    def project_texts(self, ends_NE: Float[Tensor, "N E"], kind_N: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Features (N, D) of the texts' last tokens, each through the projection of its kind."""
        raise NotImplementedError

    def encode_texts(self, texts: PackedTexts) -> Float[Tensor, "N D"]:
        """Text features (N, D), of length 1, in the packed order. One call for texts of all kinds."""
        text = self.towers.text_model
        table_LE = torch.cat([text.embeddings.position_embedding.weight, self.long_positions.weight])
        hidden_PLE = text.embeddings.token_embedding(texts.ids_PL) + F.embedding(texts.positions_PL, table_LE)
        mask_P1LL = self.as_mask(attention_mask(texts.segments_PL, self.is_causal), hidden_PLE.dtype)
        *blocks, last = text.encoder.layers
        for block in blocks:
            hidden_PLE = block(hidden_PLE, mask_P1LL)
        ends_NE = text.final_layer_norm(self._last_of(last, hidden_PLE, mask_P1LL, texts.ends_N))
        return F.normalize(self.project_texts(ends_NE, texts.kind_N).float(), dim=-1)

    def _last_of(
        self, block: Any, hidden_PLE: Float[Tensor, "P L E"], mask_P1LL: Shaped[Tensor, "P 1 L L"], ends_N: Int[Tensor, " N"]
    ) -> Float[Tensor, "N E"]:
        """The last block's output for the texts' last tokens; nothing else of it is ever read."""
        normed_PLE = block.layer_norm1(hidden_PLE)
        mixed_PLE = attended(block, normed_PLE, normed_PLE, mask_P1LL)
        return after_attention(block, hidden_PLE.flatten(0, 1)[ends_N], mixed_PLE.flatten(0, 1)[ends_N])

    def as_mask(self, is_seen: Bool[Tensor, "*mask"], dtype: torch.dtype) -> Shaped[Tensor, "*mask"]:
        """The mask as the checkpoint's attention takes it: eager attention adds what it is given."""
        if self.towers.config._attn_implementation != "eager":  # noqa: SLF001  # transformers has no public name for it
            return is_seen
        return torch.zeros_like(is_seen, dtype=dtype).masked_fill(~is_seen, torch.finfo(dtype).min)

    def scales(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """Global, regional and hard scale: what similarities are multiplied with, at most 100."""
        return clamped(self.towers.logit_scale), clamped(self.regional_scale), clamped(self.hard_scale)

    @torch.no_grad()
    def clamp_scales(self) -> None:
        """Bring the scales back to at most 100. To be called after each step, else a scale above has no gradient any more."""
        for scale in (self.towers.logit_scale, self.regional_scale, self.hard_scale):
            scale.clamp_(max=math.log(MAX_SCALE))

    def checkpoint_blocks(self, only_mlp: bool = False) -> None:
        """Recompute the towers' blocks, or their MLPs alone, in the backward pass instead of keeping what is inside them. Of CLIP's
        and of all texts' last block little is computed; it is kept."""
        if not only_mlp:
            self.towers.gradient_checkpointing_enable({"use_reentrant": False})
            return
        for tower in (self.towers.vision_model, self.towers.text_model):
            for layer in tower.encoder.layers:
                layer.mlp.forward = partial(_recomputed, layer.mlp.forward)

    def save(self, folder: Path) -> None:
        """Write a folder that transformers loads for short texts and `load_model` loads whole."""
        from safetensors.torch import save_file

        self.towers.save_pretrained(folder)
        prefix = f"{self.tower_name}."
        extra = {name: value.contiguous() for name, value in self.state_dict().items() if not name.startswith(prefix)}
        save_file(extra, folder / EXTRA_FILE)
        (folder / PIXELS_FILE).write_text(json.dumps(self.pixel_settings(), indent=1) + "\n", encoding="utf-8")

    def pixel_settings(self) -> dict[str, Any]:
        """What preprocessor_config.json says, so that transformers' processor gives the pixels that were trained on."""
        return {
            "size": {"height": self.image_size, "width": self.image_size},
            "resample": self.resample,
            "image_mean": [value / 255 for value in self._mean_C11.flatten().tolist()],
            "image_std": [value / 255 for value in self._std_C11.flatten().tolist()],
        }


def attended(
    block: Any, query_BQE: Float[Tensor, "B Q E"], normed_BTE: Float[Tensor, "B T E"], mask: Shaped[Tensor, "B 1 #Q T"] | None = None
) -> Float[Tensor, "B Q E"]:
    """What a block's attention mixes for some tokens out of all, before its last projection. Both are after the block's first norm."""
    attention = block.self_attn
    heads = (attention.num_heads, attention.head_dim)
    parts = (attention.q_proj(query_BQE), attention.k_proj(normed_BTE), attention.v_proj(normed_BTE))
    query, key, value = (part.unflatten(-1, heads).transpose(1, 2) for part in parts)
    dropout = attention.dropout if block.training else 0.0
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout).transpose(1, 2).flatten(2)


def after_attention(block: Any, hidden_E: Float[Tensor, "*N E"], mixed_E: Float[Tensor, "*N E"]) -> Float[Tensor, "*N E"]:
    """A block's output for tokens, of what entered it and what its attention mixed for them."""
    hidden_E = hidden_E + block.self_attn.out_proj(mixed_E)
    output_E: torch.Tensor = hidden_E + block.mlp(block.layer_norm2(hidden_E))
    return output_E


def _recomputed(forward: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor) -> torch.Tensor:
    if not torch.is_grad_enabled():
        return forward(hidden)
    output: torch.Tensor = checkpoint(forward, hidden, use_reentrant=False, preserve_rng_state=False)  # an MLP draws nothing
    return output


def stretched(short_LE: Float[Tensor, "L E"]) -> Float[Tensor, "S E"]:
    """A position table with the first 20 rows kept and four rows for each of the others: 77 -> 248, 64 -> 196.

    Between two old rows the new ones lie evenly; behind the last old row they go on as between the last two.
    """
    kept = min(KEPT_POSITIONS, short_LE.shape[0])
    rest_LE = short_LE[kept:]
    if rest_LE.shape[0] < 2:
        return short_LE.clone()
    steps_LE = torch.cat([rest_LE[1:] - rest_LE[:-1], (rest_LE[-1:] - rest_LE[-2:-1])])
    shares_S = torch.arange(STRETCH, dtype=short_LE.dtype, device=short_LE.device) / STRETCH
    between_LSE = rest_LE[:, None] + shares_S[None, :, None] * steps_LE[:, None]
    return torch.cat([short_LE[:kept], between_LSE.flatten(0, 1)])


def attention_mask(segments_PL: Int[Tensor, "P L"], is_causal: bool = True) -> Bool[Tensor, "P 1 L L"]:
    """(P, 1, L, L), true where a token may look: at itself and its own text, if causal at what comes before it. Padding sees itself."""
    length = segments_PL.shape[1]
    is_same_PLL = segments_PL[:, :, None] == segments_PL[:, None, :]
    if is_causal:
        is_same_PLL = is_same_PLL & torch.ones((length, length), dtype=torch.bool, device=segments_PL.device).tril()
    return is_same_PLL[:, None]


def by_kind(
    kind_N: Int[Tensor, " N"], short_ND: Float[Tensor, "N D"], long_ND: Float[Tensor, "N D"], box_ND: Float[Tensor, "N D"]
) -> Float[Tensor, "N D"]:
    """Each text's row out of the three."""
    return torch.where((kind_N == LONG)[:, None], long_ND, torch.where((kind_N == BOX)[:, None], box_ND, short_ND))


def clamped(log_scale: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    return log_scale.exp().clamp(max=MAX_SCALE).reshape(())
