"""Holds the committed tables of a demo run against the scenes' ground truth. Formulas beside each figure; no model, no Ray."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.demo.corpus import scene_of
from pipeline.demo.world import BACKGROUNDS, COLOURS, MATERIALS, NOUNS, NUMBERS, PATTERNS, POSITIONS, SIDE_PX, SIZES_PX, Scene, Toy
from schemas.boxes import area, iou_matrix
from schemas.rows import CaptionRow, HardNegativeRow, RegionCaptionRow, SelectRow

_VALUES: dict[str, Sequence[str]] = {
    "size": tuple(SIZES_PX),
    "colour": COLOURS,
    "pattern": PATTERNS,
    "material": MATERIALS,
    "noun": NOUNS,
}
_SMALL = 0.01 * SIDE_PX * SIDE_PX
_LATER = "measured by the data-quality stages, which this run does not have"


@dataclass(frozen=True)
class Told:
    """The rows of one image that are scored; None where the stage was not ok."""

    key: str
    caption: CaptionRow | None
    select: SelectRow | None
    regions: RegionCaptionRow | None
    negatives: HardNegativeRow | None


@dataclass
class _Tally:
    right: int = 0
    stated: int = 0
    true: int = 0
    boxes_right: int = 0
    boxes: int = 0
    toys: int = 0
    small_right: int = 0
    small: int = 0
    bound_right: int = 0
    slots_right: int = 0
    slots: int = 0
    num_regions: int = 0
    false_by_type: Counter[str] = field(default_factory=Counter)
    by_type: Counter[str] = field(default_factory=Counter)


def score(images: Iterable[Told], statuses: Mapping[str, int], engine: str, seconds: float) -> dict[str, Any]:
    """The figures of score.json; rates 0..1."""
    tally = _Tally()
    for image in images:
        _add(tally, image)
    num_negatives = tally.by_type.total()
    figures: dict[str, Any] = {
        "images_in": sum(statuses.values()),
        "statuses": dict(statuses),
        "caption_attribute_precision": _rate(tally.right, tally.stated),
        "caption_attribute_recall": _rate(tally.right, tally.true),
        "box_recall_iou50": _rate(tally.boxes_right, tally.toys),
        "box_precision_iou50": _rate(tally.boxes_right, tally.boxes),
        "box_recall_iou50_small": _rate(tally.small_right, tally.small),
        "box_phrase_accuracy": _rate(tally.bound_right, tally.boxes_right),
        "region_attribute_accuracy": _rate(tally.slots_right, tally.slots),
        "negatives_false_rate": _rate(tally.false_by_type.total(), num_negatives),
        "negatives_false_rate_by_type": {kind: _rate(tally.false_by_type[kind], tally.by_type[kind]) for kind in sorted(tally.by_type)},
        "negatives_per_region": _rate(num_negatives, tally.num_regions),
        "regions": tally.num_regions,
        "engine": engine,
        "seconds": round(seconds, 1),
    }
    for name in ("region_leakage_rate", "released_negatives_per_region", "blind_top1_noun_disjoint", "blind_top1_noun_disjoint_high"):
        figures |= {name: None, f"{name}_why": _LATER}
    return figures | {"blind_chance": None, "blind_chance_why": _LATER, "judge_error_rate": None, "judge_error_rate_why": _LATER}


def mentioned(text: str) -> dict[str, str]:
    """Slot -> value of the world's words that a phrase uses; the first of a slot counts."""
    words = re.findall(r"[a-z]+", text.lower())
    found = {}
    for slot, values in _VALUES.items():
        value = next((word for word in words if word in values), None)
        if value is not None:
            found[slot] = value
    return found


def _add(tally: _Tally, image: Told) -> None:
    scene = scene_of(image.key)
    tally.true += 6 * len(scene.toys) + 2
    tally.toys += len(scene.toys)
    tally.small += sum(area(toy.xyxy) < _SMALL for toy in scene.toys)
    if image.caption is not None and image.caption.long is not None:
        right, stated = _caption(image.caption.long, scene)
        tally.right += right
        tally.stated += stated
    if image.select is None:
        return
    owner = _owners(image.select, scene)
    _boxes(tally, image.select, owner)
    for region in image.regions.regions if image.regions else ():
        if region.short is not None:
            tally.num_regions += 1
            toy = owner.get(region.region)
            if toy is not None:
                said = mentioned(region.short)
                tally.slots += 3
                tally.slots_right += sum(said.get(slot) == getattr(toy, slot) for slot in ("colour", "pattern", "material"))
    for group in image.negatives.regions if image.negatives else ():
        for negative in group.negatives:
            tally.by_type[negative.type] += 1
            tally.false_by_type[negative.type] += _is_false(negative.text, owner.get(group.region))


def _caption(text: str, scene: Scene) -> tuple[int, int]:
    """Slots stated rightly, and slots stated. A sentence speaks of the toy at its place; the first of count and background."""
    lines = re.split(r"(?<=\.)\s+", text.strip())
    first = re.findall(r"[a-z]+", lines[0].lower()) if lines else []
    count = next((NUMBERS.index(word) for word in first if word in NUMBERS), None)
    background = next((name for name in BACKGROUNDS if name in lines[0].lower()), None) if lines else None
    right = int(count == len(scene.toys)) + int(background == scene.background)
    stated = int(count is not None) + int(background is not None)
    at_place = {toy.position: toy for toy in scene.toys}
    for line in lines[1:]:
        place = next((position for position in POSITIONS if position in line.lower()), None)
        said = mentioned(line)
        toy = at_place.pop(place, None) if place else None
        stated += len(said) + (place is not None)
        if toy is not None:
            right += 1 + sum(getattr(toy, slot) == value for slot, value in said.items())
    return right, stated


def _owners(select: SelectRow, scene: Scene) -> dict[int, Toy]:
    """Region index -> the toy it boxes: pairs at IoU 0.5 or more, best first, each region and toy once."""
    overlap = iou_matrix([region.xyxy for region in select.regions], [toy.xyxy for toy in scene.toys])
    pairs = sorted(
        ((overlap[i, j], i, j) for i in range(overlap.shape[0]) for j in range(overlap.shape[1])), key=lambda p: (-p[0], p[1], p[2])
    )
    owner: dict[int, int] = {}
    for value, i, j in pairs:
        if value >= 0.5 and i not in owner and j not in owner.values():
            owner[i] = j
    return {i: scene.toys[j] for i, j in owner.items()}


def _boxes(tally: _Tally, select: SelectRow, owner: Mapping[int, Toy]) -> None:
    tally.boxes += len(select.regions)
    tally.boxes_right += len(owner)
    tally.small_right += sum(area(toy.xyxy) < _SMALL for toy in owner.values())
    for i, toy in owner.items():
        tally.bound_right += all(getattr(toy, slot) == value for slot, value in mentioned(select.regions[i].phrase).items())


def _is_false(text: str, toy: Toy | None) -> bool:
    """Whether some stated slot differs from the toy's. Of a box that holds no toy nothing can be said: not false."""
    return toy is not None and any(getattr(toy, slot) != value for slot, value in mentioned(text).items())


def _rate(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
