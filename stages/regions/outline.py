"""A crop with a thin line around the box that a question is about, in a colour that the crop does not have. Knows boxes and pixels."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from schemas.boxes import Box
from stages.regions.crops import focal_box, focal_crop, upscaled

# By name, for the question names it; the first that is far from all of the crop's colours, those that things seldom have first.
_COLOURS = {
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "lime green": (0, 255, 0),
    "orange": (255, 128, 0),
    "yellow": (255, 255, 0),
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
}
_FAR = 200  # of 765: the sum of the three channels' differences
_LOOKED_AT_PX = 96  # a crop is made so small before its colours are looked at
_LEFT_OUT = 0.002  # of its pixels, those next to a colour: noise
_LINES_A_SIDE = 160  # the line is so much thinner than the crop's shorter side, and at least a pixel


class Outlined(NamedTuple):
    """The crop with its line, and the line's colour by name."""

    crop: Image.Image
    colour: str


def outlined_crop(image: Image.Image, xyxy: Box, *, scale: float, min_side_px: int, upscale_side_px: int | None) -> Outlined:
    """The focal crop of a box, enlarged as asked, and the box outlined in it."""
    crop = focal_crop(image, xyxy, scale=scale, min_side_px=min_side_px)
    x0, y0, _, _ = focal_box(xyxy, image.width, image.height, scale=scale, min_side_px=min_side_px)
    shown = upscaled(crop, upscale_side_px)
    wide, high = shown.width / crop.width, shown.height / crop.height
    return outlined(shown, ((xyxy[0] - x0) * wide, (xyxy[1] - y0) * high, (xyxy[2] - x0) * wide, (xyxy[3] - y0) * high))


def outlined(crop: Image.Image, box: Box) -> Outlined:
    """A copy of an RGB crop with a line just outside the box, which is in the crop's pixels; a part of it outside is cut off."""
    colour = _unlike(crop)
    copy, width = crop.copy(), max(1, round(min(crop.size) / _LINES_A_SIDE))
    left, top, right, bottom = round(box[0]) - width, round(box[1]) - width, round(box[2]) + width - 1, round(box[3]) + width - 1
    frame = (max(0, left), max(0, top), min(crop.width - 1, right), min(crop.height - 1, bottom))
    ImageDraw.Draw(copy).rectangle(frame, outline=_COLOURS[colour], width=width)
    return Outlined(copy, colour)


def _unlike(crop: Image.Image) -> str:
    """The first colour that is far from the crop's nearest one, else the one that is farthest."""
    small = crop.copy()
    small.thumbnail((_LOOKED_AT_PX, _LOOKED_AT_PX))
    pixels = np.asarray(small, np.float32).reshape(-1, 3)
    distances = {name: np.quantile(np.abs(pixels - np.array(rgb, np.float32)).sum(1), _LEFT_OUT) for name, rgb in _COLOURS.items()}
    return next((name for name, distance in distances.items() if distance >= _FAR), max(distances, key=lambda name: float(distances[name])))
