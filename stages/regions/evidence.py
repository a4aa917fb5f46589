"""What speaks for a stored detection beside its score: a lineup of near misses, a second detector, the image's other phrases.

Pure: detections in, numbers out. `ground` stores what it had to ask an engine for, `select` computes the rest.
"""

import re
from collections.abc import Collection, Sequence

from schemas.boxes import Box, iou_matrix
from schemas.rows import Detection, Phrase
from stages.regions.lineup import Lineup

# Boxes of one thing from two prompts or two detectors overlap by half at least.
SAME_THING_IOU = 0.5
_LITTLE = frozenset("a an the this that these those its his her their one of".split())


def best_boxes(detections: Sequence[Detection]) -> dict[int, Box]:
    """Phrase -> its box with the best score."""
    best: dict[int, Detection] = {}
    for box in detections:
        if box.phrase not in best or (box.score or 0) > (best[box.phrase].score or 0):
            best[box.phrase] = box
    return {phrase: box.xyxy for phrase, box in sorted(best.items())}


def with_lineup(detections: Sequence[Detection], lineup: Lineup, found: Sequence[Detection]) -> list[Detection]:
    """The detections with what a lineup says of each box. `found`: `phrase` is an index into the lineup's texts."""
    told = []
    for box in detections:
        scores: dict[str, float | None] = {"lineup": _best_here(box, lineup.texts_of(box.phrase, "own"), found)}
        for kind in ("noun", "value"):
            scores[f"{kind}_control"] = _best_here(box, lineup.texts_of(box.phrase, kind), found)
        told.append(box.model_copy(update=scores))
    return told


def with_agreement(detections: Sequence[Detection], second: Sequence[Detection]) -> list[Detection]:
    """The detections with the second detector's box for the same phrase: its overlap and its score."""
    told = []
    for box in detections:
        others = [one for one in second if one.phrase == box.phrase]
        overlaps = iou_matrix([box.xyxy], [one.xyxy for one in others])[0] if others else []
        pairs = [(float(iou), one.score or 0.0) for iou, one in zip(overlaps, others, strict=True)]
        near = [pair for pair in pairs if pair[0] >= SAME_THING_IOU]
        iou, score = max(near, key=lambda pair: (pair[1], pair[0])) if near else max(pairs, default=(0.0, 0.0))
        told.append(box.model_copy(update={"agreement": iou, "agreement_score": score}))
    return told


def rival_scores(detections: Sequence[Detection], phrases: Sequence[Phrase], same_box_iou: float) -> list[float]:
    """For each detection the best score of another phrase on the same box, 0 where none has one there.

    A phrase that only repeats some of a phrase's words ("the car" of "the red car") is another mention, no rival.
    """
    words = [_words(phrase) for phrase in phrases]
    rivals = [{other for other in range(len(phrases)) if not words[other] <= words[own]} for own in range(len(phrases))]
    return [_best_here(box, rivals[box.phrase], detections, same_box_iou) or 0.0 for box in detections]


def are_said_more_fully(detections: Sequence[Detection], phrases: Sequence[Phrase], same_box_iou: float) -> list[bool]:
    """For each detection whether a phrase of its noun with all of its phrase's words and more has the same box.

    "The car" of a later sentence often scores higher than "the small red car" of an earlier one: the fuller name is the better.
    """
    words = [_words(phrase) for phrase in phrases]
    fuller = [
        {other for other, more in enumerate(words) if words[own] < more and phrases[other].head == phrases[own].head}
        for own in range(len(phrases))
    ]
    return [_best_here(box, fuller[box.phrase], detections, same_box_iou) not in (None, 0.0) for box in detections]


def _words(phrase: Phrase) -> frozenset[str]:
    return frozenset(re.findall(r"[\w'-]+", phrase.text.lower())) - _LITTLE


def _best_here(box: Detection, names: Collection[int], found: Sequence[Detection], min_iou: float = SAME_THING_IOU) -> float | None:
    """The best score on this box of what goes by these names: 0 where nothing has, None where there are no names."""
    others = [one for one in found if one.phrase in names]
    overlaps = iou_matrix([box.xyxy], [one.xyxy for one in others])[0] if others else []
    return max((one.score or 0.0 for one, iou in zip(others, overlaps, strict=True) if iou >= min_iou), default=0.0) if names else None
