"""Encoded bytes to upright RGB pixels: the one place that knows EXIF orientation, colour modes and bad files.

Everything here is a plain function that blocks; callers run it in threads. Knows no corpus, no storage and no stage.
"""

import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile

MAX_FILE_BYTES = 256 * 2**20
# EPS, PDF, WMF and the like are left out: their readers start other programs or draw text.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")
# These readers compare with Pillow's global once more while they decode, and would warn where ours says no.
_CHECKED_BY_PILLOW = ("TIFF", "GIF")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's readers have been seen to raise on broken files (AVIF: RuntimeError); Warning, because a filter may raise it.
_BAD_FILE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError, AttributeError,
    AssertionError, struct.error, zlib.error, Warning,
)  # fmt: skip
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Problem:
    """Why an image gives no pixels: a word from docs/formats.md, and the reader's own message."""

    reason: str
    detail: str | None = None


@dataclass(frozen=True)
class Header:
    """What the first bytes say. `width` and `height` are pixels of the upright image."""

    width: int
    height: int
    format: str


def probe(data: bytes, max_pixels: int) -> Header | Problem:
    """Size and format of an encoded image, read from its header without decoding pixels."""
    opened = _opened(data, max_pixels)
    if isinstance(opened, Problem):
        return opened
    try:
        turned = _orientation(opened, data) >= 5
    except (*_BAD_FILE, *_BOMB) as error:
        return _problem_of(error, data)
    width, height = opened.size
    return Header(height, width, str(opened.format)) if turned else Header(width, height, str(opened.format))


def stored_orientation(data: bytes) -> int:
    """EXIF orientation of the stored pixels, 1 to 8; 1 where the file has none or cannot be read."""
    opened = _opened(data, MAX_FILE_BYTES)
    return 1 if isinstance(opened, Problem) else _orientation(opened, data)


def decode(data: bytes, max_pixels: int) -> Image.Image | Problem:
    """The image as upright RGB at full size, or why there is none: `empty`, `too_large`, `truncated_image`, `unreadable`.

    Transparency is laid on white, 16 bits and floats are scaled to 8, of an animation the first frame is taken.
    """
    opened = _opened(data, max_pixels)
    if isinstance(opened, Problem):
        return opened
    try:
        orientation = _orientation(opened, data)
        opened.load()
        pixels = _to_rgb(opened)
        pixels.info.clear()  # else whoever honours EXIF later turns it again
        return pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels
    except (*_BAD_FILE, *_BOMB) as error:
        return _problem_of(error, data)
    except MemoryError as error:
        return Problem("too_large", _short(error))


def _opened(data: bytes, max_pixels: int) -> ImageFile.ImageFile | Problem:
    if not data:
        return Problem("empty", "zero bytes")
    if len(data) > MAX_FILE_BYTES:
        return Problem("too_large", f"{len(data)} bytes, at most {MAX_FILE_BYTES} are read")
    try:
        opened = _first_reader(data)
    except (*_BAD_FILE, *_BOMB) as error:
        return _problem_of(error, data)
    if opened is None:
        return Problem("unreadable", "no image format is recognised")
    limit = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels) if opened.format in _CHECKED_BY_PILLOW else max_pixels
    if opened.width * opened.height > limit:
        return Problem("too_large", f"{opened.width} x {opened.height} pixels, limit {limit}")
    return opened


def _first_reader(data: bytes) -> ImageFile.ImageFile | None:
    """As Image.open, without its size check, which warns or raises by a global; ours is per corpus."""
    Image.init()
    refused: Exception | None = None
    for name in _FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        if accept is None or accept(data[:16]) in (False, None) or isinstance(accept(data[:16]), str):
            continue
        try:
            return factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            refused = error
    if refused is not None:
        raise refused
    return None


def _orientation(opened: ImageFile.ImageFile, data: bytes) -> int:
    """EXIF orientation 1 to 8 that is still to be applied."""
    if opened.format == "TIFF":
        return 1  # Pillow's TIFF reader turns by itself, and its size is the upright one
    if opened.format == "PNG" and not {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"} & set(opened.info):
        late = any(chunk in data for chunk in (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp"))
        if not late:
            return 1  # else getexif would decode the pixels to look behind them
    try:
        value = opened.getexif().get(ExifTags.Base.Orientation, 1)
    except _BAD_FILE:
        return 1  # broken EXIF is no reason to lose the image
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "CMYK":
        return _from_cmyk(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _from_cmyk(image: Image.Image) -> Image.Image:
    """By the profile where there is one: the plain formula gives garish colours. Pillow has undone Adobe's inversion."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """16 bits by 257, anything wider or floating by its own range."""
    values = np.asarray(image).astype(np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if image.mode.startswith("I") and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8), "L")


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _problem_of(error: BaseException, data: bytes) -> Problem:
    if isinstance(error, _BOMB):
        return Problem("too_large", _short(error))
    return Problem("truncated_image" if _is_cut(error, data) else "unreadable", _short(error))


def _is_cut(error: BaseException, data: bytes) -> bool:
    if isinstance(error, EOFError | struct.error) or re.search("truncated|unexpected end|not enough data|incomplete", str(error), re.I):
        return True
    if data[:4] == b"RIFF":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" not in data[-16:]
    return data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
