"""What FG-CLIP 2 adds for regions: texts apart from texts, contrast over all of a batch's negatives, a margin. Knows no model, no batch.

Axes: K region texts, H boxes with negatives, M their texts (positive first, padded), A all candidates of a batch, D features. A text of
weight 0 takes no part. A loss without a row is a zero that still has a graph.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

NUM_NEAREST = 10
SAME_TEXT = 0.95
MAX_MARGIN = 10.0


def text_text_loss(text_KD: Float[Tensor, "K D"]) -> Float[Tensor, ""]:
    """The mean over texts of log(sum over the ten nearest others of exp(cosine)): near texts are pushed apart.

    The diagonal and similarities above 0.95 count as 0, as published; of fewer than ten texts all are taken. No temperature.

    Source: FG-CLIP 2 (its TIC term, weight 0.1).
    """
    num_texts = text_KD.shape[0]
    if num_texts == 0:
        return text_KD.float().sum() * 0
    cosine_KK = text_KD.float() @ text_KD.float().T
    is_out_KK = torch.eye(num_texts, dtype=torch.bool, device=text_KD.device) | (cosine_KK > SAME_TEXT)
    nearest_KN = cosine_KK.masked_fill(is_out_KK, 0.0).topk(min(NUM_NEAREST, num_texts), dim=1).values
    return nearest_KN.logsumexp(1).mean()


def batch_contrast_loss(
    region_HD: Float[Tensor, "H D"],
    text_HMD: Float[Tensor, "H M D"],
    scale: Float[Tensor, ""],
    weight_HM: Float[Tensor, "H M"],
    text_key_HM: Int[Tensor, "H M"] | None = None,
) -> Float[Tensor, ""]:
    """Half the cross-entropy of each box's expression among all expressions and all negatives of the batch, and of each expression's
    box among all boxes.

    Negatives weigh as in `losses.weighted_logits`. With keys, a text that is equal to a box's own expression is no negative of it: a
    reciprocal negative is another box's expression, so that the published term contradicts itself on them.

    Source: FG-CLIP 2 (the first part of its hard loss, weight 0.6 of 0.5).
    """
    num_boxes = region_HD.shape[0]
    if num_boxes == 0:
        return (region_HD.float().sum() + text_HMD.float().sum() + scale) * 0
    own_H = torch.arange(num_boxes, device=region_HD.device)
    candidate_AD = torch.cat([text_HMD[:, 0], text_HMD[:, 1:].flatten(0, 1)]).float()
    log_weight_A = torch.cat([weight_HM.new_zeros(num_boxes), weight_HM[:, 1:].flatten().clamp(min=1e-30).log()])
    is_out_HA = torch.cat([weight_HM.new_zeros(num_boxes, dtype=torch.bool), weight_HM[:, 1:].flatten() <= 0]).expand(num_boxes, -1)
    is_out_HH = torch.zeros((num_boxes, num_boxes), dtype=torch.bool, device=region_HD.device)
    if text_key_HM is not None:
        key_A = torch.cat([text_key_HM[:, 0], text_key_HM[:, 1:].flatten()])
        is_same_HA = text_key_HM[:, :1] == key_A[None, :]
        is_same_HA[own_H, own_H] = False
        is_out_HA, is_out_HH = is_out_HA | is_same_HA, is_same_HA[:, :num_boxes]
    to_text_HA = (scale * region_HD.float() @ candidate_AD.T + log_weight_A).masked_fill(is_out_HA, float("-inf"))
    to_image_HH = (scale * candidate_AD[:num_boxes] @ region_HD.float().T).masked_fill(is_out_HH, float("-inf"))
    return (F.cross_entropy(to_text_HA, own_H) + F.cross_entropy(to_image_HH, own_H)) / 2


def margin_loss(similarity_HM: Float[Tensor, "H M"], weight_HM: Float[Tensor, "H M"], margin: float) -> Float[Tensor, ""]:
    """The mean over boxes and their negatives of relu(margin + negative - positive) of scaled similarities; negatives count by their
    weights.

    Source: FG-CLIP 2 (its CMR term, weight 0.4 of 0.5); the margin is what `next_margin` said in the step before.
    """
    weight_HN = weight_HM[:, 1:].clamp(min=0)
    excess_HN = F.relu(margin + similarity_HM[:, 1:] - similarity_HM[:, :1])
    return torch.where(weight_HN > 0, weight_HN * excess_HN, 0.0).sum() / weight_HN.sum().clamp(min=1e-30)


@torch.no_grad()
def next_margin(similarity_HM: Float[Tensor, "H M"], weight_HM: Float[Tensor, "H M"]) -> Float[Tensor, ""] | None:
    """The margin of the next step by this process's boxes: the mean of positives less the mean of non-zero negatives, of scaled
    similarities. None where no box has a negative.

    It is averaged over the processes and clamped to 0 .. 10; a process without one puts in the margin it had.
    """
    is_in_HN = weight_HM[:, 1:] > 0
    is_counted_HN = is_in_HN & (similarity_HM[:, 1:] != 0)
    if not bool(is_counted_HN.any()):
        return None
    return similarity_HM[is_in_HN.any(1), 0].mean() - similarity_HM[:, 1:][is_counted_HN].mean()
