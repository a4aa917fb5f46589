"""What an engine is shown, and what is done to it before it sees it. Knows Pillow, no engine."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from schemas.rows import Row

# What is cut of an image; picklable, and its repr says all that decides what comes out.
Cut = Callable[[Image.Image], Image.Image]


class LoadedImage(Protocol):
    """What reading an image came to: its pixels, or the row that says why there are none."""

    @property
    def image(self) -> Image.Image | None: ...
    @property
    def problem(self) -> Row | None: ...


# Reads the images of such rows, in order; picklable.
Load = Callable[[Sequence[Any]], Sequence[LoadedImage]]


@dataclass(frozen=True)
class Opened:
    """An image that a renderer has read and holds: which renderer, under which number, and its size, upright.

    `digest` is of its bytes; `load` reads it again, wherever it is called.
    """

    renderer: int
    number: int
    digest: str
    width: int
    height: int
    load: Callable[[], Image.Image]


@dataclass(frozen=True)
class Picture:
    """An opened image, or what is cut of it, whose pixels are made where they are wanted."""

    opened: Opened
    cut: Cut | None = None

    @property
    def digest(self) -> str:
        """The same for the same pixels."""
        return hashlib.sha256(f"{self.opened.digest}/{self.cut!r}".encode()).hexdigest()

    @property
    def pixels(self) -> Image.Image:
        """Reads and cuts; blocks."""
        return self.cut_of(self.opened.load())

    def cut_of(self, image: Image.Image) -> Image.Image:
        """What is cut of the opened image's pixels."""
        return image if self.cut is None else self.cut(image)


def pixels_of(shown: Image.Image | Picture) -> Image.Image:
    """The pixels of what a request shows; blocks where they are not made yet."""
    return shown.pixels if isinstance(shown, Picture) else shown


def shrink(shown: Image.Image | Picture, max_pixels: int | None) -> Image.Image:
    """The image as RGB with at most `max_pixels` pixels, aspect kept; never enlarged, untouched where it fits."""
    image = pixels_of(shown)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    area = rgb.width * rgb.height
    if max_pixels is None or area <= max_pixels:
        return rgb
    scale = math.sqrt(max_pixels / area)
    size = (max(1, int(rgb.width * scale)), max(1, int(rgb.height * scale)))
    return rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
