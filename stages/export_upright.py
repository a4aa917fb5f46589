"""Loose images for readers that ignore EXIF: those that are stored turned are written upright. Bytes in, bytes out."""

import io

from PIL import ExifTags, Image, ImageOps

_JPEG_QUALITY = 95


def upright(content: bytes, suffix: str) -> tuple[bytes, str]:
    """The image's bytes and suffix; untouched unless its EXIF says that it is stored turned or mirrored.

    A turned JPEG is encoded anew at quality 95 without chroma subsampling, any other format as PNG; neither keeps EXIF.
    """
    with Image.open(io.BytesIO(content)) as image:
        # Pillow's TIFF reader turns by itself, for the trainer too.
        if image.format == "TIFF" or image.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9):
            return content, suffix
        turned = ImageOps.exif_transpose(image)
        is_jpeg = image.format in ("JPEG", "MPO")
    profile = turned.info.get("icc_profile")
    clean = Image.new(turned.mode, turned.size)
    clean.paste(turned)
    sink = io.BytesIO()
    if is_jpeg:
        clean.save(sink, "JPEG", quality=_JPEG_QUALITY, subsampling=0, icc_profile=profile)
        return sink.getvalue(), "jpg"
    clean.save(sink, "PNG", icc_profile=profile)
    return sink.getvalue(), "png"
