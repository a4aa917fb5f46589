"""The detector's losses. Written here because transformers' own teaches wrong tokens and leaves the proposals untrained.

transformers 5.19, loss_grounding_dino: label offsets are wrong from the second image of a batch on, and the proposal
heads get no gradient because their boxes are detached. Axes: B image, Q query, S location, N toy, L token.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from pipeline.demo.training.detector.data import WORD_SETS, Batch

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
CLASS_WEIGHT, L1_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0


@dataclass(frozen=True)
class Predictions:
    """One layer's logits at every token and boxes as centre x, centre y, width, height in 0..1."""

    logit_BQL: torch.Tensor
    box_BQ4: torch.Tensor


def corners(box_X4: torch.Tensor) -> torch.Tensor:
    centre, half = box_X4[..., :2], box_X4[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def giou(first_X4: torch.Tensor, second_X4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised IoU and IoU of boxes in corner form, broadcast over the leading axes. Source: arXiv 1902.09630."""
    inner = (torch.minimum(first_X4[..., 2:], second_X4[..., 2:]) - torch.maximum(first_X4[..., :2], second_X4[..., :2])).clamp(min=0)
    outer = torch.maximum(first_X4[..., 2:], second_X4[..., 2:]) - torch.minimum(first_X4[..., :2], second_X4[..., :2])
    shared, hull = inner.prod(-1), outer.prod(-1).clamp(min=1e-7)
    union = ((first_X4[..., 2:] - first_X4[..., :2]).prod(-1) + (second_X4[..., 2:] - second_X4[..., :2]).prod(-1) - shared).clamp(min=1e-7)
    iou = shared / union
    return iou - (hull - union) / hull, iou


def focal(logit: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Elementwise sigmoid focal loss. Source: arXiv 1708.02002, equation 5."""
    probability = logit.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    miss = target * (1 - probability) + (1 - target) * probability
    return (FOCAL_ALPHA * target + (1 - FOCAL_ALPHA) * (1 - target)) * miss**FOCAL_GAMMA * entropy


@torch.no_grad()
def match(logit_QL: torch.Tensor, box_Q4: torch.Tensor, target_NL: torch.Tensor, toy_N4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Query and toy indices of the cheapest one-to-one assignment (arXiv 2005.12872), class cost meaned over a toy's tokens."""
    probability_QL = logit_QL.sigmoid()
    positive_QL = FOCAL_ALPHA * (1 - probability_QL) ** FOCAL_GAMMA * -(probability_QL + 1e-8).log()
    negative_QL = (1 - FOCAL_ALPHA) * probability_QL**FOCAL_GAMMA * -(1 - probability_QL + 1e-8).log()
    share_NL = target_NL / target_NL.sum(1, keepdim=True)
    class_QN = (positive_QL - negative_QL) @ share_NL.T
    giou_QN, _ = giou(corners(box_Q4)[:, None], corners(toy_N4)[None])
    cost_QN = CLASS_WEIGHT * class_QN + L1_WEIGHT * torch.cdist(box_Q4, toy_N4, p=1) - GIOU_WEIGHT * giou_QN
    query = torch.tensor(cheapest_assignment(cost_QN.T.tolist()))
    return query, torch.arange(len(query))


def cheapest_assignment(cost_NQ: list[list[float]]) -> tuple[int, ...]:
    """The distinct query of each of at most 5 toys with the least total cost; one of a toy's N cheapest is always optimal."""
    num_toys = len(cost_NQ)
    candidates = [sorted(range(len(row)), key=row.__getitem__)[:num_toys] for row in cost_NQ]
    choices = (choice for choice in itertools.product(*candidates) if len(set(choice)) == num_toys)
    return min(choices, key=lambda choice: sum(row[query] for row, query in zip(cost_NQ, choice, strict=True)))


def layer_loss(predicted: Predictions, batch: Batch) -> dict[str, torch.Tensor]:
    """Focal loss at every token, L1 and GIoU at the matched queries, each divided by what it is summed over."""
    width = batch.token_BL.shape[1]
    logit_BQL = predicted.logit_BQL[..., :width].float()
    target_BQL = torch.zeros_like(logit_BQL)
    predicted_boxes, true_boxes = [], []
    for row, (target_NL, toy_N4) in enumerate(zip(batch.target_NL, batch.boxes_N4, strict=True)):
        is_named_N = target_NL.sum(1) > 0
        if not is_named_N.any():
            continue
        readable_L = batch.mask_BL[row].bool()
        query, toy = match(
            logit_BQL[row][:, readable_L], predicted.box_BQ4[row].float(), target_NL[is_named_N][:, readable_L], toy_N4[is_named_N]
        )
        target_BQL[row, query] = target_NL[is_named_N][toy]
        predicted_boxes.append(predicted.box_BQ4[row, query].float())
        true_boxes.append(toy_N4[is_named_N][toy])
    return _sum_losses(logit_BQL, target_BQL, batch.mask_BL, predicted_boxes, true_boxes)


def _sum_losses(
    logit_BXL: torch.Tensor,
    target_BXL: torch.Tensor,
    mask_BL: torch.Tensor,
    predicted_boxes: list[torch.Tensor],
    true_boxes: list[torch.Tensor],
) -> dict[str, torch.Tensor]:
    readable_BXL = mask_BL[:, None].bool().expand_as(logit_BXL) & logit_BXL.isfinite()
    summed = focal(logit_BXL[readable_BXL], target_BXL[readable_BXL]).sum()
    losses = {"class": CLASS_WEIGHT * 3 * summed / target_BXL.sum().clamp(min=1)}
    if predicted_boxes:
        found_X4, wanted_X4 = torch.cat(predicted_boxes), torch.cat(true_boxes)
        losses["l1"] = L1_WEIGHT * (found_X4 - wanted_X4).abs().sum(-1).mean()
        losses["giou"] = GIOU_WEIGHT * (1 - giou(corners(found_X4), corners(wanted_X4))[0]).mean()
    return losses


def positive_locations(shape: tuple[int, int], toy_N4: torch.Tensor, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat location and toy indices where the cell's centre lies within `radius` cells of the toy's centre on both axes."""
    height, width = shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    near_SN = ((x.reshape(-1, 1) - toy_N4[:, 0] * width).abs() <= radius) & ((y.reshape(-1, 1) - toy_N4[:, 1] * height).abs() <= radius)
    location, toy = near_SN.nonzero(as_tuple=True)
    return location, toy


def all_locations(shapes: list[tuple[int, int]], radii: tuple[float, ...], toy_N4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """positive_locations over the flattened levels."""
    start, locations, toys = 0, [], []
    for shape, radius in zip(shapes, radii, strict=True):
        location, toy = positive_locations(shape, toy_N4, radius)
        locations.append(location + start)
        toys.append(toy)
        start += shape[0] * shape[1]
    return torch.cat(locations), torch.cat(toys)


def proposal_loss(predicted: Predictions, batch: Batch, shapes: list[tuple[int, int]], radii: tuple[float, ...]) -> dict[str, torch.Tensor]:
    """The encoder's proposals, taught at every location near a named toy's centre; the decoder removes the doubles."""
    width = batch.token_BL.shape[1]
    logit_BSL = predicted.logit_BQL[..., :width].float()
    target_BSL = torch.zeros_like(logit_BSL)
    predicted_boxes, true_boxes = [], []
    for row, (target_NL, toy_N4) in enumerate(zip(batch.target_NL, batch.boxes_N4, strict=True)):
        is_named_N = target_NL.sum(1) > 0
        location, toy = all_locations(shapes, radii, toy_N4[is_named_N])
        target_BSL[row, location] = target_NL[is_named_N][toy]
        predicted_boxes.append(predicted.box_BQ4[row, location].float())
        true_boxes.append(toy_N4[is_named_N][toy])
    return _sum_losses(logit_BSL, target_BSL, batch.mask_BL, predicted_boxes, true_boxes)


class DenseHead(nn.Module):
    """Objectness, the five words and the box at each location; teaches the backbone, is not exported."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.splits = [1, *(len(words) for words in WORD_SETS), 4]
        self.mlp = nn.Sequential(nn.Conv2d(channels, 128, 1), nn.GELU(), nn.Conv2d(128, sum(self.splits), 1))
        last = self.mlp[2]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias[:1], -3.0)
        nn.init.constant_(last.bias[-2:], -2.0)

    def forward(self, feature_BCHW: torch.Tensor) -> list[torch.Tensor]:
        out_BSD = self.mlp(feature_BCHW).flatten(2).transpose(1, 2).float()
        return list(out_BSD.split(self.splits, -1))


def dense_loss(
    head: DenseHead, feature_BCHW: torch.Tensor, batch: Batch, radius: float
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Losses of one level, and the shares of words right and the mean IoU at the positive locations."""
    shape = (feature_BCHW.shape[2], feature_BCHW.shape[3])
    object_BS1, *word_BSKs, box_BS4 = head(feature_BCHW)
    rows, locations, boxes, attributes = [], [], [], []
    for row, toy_N4 in enumerate(batch.boxes_N4):
        location, toy = positive_locations(shape, toy_N4, radius)
        rows.append(torch.full_like(location, row))
        locations.append(location)
        boxes.append(toy_N4[toy])
        attributes.append(batch.attributes_N5[row][toy])
    row_X, location_X = torch.cat(rows), torch.cat(locations)
    wanted_X4, attribute_X5 = torch.cat(boxes), torch.cat(attributes)
    target_BS1 = torch.zeros_like(object_BS1)
    target_BS1[row_X, location_X] = 1
    cell_X2 = torch.stack([(location_X % shape[1] + 0.5) / shape[1], (location_X // shape[1] + 0.5) / shape[0]], -1)
    raw_X4 = box_BS4[row_X, location_X]
    found_X4 = torch.cat([cell_X2 + 0.2 * raw_X4[:, :2].tanh(), raw_X4[:, 2:].sigmoid()], -1)
    giou_X, iou_X = giou(corners(found_X4), corners(wanted_X4))
    losses = {"object": 4 * focal(object_BS1, target_BS1).sum() / len(row_X)}
    figures = {"iou": float(iou_X.detach().mean())}
    for slot, (name, word_BSK) in enumerate(zip(("size", "colour", "pattern", "material", "noun"), word_BSKs, strict=True)):
        losses[name] = F.cross_entropy(word_BSK[row_X, location_X], attribute_X5[:, slot])
        figures[name] = float((word_BSK[row_X, location_X].detach().argmax(-1) == attribute_X5[:, slot]).float().mean())
    losses["box"] = L1_WEIGHT * (found_X4 - wanted_X4).abs().sum(-1).mean() + GIOU_WEIGHT * (1 - giou_X).mean()
    return losses, figures
