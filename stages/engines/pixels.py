"""What is done to an image before any engine sees it. Knows Pillow, no engine."""

import math

from PIL import Image


def shrink(image: Image.Image, max_pixels: int | None) -> Image.Image:
    """The image as RGB with at most `max_pixels` pixels, aspect kept; never enlarged, untouched where it fits."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    area = rgb.width * rgb.height
    if max_pixels is None or area <= max_pixels:
        return rgb
    scale = math.sqrt(max_pixels / area)
    size = (max(1, int(rgb.width * scale)), max(1, int(rgb.height * scale)))
    return rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
