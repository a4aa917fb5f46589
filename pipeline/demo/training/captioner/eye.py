"""The captioner's eye: its vision tower taught to say, for each image token, what toy stands there.

Knows pixels and labels, not captions. Axes: B images, T image tokens, D features.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import CLIPVisionModel
from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector, Idefics3VisionTransformer

from pipeline.demo.training.captioner.data import CLASSES, GRID, TOKEN_PX, Window
from pipeline.demo.training.vocabulary import IGNORED

PATCH_PX = 8
PATCHES = GRID * TOKEN_PX // PATCH_PX
WEIGHTS = {"noun": 3.0, "pattern": 3.0}  # the slots that are learned late
PERIODS = (3.5, 5.0, 8.0, 12.0, 18.0, 28.0, 42.0, 56.0)
OFFSETS = (
    ((-1, 0), (1, 0), (0, -1), (0, 1)),
    ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    ((-2, 0), (2, 0), (0, -2), (0, 2)),
)


@dataclass(frozen=True)
class Dense:
    """Losses and accuracies of the per-token answers."""

    loss: Tensor
    accuracies: dict[str, float]


@dataclass(frozen=True)
class Eye:
    """Vision tower and connector, the captioner's own modules, and what reads their tokens in training only."""

    vision: Idefics3VisionTransformer
    connector: Idefics3Connector
    norm: nn.LayerNorm
    readers: nn.ModuleDict

    def parameters(self) -> list[nn.Parameter]:
        parts = (self.vision, self.connector, self.norm, self.readers)
        return [parameter for part in parts for parameter in part.parameters()]

    def tokens(self, pixels_B3HW: Tensor, places_BN: Tensor) -> Tensor:
        """(B, T, D) image tokens of square pixels whose patches stand at `places_BN` of the 28 x 28 grid."""
        embeddings = self.vision.embeddings
        patches_BND = embeddings.patch_embedding(pixels_B3HW).flatten(2).transpose(1, 2)
        hidden_BND = patches_BND + embeddings.position_embedding(places_BN)
        hidden_BND = self.vision.encoder(inputs_embeds=hidden_BND).last_hidden_state
        tokens_BTD: Tensor = self.connector(self.vision.post_layernorm(hidden_BND))
        return tokens_BTD

    def dense(self, tokens_BTD: Tensor, cells_BTS: Tensor) -> Dense:
        """Cross-entropy of each slot at the tokens that own an object, and of object or not at all tokens."""
        features = self.norm(tokens_BTD.float())
        losses, accuracies = [], {}
        for place, (slot, reader) in enumerate(self.readers.items()):
            wanted = cells_BTS[..., place]
            chosen = wanted != IGNORED
            if not bool(chosen.any()):
                continue
            logits = reader(features[chosen])
            losses.append(nn.functional.cross_entropy(logits, wanted[chosen]) * WEIGHTS.get(slot, 1.0))
            accuracies[slot] = (logits.argmax(-1) == wanted[chosen]).float().mean().item()
        return Dense(torch.stack(losses).sum(), accuracies)


def new_eye(vision: Idefics3VisionTransformer, connector: Idefics3Connector) -> Eye:
    """An eye with fresh readers, one linear layer a slot."""
    width = connector.modality_projection.proj.out_features
    sizes = {"object": 2} | {slot: len(words) for slot, words in CLASSES.items()}
    readers = nn.ModuleDict({slot: nn.Linear(width, size) for slot, size in sizes.items()})
    return Eye(vision, connector, nn.LayerNorm(width), readers)


def see_neighbours(vision: Idefics3VisionTransformer | CLIPVisionModel, gain: float = 1.6) -> None:
    """Starts the first three layers as 3 x 3 and dilated convolutions: each head attends to the patch at its offset.

    The position embedding is (cos wx, sin wx, cos wy, sin wy) in the first 32 features; a query turns it by the
    offset. A vision transformer from scratch finds such heads late: shape stays near chance for 40 k crops.
    """
    angles = [2 * math.pi / period for period in PERIODS]
    used = 4 * len(angles)
    line = torch.arange(vision.config.image_size // vision.config.patch_size)
    y, x = (axis.flatten().float() for axis in torch.meshgrid(line, line, indexing="ij"))
    waves = [wave(angle * axis) for axis in (x, y) for angle in angles for wave in (torch.cos, torch.sin)]
    with torch.no_grad():
        places = vision.embeddings.position_embedding.weight[-(len(line) ** 2) :]  # of the patches; a CLS token stands before them
        places.copy_(torch.cat([torch.stack(waves, 1), 0.02 * torch.randn(len(places), places.shape[1] - used)], 1))
        vision.embeddings.patch_embedding.weight[:used] = 0
        for layer, offsets in zip(vision.encoder.layers, OFFSETS, strict=False):
            query, key = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
            for weight in (query, key):
                nn.init.normal_(weight, std=0.02)
            for head, (dy, dx) in enumerate(offsets):
                first = head * layer.self_attn.head_dim
                query[first : first + used, :used] += gain * _turns([step * angle for step in (dx, dy) for angle in angles])
                key[first : first + used, :used] += gain * torch.eye(used)


def _turns(angles: list[float]) -> Tensor:
    """A block-diagonal matrix of rotations, which moves each (cos, sin) pair by its angle."""
    blocks = [torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) for angle in angles]
    turns: Tensor = torch.block_diag(*blocks)
    return turns


def pixels_of(images: list[np.ndarray]) -> Tensor:
    """(B, 3, H, W) float32 in [-1, 1], as the image processor normalises."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def places_of(windows: list[Window]) -> Tensor:
    """(B, N) places of each window's patches in the whole grid."""
    per_token = TOKEN_PX // PATCH_PX
    span = torch.arange(windows[0].cells.shape[0] * per_token)
    rows = torch.tensor([window.row for window in windows])[:, None, None] * per_token + span[None, :, None]
    columns = torch.tensor([window.column for window in windows])[:, None, None] * per_token + span[None, None, :]
    return (rows * PATCHES + columns).flatten(1)


def look(eye: Eye, windows: list[Window]) -> Dense:
    """The dense answers for windows of one size."""
    tokens = eye.tokens(pixels_of([window.pixels for window in windows]), places_of(windows))
    cells = torch.from_numpy(np.stack([window.cells for window in windows])).flatten(1, 2)
    return eye.dense(tokens, cells)


def by_side(windows: list[Window]) -> dict[int, list[Window]]:
    """Windows by their side in tokens."""
    groups: dict[int, list[Window]] = {}
    for window in windows:
        groups.setdefault(window.cells.shape[0], []).append(window)
    return groups
