"""Given expressions of regions to a row of the stage region_caption: each must find the region that it is of."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pipeline.given.boxes import Frame, box_of, check_size
from pipeline.given.checks import Refused, accepted, index_of, list_of, object_of, optional_text, text_of
from pipeline.given.heads import head_of
from pipeline.given.params import GivenParams
from schemas.boxes import Box
from schemas.rows import ATTRIBUTE_TYPES, Attribute, Region, RegionCaption, RegionCaptionRow, SelectRow
from stages.base import Image
from stages.words.expressions import names_noun

_SAME_BOX_PX = 0.05
AnyChild = TypeVar("AnyChild")


def region_caption_row(image: Image, content: Mapping[str, Any], params: GivenParams, frame: Frame | None) -> RegionCaptionRow:
    """One entry for each selected region; one that nothing was given for says `not_given`. Without select: the given ones.

    Raises: Refused where the whole row is wrong, or each of its regions.
    """
    if frame is not None:
        check_size(content, params, frame)
    select = image.upstream.get(SelectRow)
    regions = select.regions if isinstance(select, SelectRow) else None
    boxes = None if regions is None else [region.xyxy for region in regions]
    rejects: Counter[str] = Counter()

    def read(given: Mapping[str, Any], place: int) -> RegionCaption:
        return _caption(given, place, regions[place] if regions else None, params, frame, rejects)

    by_region = regions_of(content, boxes, params, frame, rejects, read)
    captions = (
        [by_region.get(i) or _nothing(i, region) for i, region in enumerate(regions)] if regions is not None else list(by_region.values())
    )
    return RegionCaptionRow(key=image.key, origin="given", given_rejects=dict(sorted(rejects.items())), regions=captions)


def regions_of(
    content: Mapping[str, Any],
    boxes: Sequence[Box | None] | None,
    params: GivenParams,
    frame: Frame | None,
    rejects: Counter[str],
    read: Callable[[Mapping[str, Any], int], AnyChild],
) -> dict[int, AnyChild]:
    """What is given for each region, by its number, as `read` makes it of an entry; refused entries are counted in `rejects`.

    Raises: Refused where an entry shows that the whole row was declared wrongly, or where every entry is refused: the first's.
    """
    by_region: dict[int, AnyChild] = {}

    def put(entry: tuple[int, object]) -> None:
        position, child = entry
        given = object_of(child, "a region")
        place = _locate(given, boxes, by_region, position, params, frame)
        by_region[place] = read(given, place)

    accepted(enumerate(list_of(content, "regions", params.max_regions)), put, rejects)
    return by_region


def _locate(
    given: Mapping[str, Any],
    boxes: Sequence[Box | None] | None,
    taken: Mapping[int, Any],
    position: int,
    params: GivenParams,
    frame: Frame | None,
) -> int:
    """Which region a given text is of: by `region`, its number; else by `bbox`; else, where there are no boxes, by its place.

    `boxes` are those of the regions that there are, None where the given ones are all there is.

    Raises: Refused.
    """
    number = index_of(given, "region")
    if number is not None or boxes is None:
        place = position if number is None else number
        if place < 0 or (boxes is not None and place >= len(boxes)):
            raise Refused("region_out_of_range", f"region {place} of {len(boxes or [])}")
    elif given.get("bbox") is None and all(box is None for box in boxes):
        place = position
        if place >= len(boxes):
            raise Refused("region_out_of_range", f"region {place} of {len(boxes)}")
    else:
        if frame is None:
            raise Refused("missing_field", "a box without an image needs 'width' and 'height'")
        wanted = box_of(given.get("bbox"), params, frame)
        same = [i for i, box in enumerate(boxes) if box is not None and _is_same(box, wanted)]
        if not same:
            raise Refused("region_not_selected", f"no region at {[round(value, 1) for value in wanted]}")
        place = next((i for i in same if i not in taken), same[0])
    if place in taken:
        raise Refused("duplicate_region", f"region {place} has its text already")
    return place


def _is_same(box: Box, wanted: Box) -> bool:
    return all(abs(a - b) <= _SAME_BOX_PX for a, b in zip(box, wanted, strict=True))


def _caption(
    given: Mapping[str, Any], place: int, region: Region | None, params: GivenParams, frame: Frame | None, rejects: Counter[str]
) -> RegionCaption:
    short, long = text_of(given, "short"), optional_text(given, "long")
    head = optional_text(given, "head") or (region.head if region is not None and names_noun(short, region.head) else head_of(short))
    if region is not None:
        xyxy: Box | None = region.xyxy
    else:
        xyxy = box_of(given["bbox"], params, frame) if frame is not None and given.get("bbox") is not None else None
    return RegionCaption(
        region=place, xyxy=xyxy, head=head.lower(), short=short, long=long, attributes=_attributes(given.get("attributes"), rejects)
    )


def _attributes(value: Any, rejects: Counter[str]) -> list[Attribute]:
    """Those that are of a known type; the others are counted, the region keeps its texts."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused("wrong_type", f"'attributes' is {type(value).__name__}, not a list")
    attributes = []
    for child in value:
        try:
            attribute = object_of(child, "an attribute")
            if attribute.get("type") not in ATTRIBUTE_TYPES:
                raise Refused("unknown_attribute_type", f"{attribute.get('type')!r}")
            attributes.append(Attribute(type=attribute["type"], value=text_of(attribute, "value")))
        except Refused as refused:
            rejects[refused.reason] += 1
    return attributes


def _nothing(index: int, region: Region) -> RegionCaption:
    return RegionCaption(region=index, xyxy=region.xyxy, head=region.head, reason="not_given")
