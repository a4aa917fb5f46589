"""Held-out figures of a detector, asked as it is in use: one prompt a phrase. Knows nothing of training.

    python -m pipeline.demo.training.detector.scores CHECKPOINT [--scenes N]

Axes: Q query, L token, N toy, D detection.
"""

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor, GroundingDinoForObjectDetection, GroundingDinoProcessor

from pipeline.demo.draw import draw
from pipeline.demo.training.detector.data import DOT_ID, boxes_of, fits, near_miss, phrase_of, values
from pipeline.demo.training.detector.loss import corners, giou
from pipeline.demo.world import Scene, scene

HELD_OUT_SEED = 1000
FLOOR, NMS_IOU, HIT_IOU, SMALL_AREA = 0.05, 0.5, 0.5, 0.01
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


@dataclass(frozen=True)
class Answer:
    """The detections of one phrase in one scene: scores, and for each the best IoU with the toy meant (0 if none is)."""

    is_present: bool
    is_small: bool
    score_D: tuple[float, ...]
    iou_D: tuple[float, ...]


@torch.no_grad()
def detect(
    model: GroundingDinoForObjectDetection, processor: GroundingDinoProcessor, image: Image.Image, phrases: list[str]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each phrase, asked alone: scores above FLOOR, best first, and corner boxes in 0..1, after NMS."""
    inputs = processor(images=[image] * len(phrases), text=[f"{phrase} ." for phrase in phrases], padding=True, return_tensors="pt")
    out = model(**inputs)
    return [_keep(out.logits[row], out.pred_boxes[row], inputs["input_ids"][row]) for row in range(len(phrases))]


def _keep(logit_QL: torch.Tensor, box_Q4: torch.Tensor, token_L: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    end = int((token_L == DOT_ID).nonzero()[0])
    score_Q = logit_QL[:, 1:end].sigmoid().mean(-1)
    kept: list[int] = []
    for query in score_Q.argsort(descending=True).tolist():
        overlap = giou(corners(box_Q4[query]), corners(box_Q4[kept]))[1] if kept else torch.zeros(1)
        if score_Q[query] > FLOOR and overlap.max() < NMS_IOU:
            kept.append(query)
    return score_Q[kept], corners(box_Q4[kept])


def answers(model: GroundingDinoForObjectDetection, processor: GroundingDinoProcessor, shown: Scene) -> list[Answer]:
    """Every toy's full phrase, and as many near misses that fit no toy."""
    rng = random.Random(f"near misses/{shown.seed}/{shown.index}")
    missing = [near_miss(values(toy), rng) for toy in shown.toys]
    absent = [phrase_of(miss) for miss in missing if not any(fits(miss, toy) for toy in shown.toys)]
    boxes = detect(model, processor, draw(shown), [*(toy.phrase for toy in shown.toys), *absent])
    toys_N4 = boxes_of(shown)
    made = []
    for index, (score_D, box_D4) in enumerate(boxes):
        if index < len(shown.toys):
            fitting = [row for row, toy in enumerate(shown.toys) if fits(values(shown.toys[index]), toy)]
            iou_D = giou(box_D4[:, None], corners(toys_N4[fitting])[None])[1].amax(-1) if len(score_D) else score_D
            is_small = bool(toys_N4[index, 2:].prod() < SMALL_AREA)
            made.append(Answer(True, is_small, tuple(score_D.tolist()), tuple(iou_D.tolist())))
        else:
            made.append(Answer(False, False, tuple(score_D.tolist()), (0.0,) * len(score_D)))
    return made


def figures_at(threshold: float, given: list[Answer]) -> dict[str, float]:
    """Precision and recall at IoU 0.5 over present phrases, of small toys too, mean IoU of hits, absent phrases that fire."""
    present = [answer for answer in given if answer.is_present]
    above = [[iou for score, iou in zip(answer.score_D, answer.iou_D, strict=True) if score > threshold] for answer in present]
    is_hit = [any(iou >= HIT_IOU for iou in ious) for ious in above]
    small = [hit for hit, answer in zip(is_hit, present, strict=True) if answer.is_small]
    best = [max(ious) for ious, hit in zip(above, is_hit, strict=True) if hit]
    absent = [answer for answer in given if not answer.is_present]
    return {
        "threshold": threshold,
        "precision": round(sum(is_hit) / max(1, sum(map(len, above))), 4),
        "recall": round(sum(is_hit) / max(1, len(is_hit)), 4),
        "small_recall": round(sum(small) / max(1, len(small)), 4),
        "mean_iou": round(sum(best) / max(1, len(best)), 4),
        "absent_fired": round(sum(any(score > threshold for score in answer.score_D) for answer in absent) / max(1, len(absent)), 4),
    }


def held_out_answers(model: GroundingDinoForObjectDetection, processor: GroundingDinoProcessor, num_scenes: int) -> list[Answer]:
    was_training = model.training
    model.train(False)
    given = [answer for index in range(num_scenes) for answer in answers(model, processor, scene(HELD_OUT_SEED, index))]
    model.train(was_training)
    return given


def held_out_figures(model: GroundingDinoForObjectDetection, processor: GroundingDinoProcessor, num_scenes: int) -> dict[str, float]:
    """The figures at the threshold with the best smaller of precision and recall."""
    given = held_out_answers(model, processor, num_scenes)
    return max((figures_at(threshold, given) for threshold in THRESHOLDS), key=lambda row: min(row["precision"], row["recall"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--scenes", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(options.checkpoint)
    processor = AutoProcessor.from_pretrained(options.checkpoint)
    given = held_out_answers(model, processor, options.scenes)
    for threshold in THRESHOLDS:
        print(figures_at(threshold, given))


if __name__ == "__main__":
    main()
