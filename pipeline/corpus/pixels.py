"""Encoded bytes to upright RGB pixels: which formats are opened, what is too large, and what is wrong with a bad file.

Everything here is a plain function that blocks; callers run it in threads. Knows no corpus, no storage and no stage.
"""

import io
import re
import struct
from dataclasses import dataclass

from PIL import Image, ImageFile

from schemas.pixels import BAD_FILE, orientation, pixel_version, register_readers, shown

MAX_FILE_BYTES = 256 * 2**20
# EPS, PDF, WMF and the like are left out: their readers start other programs or draw text.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "HEIF", "PPM")
# These readers compare with Pillow's global once more while they decode, and would warn where ours says no.
_CHECKED_BY_PILLOW = ("TIFF", "GIF")
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Problem:
    """Why an image gives no pixels: a word from docs/formats.md, and the reader's own message."""

    reason: str
    detail: str | None = None


@dataclass(frozen=True)
class Header:
    """What the first bytes say. `width` and `height` are pixels of the upright image; `pixels` is schemas.pixels.pixel_version."""

    width: int
    height: int
    format: str
    pixels: int = 0


def probe(data: bytes, max_pixels: int) -> Header | Problem:
    """Size and format of an encoded image, read from its header without decoding pixels."""
    opened = _opened(data, max_pixels)
    if isinstance(opened, Problem):
        return opened
    try:
        pixels = pixel_version(opened, data)
        turned = orientation(opened, data) >= 5
    except (*BAD_FILE, *_BOMB) as error:
        return _problem_of(error, data)
    width, height = opened.size[::-1] if turned else opened.size
    return Header(width, height, str(opened.format), pixels)


def stored_orientation(data: bytes) -> int:
    """EXIF orientation of the stored pixels, 1 to 8; 1 where the file has none or cannot be read."""
    opened = _opened(data, MAX_FILE_BYTES)
    return 1 if isinstance(opened, Problem) else orientation(opened, data)


def decode(data: bytes, max_pixels: int) -> Image.Image | Problem:
    """The image as upright sRGB at full size, or why there is none: `empty`, `too_large`, `truncated_image`, `unreadable`.

    Transparency is laid on white, 16 bits and floats are scaled to 8, of an animation the first frame is taken.
    """
    opened = _opened(data, max_pixels)
    if isinstance(opened, Problem):
        return opened
    try:
        return shown(opened, data)
    except (*BAD_FILE, *_BOMB) as error:
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
    except (*BAD_FILE, *_BOMB) as error:
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
    register_readers()
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
