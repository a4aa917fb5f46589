"""What speaks for a stored detection beside its score: a lineup of near misses, a second detector, the image's other phrases.

Pure: detections in, numbers out. `ground` stores what it had to ask an engine for, `select` computes the rest.
"""

import re
from collections.abc import Collection, Sequence

import numpy as np

from schemas.boxes import Box, iou_arrays, iou_matrix
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


def with_lineup(detections: Sequence[Detection], lineup: Lineup, answers: Sequence[Detection]) -> list[Detection]:
    """The detections with what a lineup says of each box. `found`: `phrase` is an index into the lineup's texts."""
    boxes = []
    for box in detections:
        scores: dict[str, float | None] = {"lineup": _best_here(box, lineup.texts_of(box.phrase, "own"), answers)}
        for kind in ("noun", "value"):
            scores[f"{kind}_control"] = _best_here(box, lineup.texts_of(box.phrase, kind), answers)
        boxes.append(box.model_copy(update=scores))
    return boxes


def with_agreement(detections: Sequence[Detection], second: Sequence[Detection]) -> list[Detection]:
    """The detections with the second detector's box for the same phrase: its overlap and its score."""
    boxes = []
    for box in detections:
        others = [other for other in second if other.phrase == box.phrase]
        overlaps = iou_matrix([box.xyxy], [other.xyxy for other in others])[0] if others else []
        pairs = [(float(iou), other.score or 0.0) for iou, other in zip(overlaps, others, strict=True)]
        near = [pair for pair in pairs if pair[0] >= SAME_THING_IOU]
        iou, score = max(near, key=lambda pair: (pair[1], pair[0])) if near else max(pairs, default=(0.0, 0.0))
        boxes.append(box.model_copy(update={"agreement": iou, "agreement_score": score}))
    return boxes


def rival_scores(detections: Sequence[Detection], phrases: Sequence[Phrase], same_box_iou: float) -> list[float]:
    """For each detection the best score of another phrase on the same box, 0 where none has one there, and of a given box.

    A phrase that only repeats some of a phrase's words ("the car" of "the red car") is another mention, no rival.
    """
    words = [_words(phrase) for phrase in phrases]
    boxes = _Boxes(detections)
    rivals = [np.array([not other <= own for other in words], bool) for own in words] if detections else []
    return [0.0 if box.score is None else boxes.best(box, rivals[box.phrase], same_box_iou) or 0.0 for box in detections]


def are_said_more_fully(detections: Sequence[Detection], phrases: Sequence[Phrase], same_box_iou: float) -> list[bool]:
    """For each detection whether a phrase of its noun with all of its phrase's words and more has the same box; never of a given one.

    "The car" of a later sentence often scores higher than "the small red car" of an earlier one: the fuller name is the better.
    """
    words = [_words(phrase) for phrase in phrases]
    boxes = _Boxes(detections)
    fuller = [
        np.array([own < more and other.head == phrase.head for more, other in zip(words, phrases, strict=True)], bool)
        for own, phrase in zip(words, phrases, strict=True)
    ]
    return [box.score is not None and boxes.best(box, fuller[box.phrase], same_box_iou) not in (None, 0.0) for box in detections]


class _Boxes:
    """The detections of an image as arrays: what is asked of each against all the others must not be asked one by one."""

    def __init__(self, detections: Sequence[Detection]) -> None:
        self._phrases = np.array([box.phrase for box in detections], np.int64)
        self._boxes = np.array([box.xyxy for box in detections], np.float64).reshape(-1, 4)
        self._scores = np.array([box.score or 0.0 for box in detections], np.float64)

    def best(self, box: Detection, names: np.ndarray, min_iou: float) -> float | None:
        """The best score on this box of what goes by these names: 0 where nothing has, None where there are no names."""
        if not names.any():
            return None
        chosen = names[self._phrases]
        scores = self._scores[chosen]
        left, top, right, bottom = box.xyxy
        others = self._boxes[chosen]
        is_near = (others[:, 0] < right) & (others[:, 2] > left) & (others[:, 1] < bottom) & (others[:, 3] > top)
        if min_iou > 0:
            others, scores = others[is_near], scores[is_near]
        overlaps = iou_arrays(np.array([box.xyxy], np.float64), others)[0]
        return float(scores[overlaps >= min_iou].max(initial=0.0))


def _words(phrase: Phrase) -> frozenset[str]:
    return frozenset(re.findall(r"[\w'-]+", phrase.text.lower())) - _LITTLE


def _best_here(box: Detection, names: Collection[int], answers: Sequence[Detection], min_iou: float = SAME_THING_IOU) -> float | None:
    """The best score on this box of what goes by these names: 0 where nothing has, None where there are no names."""
    others = [other for other in answers if other.phrase in names]
    overlaps = iou_matrix([box.xyxy], [other.xyxy for other in others])[0] if others else []
    return max((other.score or 0.0 for other, iou in zip(others, overlaps, strict=True) if iou >= min_iou), default=0.0) if names else None
