"""Holds the committed tables of a demo run against the scenes' ground truth. Formulas beside each figure; no model, no Ray."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.demo.corpus import scene_of
from pipeline.demo.truth import caption_slots, fact_is_true, is_false, mentioned, owners
from pipeline.demo.world import SIDE_PX, Scene, Toy
from schemas.boxes import area
from schemas.rows import CAPTION, BalanceRow, CaptionRow, HardNegativeRow, MineRow, RegionCaptionRow, RegionNegatives, SelectRow, VerifyRow

_SMALL = 0.01 * SIDE_PX * SIDE_PX
_ABSENT = "the run has no stage that measures it"


@dataclass(frozen=True)
class SceneRows:
    """The rows of one image that are scored; None where the stage was not ok or the run has no such stage."""

    key: str
    caption: CaptionRow | None = None
    select: SelectRow | None = None
    regions: RegionCaptionRow | None = None
    negatives: HardNegativeRow | None = None
    mined: MineRow | None = None
    verified: VerifyRow | None = None
    released: BalanceRow | None = None


@dataclass
class Negatives:
    """The negatives of one step of the way, by type, and how many are false by ground truth."""

    num: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    by_origin: Counter[str] = field(default_factory=Counter)
    num_single: int = 0
    num_of_regions: int = 0

    def add(self, groups: Sequence[RegionNegatives], owner: Mapping[int, Toy], scene: Scene) -> None:
        """Count the negatives of one image."""
        for group in groups:
            of_caption = group.region == CAPTION
            for negative in group.negatives:
                self.num[negative.type] += 1
                self.false[negative.type] += is_false(negative, group, owner, scene)
                self.by_origin[f"{negative.source} {'caption' if of_caption else 'region'} level {negative.level}"] += 1
                self.num_single += not of_caption and negative.level == 1 and negative.source == "written"
                self.num_of_regions += not of_caption

    def rate(self) -> float | None:
        """Share that is false."""
        return _rate(self.false.total(), self.num.total())

    def rate_by_type(self) -> dict[str, float | None]:
        """The same, by type."""
        return {kind: _rate(self.false[kind], self.num[kind]) for kind in sorted(self.num)}


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
    slots_right: Counter[str] = field(default_factory=Counter)
    slots: Counter[str] = field(default_factory=Counter)
    num_regions: int = 0
    probed: int = 0
    leaked: int = 0
    judged: Counter[tuple[bool, str]] = field(default_factory=Counter)
    proposed: Negatives = field(default_factory=Negatives)
    released: Negatives = field(default_factory=Negatives)
    has_judge: bool = False
    has_balance: bool = False


def score(images: Iterable[SceneRows], statuses: Mapping[str, int], engine: str, seconds: float) -> dict[str, Any]:
    """The figures of score.json that rest on ground truth; rates 0..1.

    negatives_false_rate is of the released negatives where the run balances them, else of the proposed ones.
    """
    tally = _Tally()
    for image in images:
        _add(tally, image)
    final = tally.released if tally.has_balance else tally.proposed
    return {
        "images_in": sum(statuses.values()),
        "statuses": dict(statuses),
        "caption_attribute_precision": _rate(tally.right, tally.stated),
        "caption_attribute_recall": _rate(tally.right, tally.true),
        "box_recall_iou50": _rate(tally.boxes_right, tally.toys),
        "box_precision_iou50": _rate(tally.boxes_right, tally.boxes),
        "box_recall_iou50_small": _rate(tally.small_right, tally.small),
        "box_phrase_accuracy": _rate(tally.bound_right, tally.boxes_right),
        "region_attribute_accuracy": _rate(tally.slots_right.total(), tally.slots.total()),
        "region_attribute_accuracy_by_type": {kind: _rate(tally.slots_right[kind], tally.slots[kind]) for kind in sorted(tally.slots)},
        "negatives_false_rate": final.rate(),
        "negatives_false_rate_by_type": final.rate_by_type(),
        "negatives_per_region": _rate(tally.proposed.num_single, tally.num_regions),
        "proposed_false_rate": tally.proposed.rate(),
        "proposed_false_rate_by_type": tally.proposed.rate_by_type(),
        "proposed_by_origin": dict(sorted(tally.proposed.by_origin.items())),
        "released_by_origin": dict(sorted(tally.released.by_origin.items())),
        "regions": tally.num_regions,
        "engine": engine,
        "seconds": round(seconds, 1),
        **_measured(
            "released_negatives_per_region", _rate(tally.released.num_of_regions, tally.num_regions) if tally.has_balance else None
        ),
        **_measured("region_leakage_rate", _rate(tally.leaked, tally.probed)),
        "regions_probed_for_leakage": tally.probed,
        **_judge(tally),
    }


def _judge(tally: _Tally) -> dict[str, Any]:
    """Of the values that the judge decided, how many it decided wrongly; and how often it would not decide a true or a false one."""
    wrong = tally.judged[True, "false"] + tally.judged[False, "true"]
    decided = wrong + tally.judged[True, "true"] + tally.judged[False, "false"]
    return {
        **_measured("judge_error_rate", _rate(wrong, decided) if tally.has_judge else None),
        "judged_values": {
            f"{'true' if is_true else 'false'} called {verdict}": n for (is_true, verdict), n in sorted(tally.judged.items())
        },
    }


def _measured(name: str, value: float | None) -> dict[str, Any]:
    return {name: value} if value is not None else {name: None, f"{name}_why": _ABSENT}


def _add(tally: _Tally, image: SceneRows) -> None:
    scene = scene_of(image.key)
    tally.true += 6 * len(scene.toys) + 2
    tally.toys += len(scene.toys)
    tally.small += sum(area(toy.xyxy) < _SMALL for toy in scene.toys)
    if image.caption is not None and image.caption.long is not None:
        right, stated = caption_slots(image.caption.long, scene)
        tally.right += right
        tally.stated += stated
    if image.select is None:
        return
    owner = owners([region.xyxy for region in image.select.regions], scene)
    _boxes(tally, image.select, owner)
    _regions(tally, image, owner)
    for row in (image.negatives, image.mined):
        tally.proposed.add(row.regions if row else (), owner, scene)
    if image.verified is not None:
        tally.has_judge = True
        known = ((fact_is_true(fact, owner), fact.verdict) for fact in image.verified.facts)
        tally.judged.update((is_true, verdict) for is_true, verdict in known if is_true is not None)
    if image.released is not None:
        tally.has_balance = True
        tally.released.add(image.released.regions, owner, scene)


def _regions(tally: _Tally, image: SceneRows, owner: Mapping[int, Toy]) -> None:
    for region in image.regions.regions if image.regions else ():
        if region.short is None:
            continue
        tally.num_regions += 1
        tally.probed += region.leaked is not None
        tally.leaked += bool(region.leaked)
        toy = owner.get(region.region)
        if toy is not None:
            stated = mentioned(region.short)
            for slot in ("colour", "pattern", "material"):
                tally.slots[slot] += 1
                tally.slots_right[slot] += stated.get(slot) == getattr(toy, slot)


def _boxes(tally: _Tally, select: SelectRow, owner: Mapping[int, Toy]) -> None:
    tally.boxes += len(select.regions)
    tally.boxes_right += len(owner)
    tally.small_right += sum(area(toy.xyxy) < _SMALL for toy in owner.values())
    for i, toy in owner.items():
        tally.bound_right += all(getattr(toy, slot) == value for slot, value in mentioned(select.regions[i].phrase).items())


def _rate(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
