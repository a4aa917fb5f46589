"""Loose images for readers that know no EXIF, profile or transparency: what these would misread is written as it is shown."""

import io

from PIL import Image, ImageFile

from schemas.pixels import BAD_FILE, is_plain, register_readers, shown

_JPEG_QUALITY = 95


def upright(content: bytes, suffix: str) -> tuple[bytes, str] | None:
    """The image's bytes and suffix, untouched unless such a reader would see other pixels; None: Pillow cannot read it.

    It would where the image is stored turned or mirrored, has a profile that is not sRGB, is transparent or deeper than 8 bits.
    A JPEG is encoded anew at quality 95 without chroma subsampling, any other format as PNG; both RGB, upright, without EXIF.
    """
    register_readers()
    try:
        with Image.open(io.BytesIO(content)) as image:
            assert isinstance(image, ImageFile.ImageFile), "what is opened is a file"
            if is_plain(image, content):
                return content, suffix
            is_jpeg = image.format in ("JPEG", "MPO")
            pixels = shown(image, content)
    except (*BAD_FILE, Image.DecompressionBombError):
        return None
    sink = io.BytesIO()
    if is_jpeg:
        pixels.save(sink, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return sink.getvalue(), "jpg"
    pixels.save(sink, "PNG")
    return sink.getvalue(), "png"
