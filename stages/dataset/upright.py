"""Loose images for readers that ignore EXIF: those that are stored turned are written upright. Bytes in, bytes out."""

import io
import struct

from PIL import ExifTags, Image, ImageOps

_JPEG_QUALITY = 95
_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, RuntimeError, struct.error, Image.DecompressionBombError)


def upright(content: bytes, suffix: str) -> tuple[bytes, str] | None:
    """The image's bytes and suffix, untouched unless its EXIF says that it is stored turned or mirrored; None: Pillow cannot read it.

    A turned JPEG is encoded anew at quality 95 without chroma subsampling, any other format as PNG; both RGB, without EXIF.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.format == "TIFF" or not _is_turned(image):  # Pillow's TIFF reader turns by itself, for every reader
                return content, suffix
            is_jpeg = image.format in ("JPEG", "MPO")
            pixels = ImageOps.exif_transpose(image).convert("RGB")
    except _UNREADABLE:
        return None
    pixels.info = {}
    sink = io.BytesIO()
    if is_jpeg:
        pixels.save(sink, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return sink.getvalue(), "jpg"
    pixels.save(sink, "PNG")
    return sink.getvalue(), "png"


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except _UNREADABLE:
        return False  # as the corpus reads it: broken EXIF is no orientation
