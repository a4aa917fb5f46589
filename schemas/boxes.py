"""Boxes: xyxy, pixels of the upright image, origin top left, right and bottom exclusive."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

Box = tuple[float, float, float, float]


def clip_box(xyxy: Box, width: int, height: int) -> Box | None:
    """The part of the box inside the image, or None where nothing is left."""
    x0, y0, x1, y1 = xyxy
    if 0 < x0 < x1 <= width and 0 < y0 < y1 <= height:
        return xyxy  # as most are
    x0, x1 = max(0.0, min(x0, float(width))), max(0.0, min(x1, float(width)))
    y0, y1 = max(0.0, min(y0, float(height))), max(0.0, min(y1, float(height)))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def area(xyxy: Box) -> float:
    """Square pixels."""
    return max(0.0, xyxy[2] - xyxy[0]) * max(0.0, xyxy[3] - xyxy[1])


def share_inside(part: Box, whole: Box) -> float:
    """How much of `part` lies inside `whole`: 0..1 of its area."""
    shared = (max(part[0], whole[0]), max(part[1], whole[1]), min(part[2], whole[2]), min(part[3], whole[3]))
    is_apart = shared[2] <= shared[0] or shared[3] <= shared[1]
    return 0.0 if is_apart or not area(part) else area(shared) / area(part)


def iou_matrix(left: Sequence[Box], right: Sequence[Box]) -> Float64[np.ndarray, "{len(left)} {len(right)}"]:
    """Intersection over union of each box of `left` with each of `right`, 0..1."""
    return iou_arrays(np.asarray(left, np.float64).reshape(-1, 4), np.asarray(right, np.float64).reshape(-1, 4))


def iou_arrays(a: Float64[np.ndarray, "n 4"], b: Float64[np.ndarray, "m 4"]) -> Float64[np.ndarray, "n m"]:
    """The same of boxes as rows of arrays."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas_a = np.prod(a[:, 2:] - a[:, :2], axis=1)
    areas_b = np.prod(b[:, 2:] - b[:, :2], axis=1)
    union = areas_a[:, None] + areas_b[None, :] - shared
    ratio: np.ndarray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def keep_by_nms(boxes: Sequence[Box], scores: Sequence[float], max_iou: float) -> list[int]:
    """Indices that survive non-maximum suppression, best score first; ties go to the earlier box."""
    left = np.array(sorted(range(len(boxes)), key=lambda i: (-scores[i], i)), np.int64)
    all_boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    kept: list[int] = []
    while len(left):  # a row at a time: the whole matrix of 5,000 boxes would take a gigabyte
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[iou_arrays(all_boxes[[best]], all_boxes[left])[0] <= max_iou]
    return kept


def normalise(xyxy: Box, width: int, height: int) -> Box:
    """The box in shares of the image's sides, 0..1."""
    return (xyxy[0] / width, xyxy[1] / height, xyxy[2] / width, xyxy[3] / height)
