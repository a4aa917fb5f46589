"""RoIAlign to one cell, as a weight for each cell of the grid. Knows boxes and grids, no model.

Axes: B images, R boxes an image (padded), H W grid, S sample points, D channels.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def roi_weights(boxes_BR4: Float[Tensor, "B R 4"], height: int, width: int) -> Float[Tensor, "B R {height}*{width}"]:
    """Weights (B, R, H * W) whose product with a grid is RoIAlign of output 1x1, scale 1, sampling ratio -1, aligned.

    Boxes are xyxy in shares of the image, 0..1. The average over a box's bilinear samples is separable, so that one matrix
    product with the flattened grid replaces sampling; it equals torchvision's roi_align. A box without area has weights 0.

    Source: Mask R-CNN (arXiv 1703.06870) section 3; FG-CLIP (arXiv 2505.05071) section 3.1.
    """
    rows_BRH = _axis_weights(boxes_BR4[..., 1] * height, boxes_BR4[..., 3] * height, height)
    columns_BRW = _axis_weights(boxes_BR4[..., 0] * width, boxes_BR4[..., 2] * width, width)
    return (rows_BRH[..., :, None] * columns_BRW[..., None, :]).flatten(-2)


def _axis_weights(low_BR: Float[Tensor, "B R"], high_BR: Float[Tensor, "B R"], size: int) -> Float[Tensor, "B R {size}"]:
    """Weights (B, R, size) of one axis: the mean of bilinear samples, one for each begun cell, at the middles of equal parts."""
    length_BR = high_BR - low_BR
    num_BR = torch.ceil(length_BR).clamp(min=0)
    step_BR = length_BR / num_BR.clamp(min=1)
    index_S = torch.arange(size + 1, device=low_BR.device, dtype=low_BR.dtype)
    point_BRS = low_BR[..., None] - 0.5 + (index_S + 0.5) * step_BR[..., None]
    is_sample_BRS = (index_S < num_BR[..., None]) & (point_BRS >= -1) & (point_BRS <= size)
    cell_H = index_S[:size]
    distance_BRSH = (point_BRS.clamp(0, size - 1)[..., None] - cell_H).abs()
    hat_BRSH = (1 - distance_BRSH).clamp(min=0) * is_sample_BRS[..., None]
    return hat_BRSH.sum(-2) / num_BR.clamp(min=1)[..., None]
