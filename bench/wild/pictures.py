"""How an image is stored: colour profiles, depth, transparency, orientation. What the captioner is sent is what a viewer shows."""

import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageCms

from bench.wild.room import Room, encoded
from bench.wild.server import captioner, captions_alone, openai_captioner
from schemas.profiles.png import png_profile

COLOURS = ((220, 40, 40), (40, 200, 60), (60, 80, 220), (128, 128, 128))
_WIDE = png_profile(1 / 1.8, (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)) or b""
_ADOBE = png_profile(1 / 2.2, (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)) or b""
_SWAPPED = png_profile(1 / 2.2, (0.3127, 0.3290, 0.15, 0.06, 0.30, 0.60, 0.64, 0.33)) or b""
_PROFILES = {"wide": _WIDE, "adobe": _ADOBE, "swapped": _SWAPPED}
_LOSSLESS: Mapping[str, dict[str, object]] = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "JPEG": {"quality": 98, "subsampling": 0}}


def _swatch() -> Image.Image:
    image = Image.new("RGB", (len(COLOURS) * 16, 32))
    for number, colour in enumerate(COLOURS):
        image.paste(colour, (number * 16, 0, number * 16 + 16, 32))
    return image


def what_is_sent(room: Room, files: Mapping[str, bytes]) -> dict[str, Image.Image]:
    """What the captioner is sent of each file, by its stem."""
    stems = {name: name.partition(".")[0] for name in files}
    room.put({f"corpus/{name}": data for name, data in files.items()})
    room.put({f"corpus/{stem}.txt": f"tag-{stem}".encode() for stem in stems.values()})
    with captioner() as seen:
        room.job(engines=openai_captioner(seen), **captions_alone())
        room.done("run", "job.yaml", "--json")
    assert seen.pictures.keys() >= set(stems.values()), f"not sent: {set(stems.values()) - seen.pictures.keys()}"
    return seen.pictures


def _worst(picture: Image.Image) -> int:
    """By how much a colour differs from the one that was meant, at the middles of the four fields."""
    width, height = picture.size
    middles = [((2 * number + 1) * width // 8, height // 2) for number in range(4)]
    return max(abs(a - b) for at, meant in zip(middles, COLOURS, strict=True) for a, b in zip(picture.getpixel(at), meant, strict=True))


def icc_rgb(room: Room) -> str:
    """Photographs with wide, Adobe-like and channel-swapping profiles, as JPEG, PNG, WebP and TIFF"""
    files, srgb = {}, ImageCms.createProfile("sRGB")
    for name, profile in _PROFILES.items():
        stored = ImageCms.profileToProfile(_swatch(), srgb, ImageCms.ImageCmsProfile(io.BytesIO(profile)), outputMode="RGB")
        for kind, options in _LOSSLESS.items():
            files[f"{name}_{kind.lower()}.{kind.lower()}"] = encoded(stored, kind, icc_profile=profile, **options)
    worst = {name: _worst(picture) for name, picture in what_is_sent(room, files).items()}
    assert max(worst.values()) <= 4, worst  # a wide profile has few steps for a dark colour
    return f"{len(worst)} files, sent as a viewer shows them within {max(worst.values())} of 255"


def icc_grey_palette_and_transparent(room: Room) -> str:
    """A profile on grey, palette and half transparent images, and one of another kind of image"""
    half = _swatch()
    half.putalpha(128)
    files = {
        "grey.png": encoded(_swatch().convert("L"), "PNG", icc_profile=_WIDE),
        "palette.png": encoded(_swatch().convert("P", palette=Image.Palette.ADAPTIVE), "PNG", icc_profile=_SWAPPED),
        "half.png": encoded(half, "PNG", icc_profile=_SWAPPED),
        "broken.png": encoded(_swatch(), "PNG", icc_profile=b"no profile"),
    }
    sent = what_is_sent(room, files)
    reds = {name: sent[name].getpixel((8, 16)) for name in ("palette", "half")}
    assert reds["palette"][2] > 200 > 100 > reds["palette"][0], reds
    assert reds["half"][2] > 200, reds
    assert _worst(sent["broken"]) == 0
    assert sent["grey"].getpixel((56, 16))[0] != 128
    return "profiles honoured before transparency is laid on white; what is no profile is passed over"


def turned_alpha_or_16bit(room: Room) -> str:
    """PNGs that EXIF turns, transparent or 16 bit: what is captioned and FineHARD's loose file"""
    exif = Image.Exif()
    exif[0x112] = 6
    files = {
        "rgba": encoded(Image.new("RGBA", (80, 40), (255, 0, 0, 0)), "PNG", exif=exif.tobytes()),
        "grey16": encoded(Image.new("I;16", (80, 40), 20000), "PNG", exif=exif.tobytes()),
        "profile": encoded(_swatch(), "PNG", icc_profile=_SWAPPED),
    }
    room.put({f"corpus/{name}.png": data for name, data in files.items()})
    room.job()
    room.done("run", "job.yaml", "--json")
    seen = {}
    for path in sorted((room.folder / "dataset/finehard/images").rglob("*.*")):
        with Image.open(path) as loose:
            seen[loose.size, loose.convert("RGB").getpixel((2, 2))] = path.name
    wanted = {((40, 80), (255, 255, 255)), ((40, 80), (78, 78, 78))}
    assert {key for key in seen if key[0] == (40, 80)} <= wanted, seen
    return f"{len(seen)} loose files, as they were captioned"


def png_gamma_and_primaries(room: Room) -> str:
    """A PNG without a profile whose gAMA says that its numbers are linear"""
    linear = np.array([[[55, 5, 5]] * 8] * 8, np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in linear)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)), (b"gAMA", struct.pack(">I", 100000)), (b"IDAT", zlib.compress(rows))]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in (*chunks, (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    red = what_is_sent(room, {"linear.png": data})["linear"].getpixel((4, 4))
    assert abs(red[0] - 128) <= 2, red
    return f"(55, 5, 5) is sent as {red}, as browsers show it"


def orientations(room: Room) -> str:
    """All eight EXIF orientations as JPEG, PNG, WebP and TIFF"""
    turns = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    files = {}
    for number, turn in turns.items():
        exif = Image.Exif()
        exif[0x112] = number
        stored = _swatch() if turn is None else _swatch().transpose(turn)
        for kind, options in _LOSSLESS.items():
            files[f"o{number}_{kind.lower()}.{kind.lower()}"] = encoded(stored, kind, exif=exif, **options)
    worst = {name: _worst(picture) for name, picture in what_is_sent(room, files).items()}
    assert max(worst.values()) <= 3, worst
    return f"{len(worst)} files, all upright"


def heic(room: Room) -> str:
    """A HEIC with a profile that exchanges red and blue, where its reader is installed"""
    import pillow_heif

    pillow_heif.register_heif_opener()
    data = encoded(_swatch(), "HEIF", quality=100, chroma=444, icc_profile=_SWAPPED)
    red = what_is_sent(room, {"photo.heic": data})["photo"].getpixel((8, 16))
    assert red[2] > 180 > 100 > red[0], red
    return f"red is shown as {red}"


CASES = (icc_rgb, icc_grey_palette_and_transparent, turned_alpha_or_16bit, png_gamma_and_primaries, orientations, heic)
