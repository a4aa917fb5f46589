"""select: which stored detections are regions. Thresholds and overlaps only; no pixels, no engine."""

from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from schemas.boxes import Box, area, iou_matrix, keep_by_nms
from schemas.rows import Detection, GroundRow, Region, SelectRow
from stages.base import Image, Stage, StageParams
from stages.phrases import is_plural


class SelectParams(StageParams):
    min_score: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Boxes below this are dropped; null: the detector's own default, filled in when the configuration is read.",
    )
    max_iou: float = Field(0.5, ge=0, le=1, description="Of two boxes of one head noun that overlap more, the better is kept.")
    max_frame_iou: float = Field(0.9, ge=0, le=1, description="A box that covers more of the frame is no region.")
    min_side_px: float = Field(4, ge=0, description="A box with a shorter side is dropped, in pixels of the upright image.")
    max_boxes_per_plural: int = Field(10, ge=1, description="Boxes that a plural phrase may keep; a singular one keeps its best.")


class Select(Stage[SelectParams, SelectRow]):
    """Keep the detections that are regions. Writes regions: xyxy, pixels of the upright image, best score first.

    A given box, which has no score, is kept whatever it is; it is nobody's place here to overrule who drew it.
    """

    name = "select"
    version = 1
    reads = ("ground",)

    async def run(self, unit: Sequence[Image], attempt: int) -> list[SelectRow]:
        return [self._select(image.key, image.row(GroundRow)) for image in unit]

    def _select(self, key: str, ground: GroundRow) -> SelectRow:
        threshold = self.params.min_score or 0.0
        rejects: Counter[str] = Counter()
        kept = [box for box in ground.detections if not _count(self._refusal(box, ground, threshold), rejects)]
        kept = self._without_overlaps(kept, ground, rejects)
        kept = self._within_limits(kept, ground, rejects)
        sizes = Counter(box.phrase for box in kept)
        regions = [_region(box, ground, sizes[box.phrase]) for box in kept]
        return SelectRow(
            key=key, width=ground.width, height=ground.height, regions=regions, rejects=dict(sorted(rejects.items())), min_score=threshold
        )

    def _refusal(self, box: Detection, ground: GroundRow, threshold: float) -> str | None:
        if box.score is None:
            return None
        if box.score < threshold:
            return "below_threshold"
        if min(box.xyxy[2] - box.xyxy[0], box.xyxy[3] - box.xyxy[1]) < self.params.min_side_px:
            return "too_small"
        frame: Box = (0, 0, ground.width or 0, ground.height or 0)
        if area(frame) and iou_matrix([box.xyxy], [frame])[0, 0] > self.params.max_frame_iou:
            return "whole_image"
        return None

    def _without_overlaps(self, boxes: list[Detection], ground: GroundRow, rejects: Counter[str]) -> list[Detection]:
        by_head: dict[str, list[int]] = {}
        for position, box in enumerate(boxes):
            by_head.setdefault(ground.phrases[box.phrase].head, []).append(position)
        kept = {position for position, box in enumerate(boxes) if box.score is None}
        for group in by_head.values():
            survivors = keep_by_nms([boxes[i].xyxy for i in group], [_rank(boxes[i]) for i in group], self.params.max_iou)
            kept |= {group[i] for i in survivors}
        rejects["overlap"] += len(boxes) - len(kept)
        return sorted((boxes[i] for i in sorted(kept)), key=_order)

    def _within_limits(self, boxes: list[Detection], ground: GroundRow, rejects: Counter[str]) -> list[Detection]:
        seen: Counter[int] = Counter()
        kept = []
        for box in boxes:
            limit = self.params.max_boxes_per_plural if is_plural(ground.phrases[box.phrase]) else 1
            seen[box.phrase] += 1
            if box.score is None or seen[box.phrase] <= limit:
                kept.append(box)
            else:
                rejects["over_phrase_limit"] += 1
        rejects += Counter()
        return kept


def _count(reason: str | None, rejects: Counter[str]) -> bool:
    if reason is not None:
        rejects[reason] += 1
    return reason is not None


def _rank(box: Detection) -> float:
    """Given boxes, which carry no score, come before all that were detected."""
    return 2.0 if box.score is None else box.score


def _order(box: Detection) -> tuple[float, int, Box]:
    """Best first; given boxes stay in the order in which they were given."""
    return (-_rank(box), 0, (0, 0, 0, 0)) if box.score is None else (-box.score, box.phrase, box.xyxy)


def _region(box: Detection, ground: GroundRow, num_boxes: int) -> Region:
    phrase = ground.phrases[box.phrase]
    return Region(
        xyxy=box.xyxy, score=box.score, phrase=phrase.text, start=phrase.start, end=phrase.end, head=phrase.head, num_boxes=num_boxes
    )
