"""A given box to xyxy pixels of the upright image, or the reason why it is none. Knows conventions and EXIF orientation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.given.checks import Refused, number_of
from pipeline.given.formats import FORMATS
from pipeline.given.params import GivenParams
from schemas.boxes import Box, clip_box


@dataclass(frozen=True)
class Frame:
    """The image that boxes are of: its upright size, and its EXIF orientation, looked up only where it matters."""

    width: int
    height: int
    look_up: Callable[[], int] = lambda: 1

    @cached_property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8."""
        return self.look_up()

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the pixels as they are stored."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def check_size(record: Mapping[str, Any], params: GivenParams, frame: Frame) -> None:
    """Raises: Refused where the row says that it is of an image of another size."""
    if record.get("width") is None or record.get("height") is None:
        return
    stated = (number_of(record["width"], "'width'"), number_of(record["height"], "'height'"))
    size = (frame.width, frame.height) if params.orientation == "upright" else frame.stored
    if stated == size:
        return
    detail = f"{stated[0]:g} x {stated[1]:g}, the image is {size[0]} x {size[1]}"
    if stated == size[::-1] and params.orientation == "upright" and frame.orientation >= 5:
        raise Refused("stored_orientation", f"{detail} upright: set orientation to stored")
    raise Refused("other_image_size", detail)


def box_of(value: Any, params: GivenParams, frame: Frame) -> Box:
    """xyxy, pixels of the upright image, inside it.

    Raises: Refused.
    """
    numbers = _numbers(value, params)
    width, height = (frame.width, frame.height) if params.orientation == "upright" else frame.stored
    _check_scale(numbers, params, width, height)
    if params.convention == "normalised":
        numbers = (numbers[0] * width, numbers[1] * height, numbers[2] * width, numbers[3] * height)
    xyxy = _corners(numbers, params, width, height)
    if not _inside(xyxy, width, height, params.tolerance_px):
        raise _outside(numbers, xyxy, params, frame)
    clipped = clip_box(xyxy, width, height)
    if clipped is None:
        raise Refused("outside_frame", f"{_shown(numbers)} in {width} x {height}")
    return clipped if params.orientation == "upright" else turned(clipped, width, height, frame.orientation)


def turned(xyxy: Box, width: int, height: int, orientation: int) -> Box:
    """A box of the stored pixels, of this width and height, where EXIF's orientation puts it."""
    backwards_x, backwards_y, exchanged = _TURN[orientation]
    x0, y0, x1, y1 = xyxy
    if backwards_x:
        x0, x1 = width - x1, width - x0
    if backwards_y:
        y0, y1 = height - y1, height - y0
    return (y0, x0, y1, x1) if exchanged else (x0, y0, x1, y1)


# EXIF orientation -> whether x and y run backwards in the stored pixels, and whether they are exchanged after that.
_TURN: Mapping[int, tuple[bool, bool, bool]] = {
    1: (False, False, False),
    2: (True, False, False),
    3: (True, True, False),
    4: (False, True, False),
    5: (False, False, True),
    6: (False, True, True),
    7: (True, True, True),
    8: (True, False, True),
}


def _numbers(value: Any, params: GivenParams) -> Box:
    if value is None:
        raise Refused("missing_field", "no field 'bbox'")
    if not isinstance(value, list) or not 4 <= len(value) <= FORMATS[params.format].max_box_numbers:
        raise Refused("wrong_type", f"a box is four numbers, not {value!r}")
    x0, y0, x1, y1 = (number_of(number, "a box's number") for number in value[:4])
    return x0, y0, x1, y1


def _check_scale(numbers: Box, params: GivenParams, width: int, height: int) -> None:
    if params.convention == "normalised":
        if max(numbers) > 2:
            raise Refused("looks_pixels", f"{_shown(numbers)} were declared normalised")
    elif max(numbers) <= 1 and min(width, height) > 2 and any(number > 0 for number in numbers):
        raise Refused("looks_normalised", f"{_shown(numbers)} were declared pixels")


def _corners(numbers: Box, params: GivenParams, width: int, height: int) -> Box:
    x0, y0, a, b = numbers
    if params.convention == "xywh":
        sides, xyxy = (a, b), (x0, y0, x0 + a, y0 + b)
    else:
        sides, xyxy = (a - x0, b - y0), numbers
    if min(sides) < 0:
        if params.convention == "xyxy" and a > 0 and b > 0 and _inside((x0, y0, x0 + a, y0 + b), width, height, params.tolerance_px):
            raise Refused("looks_xywh", f"{_shown(numbers)} were declared xyxy")
        raise Refused("inverted", _shown(numbers))
    if min(sides) == 0:
        raise Refused("zero_area", _shown(numbers))
    return xyxy


def _inside(xyxy: Box, width: int, height: int, tolerance_px: float) -> bool:
    return min(xyxy[:2]) >= -tolerance_px and xyxy[2] <= width + tolerance_px and xyxy[3] <= height + tolerance_px


def _outside(numbers: Box, xyxy: Box, params: GivenParams, frame: Frame) -> Refused:
    width, height = (frame.width, frame.height) if params.orientation == "upright" else frame.stored
    detail = f"{_shown(numbers)} in {width} x {height}"
    if params.orientation == "upright" and _inside(xyxy, height, width, params.tolerance_px) and frame.orientation >= 5:
        return Refused("stored_orientation", f"{detail} upright: set orientation to stored")
    is_xyxy = numbers[2] > numbers[0] and numbers[3] > numbers[1] and _inside(numbers, width, height, 0)
    return Refused("looks_xyxy" if params.convention == "xywh" and is_xyxy else "outside_frame", detail)


def _shown(numbers: Box) -> str:
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"
