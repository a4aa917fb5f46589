import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.corpus.pixels import Header, Problem, decode, probe
from tests.support.pictures import TURNS, encoded

LIMIT = 1_000_000


def _pixels(data: bytes) -> Image.Image:
    decoded = decode(data, LIMIT)
    assert isinstance(decoded, Image.Image), decoded
    assert decoded.mode == "RGB"
    return decoded


def _reason(data: bytes, limit: int = LIMIT) -> str:
    decoded = decode(data, limit)
    assert isinstance(decoded, Problem), decoded
    return decoded.reason


def _corner() -> Image.Image:
    """Black but for a red block at the top left: shows every turn and mirror."""
    image = Image.new("RGB", (48, 32))
    image.paste((255, 0, 0), (0, 0, 16, 8))
    return image


def _noise(size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_stands_upright_whatever_its_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = encoded(_corner().transpose(TURNS[orientation]), kind, exif=exif, **options)
    upright = _pixels(data)
    assert upright.size == (48, 32)
    assert np.abs(np.asarray(upright).astype(int) - np.asarray(_corner()).astype(int)).mean() < 3
    assert probe(data, LIMIT) == Header(48, 32, kind)
    assert 0x0112 not in upright.getexif()


def test_exif_behind_a_png_s_pixels_counts_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(_corner().transpose(TURNS[6]))
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = data[:-12] + chunk + data[-12:]
    assert _pixels(data).size == (48, 32)
    assert probe(data, LIMIT) == Header(48, 32, "PNG")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_lose_the_image() -> None:
    data = encoded(_corner(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert _pixels(data).size == (48, 32)


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert _pixels(encoded(red, "JPEG", quality=100)).getpixel((8, 8)) == pytest.approx((254, 0, 0), abs=4)
    assert _pixels(encoded(red, "TIFF")).getpixel((8, 8)) == (255, 0, 0)


def test_a_cmyk_image_with_a_profile_that_is_none_is_converted_plainly() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (b"not a profile", srgb):
        data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100, icc_profile=profile)
        assert _pixels(data).getpixel((8, 8)) == pytest.approx((254, 0, 0), abs=4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16).repeat(4, axis=0)
    row = np.asarray(_pixels(encoded(Image.fromarray(values), kind)))[0, :, 0]
    assert row.tolist() == [0, 1, 128, 255]


def test_sixteen_bit_colour_is_scaled() -> None:
    line = b"\0" + struct.pack(">6H", 0, 32896, 65535, 65535, 257, 0)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(line)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    assert np.asarray(_pixels(data)).tolist() == [[[0, 128, 255], [255, 1, 0]]]


def test_floats_are_scaled_by_their_own_range() -> None:
    values = np.array([[-1.0, 0.0, 1.0, np.nan]], dtype=np.float32)
    assert np.asarray(_pixels(encoded(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == [0, 128, 255, 128]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L"])
def test_transparency_lies_on_white(mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode) if mode != "L" else Image.new("L", (8, 8), 0)
    data = encoded(image, transparency=0) if mode in ("P", "L") else encoded(image)
    assert _pixels(data).getpixel((4, 4)) == (255, 255, 255)


def test_half_transparent_black_on_white_is_grey() -> None:
    assert _pixels(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)))).getpixel((4, 4)) == (127, 127, 127)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "YCbCr" else "PNG"
    white = Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode)
    assert _pixels(encoded(white, kind)).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 2  # type: ignore[attr-defined]  # only animated readers have it
    assert _pixels(data).getpixel((4, 4)) == pytest.approx((255, 0, 0), abs=8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.9, 0.5])
def test_a_cut_image_is_truncated(kind: str, part: float) -> None:
    data = encoded(_noise(), kind)
    assert _reason(data[: int(len(data) * part)]) == "truncated_image"


def test_every_prefix_of_an_image_is_a_problem_and_never_an_exception() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF"):
        data = encoded(_noise((16, 16)), kind)
        for length in range(0, len(data) - 24, 7):
            assert _reason(data[:length]) in ("empty", "truncated_image", "unreadable")
            probe(data[:length], LIMIT)


@pytest.mark.filterwarnings("ignore")
def test_flipped_bytes_never_raise() -> None:
    generator = np.random.default_rng(1)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM"):
        data = encoded(_noise((24, 24)), kind)
        for _ in range(40):
            broken = bytearray(data)
            for position in generator.integers(0, len(data), 6):
                broken[position] = int(generator.integers(0, 256))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                probe(bytes(broken), LIMIT)
                decode(bytes(broken), LIMIT)


def test_what_is_no_image_is_unreadable_and_nothing_is_empty() -> None:
    assert _reason(b"<html>404 not found</html>") == "unreadable"
    assert _reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "unreadable"
    assert _reason(b"") == "empty"


def test_a_bomb_is_told_by_its_header_before_it_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data += struct.pack(">I", 4) + b"IDAT" + b"\0\0\0\0" + struct.pack(">I", zlib.crc32(b"IDAT\0\0\0\0"))
    decoded = decode(data, 178_956_970)
    assert decoded == Problem("too_large", "60000 x 60000 pixels, limit 178956970")
    assert probe(data, 178_956_970) == decoded


def test_an_image_between_pillow_s_two_limits_is_no_warning() -> None:
    data = encoded(Image.new("1", (10_000, 9_500)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe(data, 178_956_970) == Header(10_000, 9_500, "PNG")
        assert isinstance(decode(data, 178_956_970), Image.Image)
        assert _reason(data, 90_000_000) == "too_large"
        assert _reason(encoded(Image.new("1", (10_000, 9_500)), "TIFF", compression="group4"), 178_956_970) == "too_large"
