"""A CLIP with long texts, a dense map and three scales, around transformers' CLIPModel. Knows no losses and no data set.

Axes: B images, C their channels, H W pixels or grid, T image tokens, E width of a tower, D features; R boxes an image (padded);
N texts, P rows of packed texts, L tokens a row.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stages.train.config import TrainError
from stages.train.data.texts import PackedTexts
from stages.train.model.roi import roi_weights

KEPT_POSITIONS, STRETCH = 20, 4
MAX_SCALE = 100.0
_EXTRA_FILE = "fgclip.safetensors"
_PIXELS_FILE = "preprocessor_config.json"
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class FgClip(nn.Module):
    """The towers of a CLIP checkpoint and what FG-CLIP adds: a stretched position table and a projection of their own for long
    texts, region features, and the scales of the regional and the hard loss.

    Source: FG-CLIP (arXiv 2505.05071) sections 3.1 to 3.3; Long-CLIP (arXiv 2403.15378) section 3.2 for the positions.
    """

    _mean_C11: torch.Tensor
    _std_C11: torch.Tensor

    def __init__(self, clip: Any, pixel_mean: tuple[float, ...] = _MEAN, pixel_std: tuple[float, ...] = _STD) -> None:
        super().__init__()
        self.clip = clip
        short_LE = clip.text_model.embeddings.position_embedding.weight.detach()
        self.long_positions: nn.Embedding = nn.Embedding.from_pretrained(stretched(short_LE), freeze=False)
        self.long_projection = nn.Linear(clip.text_projection.in_features, clip.text_projection.out_features, bias=False)
        self.long_projection.weight.data.copy_(clip.text_projection.weight.detach())
        self.regional_scale = nn.Parameter(clip.logit_scale.detach().clone())
        self.hard_scale = nn.Parameter(clip.logit_scale.detach().clone())
        self.register_buffer("_mean_C11", torch.tensor(pixel_mean).view(-1, 1, 1) * 255, persistent=False)
        self.register_buffer("_std_C11", torch.tensor(pixel_std).view(-1, 1, 1) * 255, persistent=False)

    @property
    def image_size(self) -> int:
        """Pixels of a side of the square that images are resized to."""
        return int(self.clip.config.vision_config.image_size)

    @property
    def num_positions(self) -> tuple[int, int]:
        """Tokens that a short and a long text may have."""
        return self.clip.text_model.embeddings.position_embedding.num_embeddings, self.long_positions.num_embeddings

    def encode_images(self, pixels_BCHW: torch.Tensor, boxes_BR4: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Image features (B, D) and region features (B, R, D), of length 1. Pixels are 0..255, boxes shares of the image.

        A box without area has the feature 0. Without boxes the dense map is not computed.
        """
        hidden_BTE = self._image_tokens(pixels_BCHW)
        image_BD = self.clip.visual_projection(self.clip.vision_model.post_layernorm(self._cls_token(hidden_BTE)))
        if boxes_BR4 is None or boxes_BR4.shape[1] == 0:
            return F.normalize(image_BD.float(), dim=-1), image_BD.new_zeros((image_BD.shape[0], 0, image_BD.shape[1])).float()
        map_BTE = self._unmixed(hidden_BTE)
        side = math.isqrt(map_BTE.shape[1])
        # The projection is linear: pooled first, it is applied to a few boxes and not to the whole grid.
        weights_BRT = roi_weights(boxes_BR4.float(), side, side).to(map_BTE.dtype)
        region_BRD = self.clip.visual_projection(weights_BRT @ map_BTE)
        return F.normalize(image_BD.float(), dim=-1), F.normalize(region_BRD.float(), dim=-1)

    def dense_map(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """Features of each patch (B, H, W, D), not normalised: the last block without attention mixing, projected."""
        map_BTD: torch.Tensor = self.clip.visual_projection(self._unmixed(self._image_tokens(pixels_BCHW)))
        side = math.isqrt(map_BTD.shape[1])
        map_BHWD: torch.Tensor = map_BTD.unflatten(1, (side, side))
        return map_BHWD.float()

    def encode_texts(self, texts: PackedTexts) -> torch.Tensor:
        """Text features (N, D), of length 1, in the packed order. The end token is read through the projection of its kind."""
        text = self.clip.text_model
        table_LE = torch.cat([text.embeddings.position_embedding.weight, self.long_positions.weight])
        hidden_PLE = text.embeddings.token_embedding(texts.ids_PL) + F.embedding(texts.positions_PL, table_LE)
        mask_P1LL = attention_mask(texts.segments_PL)
        for layer in text.encoder.layers:
            hidden_PLE = layer(hidden_PLE, mask_P1LL)
        ends_NE = text.final_layer_norm(hidden_PLE.flatten(0, 1)[texts.ends_N])
        short_ND, long_ND = self.clip.text_projection(ends_NE), self.long_projection(ends_NE)
        return F.normalize(torch.where(texts.is_long_N[:, None], long_ND, short_ND).float(), dim=-1)

    def scales(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Global, regional and hard scale: what similarities are multiplied with, at most 100."""
        return _clamped(self.clip.logit_scale), _clamped(self.regional_scale), _clamped(self.hard_scale)

    @torch.no_grad()
    def clamp_scales(self) -> None:
        """Bring the scales back to at most 100. To be called after each step, else a scale above has no gradient any more."""
        for scale in (self.clip.logit_scale, self.regional_scale, self.hard_scale):
            scale.clamp_(max=math.log(MAX_SCALE))

    def checkpoint_blocks(self) -> None:
        """Recompute the towers' blocks in the backward pass instead of keeping what is inside them."""
        self.clip.gradient_checkpointing_enable({"use_reentrant": False})

    def _image_tokens(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """What enters the last block."""
        vision = self.clip.vision_model
        normal_BCHW = (pixels_BCHW.to(vision.post_layernorm.weight.dtype) - self._mean_C11) / self._std_C11
        hidden_BTE: torch.Tensor = vision.pre_layrnorm(vision.embeddings(normal_BCHW))
        for layer in vision.encoder.layers[:-1]:
            hidden_BTE = layer(hidden_BTE, None)
        return hidden_BTE

    def _cls_token(self, hidden_BTE: torch.Tensor) -> torch.Tensor:
        """(B, E): the last block's output for the CLS token; nothing else of it is ever read."""
        last = self.clip.vision_model.encoder.layers[-1]
        attention, normed_BTE = last.self_attn, last.layer_norm1(hidden_BTE)
        heads = (attention.num_heads, attention.head_dim)
        query = attention.q_proj(normed_BTE[:, :1]).unflatten(-1, heads).transpose(1, 2)
        key = attention.k_proj(normed_BTE).unflatten(-1, heads).transpose(1, 2)
        value = attention.v_proj(normed_BTE).unflatten(-1, heads).transpose(1, 2)
        mixed_B1E = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        hidden_B1E: torch.Tensor = hidden_BTE[:, :1] + attention.out_proj(mixed_B1E)
        hidden_B1E = hidden_B1E + last.mlp(last.layer_norm2(hidden_B1E))
        return hidden_B1E[:, 0]

    def _unmixed(self, hidden_BTE: torch.Tensor) -> torch.Tensor:
        """(B, T - 1, E): the last block with each token attending to itself alone, without CLS, after the last norm."""
        last = self.clip.vision_model.encoder.layers[-1]
        patches_BTE = hidden_BTE[:, 1:]
        patches_BTE = patches_BTE + last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(patches_BTE)))
        patches_BTE = patches_BTE + last.mlp(last.layer_norm2(patches_BTE))
        map_BTE: torch.Tensor = self.clip.vision_model.post_layernorm(patches_BTE)
        return map_BTE

    def save(self, folder: Path) -> None:
        """Write a folder that `CLIPModel.from_pretrained` loads for short texts and `load_model` loads whole."""
        from safetensors.torch import save_file

        self.clip.save_pretrained(folder)
        extra = {name: value.contiguous() for name, value in self.state_dict().items() if not name.startswith("clip.")}
        save_file(extra, folder / _EXTRA_FILE)
        pixels = {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"height": self.image_size, "width": self.image_size},
            "do_center_crop": False,
            "image_mean": [value / 255 for value in self._mean_C11.flatten().tolist()],
            "image_std": [value / 255 for value in self._std_C11.flatten().tolist()],
        }
        (folder / _PIXELS_FILE).write_text(json.dumps(pixels, indent=1) + "\n", encoding="utf-8")


def load_model(place: str, revision: str | None = None, from_scratch: bool = False) -> tuple[FgClip, Any]:
    """The model and the tokenizer of a folder or hub name. A plain CLIP gets its stretched positions and copies of its projection
    and scale; one that was saved here gets back all it had. `from_scratch` reads the configuration and draws the weights.

    Raises: TrainError where the place holds no CLIP.
    """
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
        config = CLIPConfig.from_pretrained(place, revision=revision)
        clip = CLIPModel(config) if from_scratch else CLIPModel.from_pretrained(place, revision=revision)
    except (OSError, ValueError) as error:
        raise TrainError(f"model {place}: no CLIP checkpoint with a tokenizer: {' '.join(str(error).split())[:200]}") from error
    if tokenizer.eos_token_id is None:
        raise TrainError(f"model {place}: its tokenizer has no end token; texts are read at theirs")
    if from_scratch:
        clip.config.text_config.eos_token_id = clip.text_model.eos_token_id = tokenizer.eos_token_id
    model = FgClip(clip, *_pixel_statistics(_found(place, _PIXELS_FILE, revision)))
    extra = None if from_scratch else _found(place, _EXTRA_FILE, revision)
    if extra is not None:
        from safetensors.torch import load_file

        missing, unexpected = model.load_state_dict(load_file(extra), strict=False)
        if unexpected or any(not name.startswith("clip.") for name in missing):
            raise TrainError(f"model {place}: {_EXTRA_FILE} does not fit its config.json")
    return model, tokenizer


def _found(place: str, name: str, revision: str | None) -> Path | None:
    """A file of the folder or hub model; None where it has none."""
    from transformers.utils import cached_file

    path = cached_file(
        place,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(path) if path else None


def stretched(short_LE: torch.Tensor) -> torch.Tensor:
    """A position table with the first 20 rows kept and four rows for each of the others: 77 -> 248.

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


def attention_mask(segments_PL: torch.Tensor) -> torch.Tensor:
    """(P, 1, L, L), true where a token may look: at itself and what comes before it in its own text. Padding sees itself."""
    length = segments_PL.shape[1]
    is_past_LL = torch.ones((length, length), dtype=torch.bool, device=segments_PL.device).tril()
    is_same_PLL = segments_PL[:, :, None] == segments_PL[:, None, :]
    return (is_same_PLL & is_past_LL)[:, None]


def _clamped(log_scale: torch.Tensor) -> torch.Tensor:
    return log_scale.exp().clamp(max=MAX_SCALE)


def _pixel_statistics(path: Path | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if path is None:
        return _MEAN, _STD
    content = json.loads(path.read_text(encoding="utf-8"))
    return tuple(content.get("image_mean", _MEAN)), tuple(content.get("image_std", _STD))
