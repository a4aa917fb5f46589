"""What is true of the demo's scenes, asked of texts, boxes and single values. Knows no tables' formats beyond the rows, no model."""

import re
from collections.abc import Mapping, Sequence

from pipeline.demo.world import BACKGROUNDS, COLOURS, MATERIALS, NOUNS, NUMBERS, PATTERNS, POSITIONS, SIZES_PX, Scene, Toy
from schemas.boxes import Box, iou_matrix
from schemas.rows import CAPTION, Fact, Negative, RegionNegatives

_VALUES: dict[str, Sequence[str]] = {
    "size": tuple(SIZES_PX),
    "colour": COLOURS,
    "pattern": PATTERNS,
    "material": MATERIALS,
    "noun": NOUNS,
}
_COUNTS = (*NUMBERS, "six", "seven", "eight")  # a negative may count further than the world does
_SLOT_OF_TYPE = {"colour": "colour", "pattern": "pattern", "material": "material", "size": "size", "object": "noun"}


def mentioned(text: str) -> dict[str, str]:
    """Slot -> value of the world's words that a phrase uses; the first of a slot counts."""
    words = re.findall(r"[a-z]+", text.lower())
    slots = {}
    for slot, values in _VALUES.items():
        value = next((word for word in words if word in values), None)
        if value is not None:
            slots[slot] = value
    return slots


def caption_slots(text: str, scene: Scene) -> tuple[int, int]:
    """Slots stated rightly, and slots stated. A sentence speaks of the toy at its place; the first of count and background."""
    lines = [line for _, line in _sentences(text)]
    count, background = _whole(lines[0]) if lines else (None, None)
    right = int(count == len(scene.toys)) + int(background == scene.background)
    stated = int(count is not None) + int(background is not None)
    at_place = {toy.position: toy for toy in scene.toys}
    for line in lines[1:]:
        place = _place(line)
        slots = mentioned(line)
        toy = at_place.pop(place, None) if place else None
        stated += len(slots) + (place is not None)
        if toy is not None:
            right += 1 + sum(getattr(toy, slot) == value for slot, value in slots.items())
    return right, stated


def owners(boxes: Sequence[Box], scene: Scene) -> dict[int, Toy]:
    """Box index -> the toy it boxes: pairs at IoU 0.5 or more, best first, each box and toy once."""
    overlap = iou_matrix(list(boxes), [toy.xyxy for toy in scene.toys])
    pairs = sorted(
        ((overlap[i, j], i, j) for i in range(overlap.shape[0]) for j in range(overlap.shape[1])), key=lambda p: (-p[0], p[1], p[2])
    )
    owner: dict[int, int] = {}
    for value, i, j in pairs:
        if value >= 0.5 and i not in owner and j not in owner.values():
            owner[i] = j
    return {i: scene.toys[j] for i, j in owner.items()}


def is_false(negative: Negative, of: RegionNegatives, owner: Mapping[int, Toy], scene: Scene) -> bool:
    """Whether a negative is false: of its region's toy, or, on the long caption, in a sentence that was edited.

    Of a box that holds no toy nothing can be said: not false.
    """
    if of.region == CAPTION:
        return _edited_sentence_is_false(negative, of.positive, scene)
    toy = owner.get(of.region)
    return toy is not None and not _fits(negative.text, toy)


def fact_is_true(fact: Fact, owner: Mapping[int, Toy]) -> bool | None:
    """Whether the value holds of the region's toy; None where the box holds no toy or the world knows no such type."""
    toy, slot = owner.get(fact.region), _SLOT_OF_TYPE.get(fact.type)
    return None if toy is None or slot is None else bool(getattr(toy, slot) == fact.value)


def _fits(text: str, toy: Toy) -> bool:
    return all(getattr(toy, slot) == value for slot, value in mentioned(text).items())


def _edited_sentence_is_false(negative: Negative, positive: str, scene: Scene) -> bool:
    before, after = _sentences(positive), _sentences(negative.text)
    edited = {i for i, (span, _) in enumerate(before) for edit in negative.edits if span[0] <= edit.start < span[1]}
    lines = [after[i] for i in edited] if len(before) == len(after) else after
    return any(not _holds(line, scene) for _, line in lines)


def _holds(line: str, scene: Scene) -> bool:
    place, slots = _place(line), mentioned(line)
    if place is None and "noun" not in slots:
        count, background = _whole(line)
        return count in (None, len(scene.toys)) and background in (None, scene.background)
    return any(place in (None, toy.position) and _fits(line, toy) for toy in scene.toys)


def _whole(line: str) -> tuple[int | None, str | None]:
    words = re.findall(r"[a-z]+", line.lower())
    count = next((_COUNTS.index(word) for word in words if word in _COUNTS), None)
    return count, next((name for name in BACKGROUNDS if name in line.lower()), None)


def _place(line: str) -> str | None:
    return next((position for position in POSITIONS if position in line.lower()), None)


def _sentences(text: str) -> list[tuple[tuple[int, int], str]]:
    return [(match.span(), match.group()) for match in re.finditer(r"[^.]+\.?", text) if match.group().strip()]
