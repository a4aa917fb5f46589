"""What an opened image shows, as a viewer shows it: upright, in sRGB, transparency on white. The one place for all who look at images.

Knows no corpus, no limit and no bad file: whoever opens the file handles what Pillow raises.
"""

import importlib.util
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from schemas.colour import changes_colours, srgb
from schemas.profiles.code_points import code_point_profile, film_code_points, png_code_points
from schemas.profiles.png import is_near_srgb, png_profile

# Of `shown`. The index row of an image says in which version its pixels changed last: 0 as 0.1.0 made them (no profiles but CMYK's),
# 1 profiles and deep transparency, 2 code points (PNG's cICP, nclx of AVIF and HEIF) and gAMA beside cHRM.
PIXELS = 2
SINCE_2 = frozenset(("PNG", "AVIF", "HEIF"))  # the formats of which version 2 changed any
# What Pillow's readers have been seen to raise on broken files (AVIF: RuntimeError); Warning, because a filter may raise it.
BAD_FILE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError, AttributeError,
    AssertionError, struct.error, zlib.error, Warning,
)  # fmt: skip
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Of few bits Pillow scales the pixels, of 16 it drops the lower eight; what it says of the transparent colour it leaves alone.
_SCALED = {"L;2": 85, "L;4": 17}
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


@lru_cache(maxsize=1)
def has_heif_reader() -> bool:
    """Whether HEIC and HEIF can be read: the extra `heic` is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


@lru_cache(maxsize=1)
def register_readers() -> None:
    """Let Pillow open HEIC where its reader is installed. For all who open images."""
    if has_heif_reader():
        import pillow_heif

        pillow_heif.register_heif_opener()


@dataclass(frozen=True)
class _Stored:
    """What the header says of the pixels: `bits` is Pillow's name of how they are packed."""

    mode: str
    bits: str
    profile: bytes | None
    transparency: int | tuple[int, ...] | bytes | None

    @property
    def is_deep(self) -> bool:
        return self.mode.startswith("I") or self.mode == "F"

    @property
    def colour_mode(self) -> str:
        """The mode of the pixels without their alpha."""
        if self.mode in ("CMYK", "LAB"):
            return self.mode
        return "L" if self.is_deep or self.mode in ("1", "L", "LA", "La") else "RGB"


def orientation(image: ImageFile.ImageFile, data: bytes) -> int:
    """EXIF orientation, 1 to 8, that is still to be applied to the image that was opened of these bytes."""
    if image.format in ("TIFF", "HEIF"):
        return 1  # Pillow's readers of these turn by themselves, and their size is the upright one
    if image.format == "PNG" and not {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"} & set(image.info):
        late = any(chunk in data for chunk in (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp"))
        if not late:
            return 1  # else getexif would decode the pixels to look behind them
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BAD_FILE:
        return 1  # broken EXIF is no reason to lose the image
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def shown(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Upright RGB in sRGB at full size. Transparency lies on white, 16 bits and floats are scaled to 8, the first frame is taken.

    `image` was opened of `data` and is not loaded yet. Raises: whatever Pillow raises on a broken file, see BAD_FILE.
    """
    stored, turned = _stored(image, data), orientation(image, data)
    image.load()
    colour, alpha = _parts(image, stored)
    pixels = srgb(colour, stored.profile)
    if alpha is not None:
        layer = Image.merge("RGBA", (*pixels.split(), alpha))
        pixels = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer).convert("RGB")
    pixels = pixels.copy() if pixels is image else pixels
    pixels.info.clear()  # else whoever honours EXIF or a profile later does it again
    return pixels.transpose(_UPRIGHT[turned]) if turned in _UPRIGHT else pixels


def pixel_version(image: ImageFile.ImageFile, data: bytes) -> int:
    """The version of `shown` in which the image's pixels changed last, 0 to PIXELS; from the header, before the image is loaded."""
    stored = _stored(image, data)
    before = _profile_of_1(image)
    if before != stored.profile and any(changes_colours(stored.colour_mode, each) for each in (before, stored.profile)):
        return PIXELS
    has_new_colours = stored.mode != "CMYK" and changes_colours(stored.colour_mode, stored.profile)
    is_newly_transparent = stored.transparency is not None and (stored.is_deep or stored.bits in _SCALED or stored.bits == "RGB;16B")
    return 1 if has_new_colours or is_newly_transparent else 0


def is_plain(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether a reader that knows no EXIF, profile, transparency or depth sees what `shown` shows: Pillow's convert("RGB") alone."""
    stored = _stored(image, data)
    if stored.is_deep or stored.mode in _WITH_ALPHA or stored.transparency is not None or image.format == "HEIF":
        return False
    return orientation(image, data) == 1 and not changes_colours(stored.colour_mode, stored.profile)


def _stored(image: ImageFile.ImageFile, data: bytes) -> _Stored:
    packed = image.tile[0][3] if image.tile else None
    bits = packed if isinstance(packed, str) else packed[0] if isinstance(packed, tuple) and packed else ""
    return _Stored(image.mode, bits if isinstance(bits, str) else "", _profile(image, data), image.info.get("transparency"))


def _profile(image: ImageFile.ImageFile, data: bytes) -> bytes | None:
    """What says how the image's numbers are meant: a PNG's code points before its profile, an AVIF's or HEIF's after it."""
    embedded = _embedded(image)
    if image.format == "PNG":
        points = png_code_points(data)
        if points is not None:
            return code_point_profile(*points)
        if embedded is None and "srgb" not in image.info:
            return png_profile(image.info.get("gamma"), image.info.get("chromaticity"))
    elif image.format in ("AVIF", "HEIF") and embedded is None:
        points = film_code_points(data)
        return code_point_profile(*points, is_film=True) if points else None
    return embedded


def _profile_of_1(image: ImageFile.ImageFile) -> bytes | None:
    """What version 1 took: no code points, and of gAMA and cHRM nothing where they are what sRGB's are."""
    gamma, xy = image.info.get("gamma"), image.info.get("chromaticity")
    says_gamma = image.format == "PNG" and "srgb" not in image.info and not is_near_srgb(gamma, xy)
    return _embedded(image) or (png_profile(gamma, xy) if says_gamma else None)


def _embedded(image: ImageFile.ImageFile) -> bytes | None:
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile else None


def _parts(image: Image.Image, stored: _Stored) -> tuple[Image.Image, Image.Image | None]:
    """The pixels as L, RGB, CMYK or LAB, and their alpha where they have one."""
    if stored.is_deep:
        return _from_deep(image, stored.transparency)
    if image.mode in ("LA", "La"):
        grey, alpha = image.convert("LA").split()
        return grey, alpha
    if image.mode in ("1", "L") and isinstance(stored.transparency, int):
        grey = image.convert("L")
        return grey, _alpha(np.asarray(grey) == stored.transparency * _SCALED.get(stored.bits, 1))
    if image.mode == "RGB" and stored.bits == "RGB;16B" and isinstance(stored.transparency, tuple):
        key = np.array(stored.transparency) >> 8
        return image, _alpha((np.asarray(image) == key).all(axis=2))
    if image.mode in _WITH_ALPHA or stored.transparency is not None:
        red, green, blue, alpha = image.convert("RGBA").split()
        return Image.merge("RGB", (red, green, blue)), alpha
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _from_deep(image: Image.Image, transparency: object) -> tuple[Image.Image, Image.Image | None]:
    """16 bits by 257, anything wider or floating by its own range."""
    values = np.asarray(image).astype(np.float64)
    alpha = _alpha(values == transparency) if isinstance(transparency, int) else None
    values = np.where(np.isfinite(values), values, 0.0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if image.mode.startswith("I") and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8), "L"), alpha


def _alpha(is_transparent: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(is_transparent, 0, 255).astype(np.uint8), "L")
