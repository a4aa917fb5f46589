"""What part of an image a region's question is asked about. Knows boxes and pixels, no models."""

import math
from dataclasses import dataclass

from PIL import Image, ImageStat


def focal_box(
    xyxy: tuple[float, float, float, float], width: int, height: int, *, scale: float = 3.0, min_side_px: int = 48
) -> tuple[int, int, int, int]:
    """The window `scale` times the box about its centre, each side at least `min_side_px` and at most the image's.

    Pixels of the upright image, right and bottom exclusive; at a border it reaches beyond the image, for a window that
    is moved inside no longer says which object is meant. Source: Describe Anything (DAM), ablation of the visual
    prompt: 3x and at least 48 px scored 65.4 against 60.1 of a tight crop and 48.7 of the whole image.
    """
    left, top, right, bottom = xyxy
    spans = []
    for low, high, limit in ((left, right, width), (top, bottom, height)):
        side = min(float(limit), max((high - low) * scale, float(min_side_px)))
        first = math.floor((low + high) / 2 - side / 2)
        spans.append((first, first + max(1, round(side))))
    (x0, x1), (y0, y1) = spans
    return x0, y0, x1, y1


def focal_crop(image: Image.Image, xyxy: tuple[float, float, float, float], *, scale: float = 3.0, min_side_px: int = 48) -> Image.Image:
    """The pixels of `focal_box`, its centre the box's; beyond the image the mean colour of what is inside."""
    window = focal_box(xyxy, image.width, image.height, scale=scale, min_side_px=min_side_px)
    x0, y0, x1, y1 = max(0, window[0]), max(0, window[1]), min(image.width, window[2]), min(image.height, window[3])
    inside = image.crop((x0, y0, x1, y1))
    if (x0, y0, x1, y1) == window:
        return inside
    mean = tuple(round(channel) for channel in ImageStat.Stat(inside).mean)
    crop = Image.new(image.mode, (window[2] - window[0], window[3] - window[1]), mean)
    crop.paste(inside, (x0 - window[0], y0 - window[1]))
    return crop


def upscaled(crop: Image.Image, min_side_px: int | None) -> Image.Image:
    """The crop enlarged so that its shorter side has `min_side_px`; as it is where it has them, or None is given."""
    shorter = min(crop.size)
    if min_side_px is None or shorter >= min_side_px:
        return crop
    factor = min_side_px / shorter
    return crop.resize((round(crop.width * factor), round(crop.height * factor)), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class JudgeCut:
    """A box's focal crop, enlarged as asked, to be cut wherever the pixels are."""

    xyxy: tuple[float, float, float, float]
    scale: float
    min_side_px: int
    upscale_side_px: int | None

    def __call__(self, image: Image.Image) -> Image.Image:
        return upscaled(focal_crop(image, self.xyxy, scale=self.scale, min_side_px=self.min_side_px), self.upscale_side_px)
