"""select: which stored detections are regions. Thresholds and overlaps only; no pixels, no engine."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from schemas.boxes import Box, area, iou_matrix, keep_by_nms
from schemas.rows import Detection, GroundRow, Region, SelectRow
from stages.base import Image, Stage
from stages.params import StageParams, Surroundings
from stages.regions.evidence import are_said_more_fully, rival_scores
from stages.words.phrases import num_named


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
    max_boxes_per_plural: int = Field(
        10, ge=1, description="Boxes that a plural phrase may keep, or as many as it states; a singular one keeps its best."
    )
    min_noun_margin: float | None = Field(
        -0.1,
        description="Absence test: in the lineup the phrase must lead its near misses of another noun by so much; null: not tested.",
    )
    min_value_margin: float | None = Field(-0.25, description="The same for near misses with one attribute value changed.")
    min_lead: float | None = Field(
        0.0, description="Within-image check: a box must score so much above every other phrase on the same box; null: not checked."
    )
    same_box_iou: float = Field(0.75, ge=0, le=1, description="Boxes of two phrases that overlap so much are the same box.")
    min_agreement: float | None = Field(
        None, ge=0, le=1, description="The second detector's box for the phrase must overlap so much; null: not asked for."
    )
    min_agreement_score: float = Field(0.0, ge=0, le=1, description="And that box must have this score of the second detector.")


class Select(Stage[SelectParams, SelectRow]):
    """Keep the detections that are regions. Writes regions: xyxy, pixels of the upright image, best score first.

    A given box, which has no score, is kept whatever it is; it is nobody's place here to overrule who drew it.
    """

    name = "select"
    version = 2
    reads = ("ground",)

    @classmethod
    def resolved(cls, params: SelectParams, around: Surroundings) -> SelectParams:
        """Without a threshold of its own it takes the detector's."""
        own: SelectParams = super().resolved(params, around)
        detector = around.engines.get("detector")
        if own.min_score is not None or detector is None:
            return own
        return own.model_copy(update={"min_score": getattr(detector, "default_min_score", 0.0)})

    @classmethod
    def problems(cls, params: SelectParams, around: Surroundings) -> Iterator[str]:
        yield from super().problems(params, around)
        ground = around.stages.get("ground")
        if params.min_agreement is not None and ground is not None and not getattr(ground, "second_detector", False):
            yield "stages.select.min_agreement needs a second detector: set stages.ground.second_detector to true"

    async def run(self, unit: Sequence[Image], retry: int) -> list[SelectRow]:
        return [self._select(image.key, image.row(GroundRow)) for image in unit]

    def _select(self, key: str, ground: GroundRow) -> SelectRow:
        threshold = self.params.min_score or 0.0
        rejects: Counter[str] = Counter()
        rivals = rival_scores(ground.detections, ground.phrases, self.params.same_box_iou)
        candidates = [_Evidence(candidate, rival) for candidate, rival in zip(ground.detections, rivals, strict=True)]
        kept = [candidate for candidate in candidates if not _count(self._refusal(candidate, ground, threshold), rejects)]
        kept = self._with_fullest_names(kept, ground, rejects)
        kept = self._without_overlaps(kept, ground, rejects)
        kept = self._within_limits(kept, ground, rejects)
        sizes = Counter(candidate.box.phrase for candidate in kept)
        regions = [_region(candidate, ground, sizes[candidate.box.phrase]) for candidate in kept]
        return SelectRow(
            key=key, width=ground.width, height=ground.height, regions=regions, rejects=dict(sorted(rejects.items())), min_score=threshold
        )

    def _refusal(self, evidence: "_Evidence", ground: GroundRow, threshold: float) -> str | None:
        box = evidence.box
        if box.score is None:
            return None
        if box.score < threshold:
            return "below_threshold"
        if min(box.xyxy[2] - box.xyxy[0], box.xyxy[3] - box.xyxy[1]) < self.params.min_side_px:
            return "too_small"
        frame: Box = (0.0, 0.0, float(ground.width or 0), float(ground.height or 0))
        if area(frame) and iou_matrix([box.xyxy], [frame])[0, 0] > self.params.max_frame_iou:
            return "whole_image"
        return self._doubt(box, box.score, evidence.rival)

    def _doubt(self, box: Detection, score: float, rival: float) -> str | None:
        """What the stored evidence beside the score says against the box."""
        if _is_under(box.lineup, box.noun_control, self.params.min_noun_margin):
            return "absent_noun"
        if _is_under(box.lineup, box.value_control, self.params.min_value_margin):
            return "absent_value"
        if rival > 0 and _is_under(score, rival, self.params.min_lead):
            return "outranked"
        wanted = self.params.min_agreement
        if wanted is None or box.agreement is None:
            return None
        agrees = box.agreement >= wanted and (box.agreement_score or 0.0) >= self.params.min_agreement_score
        return None if agrees else "disagreement"

    def _with_fullest_names(self, candidates: "list[_Evidence]", ground: GroundRow, rejects: Counter[str]) -> "list[_Evidence]":
        """Of two mentions of one thing the one with more words names the region."""
        lesser = are_said_more_fully([candidate.box for candidate in candidates], ground.phrases, self.params.same_box_iou)
        kept = [candidate for candidate, is_lesser in zip(candidates, lesser, strict=True) if candidate.box.score is None or not is_lesser]
        rejects["said_more_fully"] += len(candidates) - len(kept)
        return kept

    def _without_overlaps(self, candidates: "list[_Evidence]", ground: GroundRow, rejects: Counter[str]) -> "list[_Evidence]":
        """Non-maximum suppression within a head noun: across nouns it would delete parts and the wholes that they belong to."""
        by_head: dict[str, list[int]] = {}
        for position, candidate in enumerate(candidates):
            by_head.setdefault(ground.phrases[candidate.box.phrase].head, []).append(position)
        kept = {position for position, candidate in enumerate(candidates) if candidate.box.score is None}
        for group in by_head.values():
            survivors = keep_by_nms([candidates[i].box.xyxy for i in group], [_rank(candidates[i].box) for i in group], self.params.max_iou)
            kept |= {group[i] for i in survivors}
        rejects["overlap"] += len(candidates) - len(kept)
        return sorted((candidates[i] for i in sorted(kept)), key=lambda candidate: _order(candidate.box))

    def _within_limits(self, candidates: "list[_Evidence]", ground: GroundRow, rejects: Counter[str]) -> "list[_Evidence]":
        seen: Counter[int] = Counter()
        kept = []
        most = self.params.max_boxes_per_plural
        for candidate in candidates:
            limit = min(num_named(ground.phrases[candidate.box.phrase]) or most, most)
            seen[candidate.box.phrase] += 1
            if candidate.box.score is None or seen[candidate.box.phrase] <= limit:
                kept.append(candidate)
            else:
                rejects["over_phrase_limit"] += 1
        rejects += Counter()
        return kept


@dataclass(frozen=True)
class _Evidence:
    """A detection and the best score of another phrase on its box."""

    box: Detection
    rival: float


def _is_under(score: float | None, other: float | None, margin: float | None) -> bool:
    if score is None or other is None or margin is None:
        return False
    return score - other < margin


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


def _region(evidence: _Evidence, ground: GroundRow, num_boxes: int) -> Region:
    box, phrase = evidence.box, ground.phrases[evidence.box.phrase]
    controls = [score for score in (box.noun_control, box.value_control) if score is not None]
    margin = box.lineup - max(controls) if controls and box.lineup is not None else None
    return Region(
        xyxy=box.xyxy,
        score=box.score,
        phrase=phrase.text,
        start=phrase.start,
        end=phrase.end,
        head=phrase.head,
        num_boxes=num_boxes,
        rival=None if box.score is None else evidence.rival,
        margin=margin,
        agreement=box.agreement,
    )
