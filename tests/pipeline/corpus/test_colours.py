"""The pixels that stages are given are those of a viewer: of Pillow's ImageCms, and of Chromium, within 2 of 255."""

import base64
import io
import shutil
import struct
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.corpus.pixels import Header, decode, probe
from schemas.pixels import PIXELS
from tests.support.pictures import encoded
from tests.support.profiles import GREYS, PROFILES, raw_png

LIMIT = 1_000_000
COLOURS = np.array([[220, 40, 40], [40, 200, 60], [60, 80, 220], [10, 20, 30], [128, 128, 128], [250, 240, 10]], np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS: Mapping[str, dict[str, object]] = {
    "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0},
}  # fmt: skip
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}


def _swatch() -> Image.Image:
    return Image.fromarray(COLOURS.reshape(1, -1, 3).repeat(8, 0).repeat(8, 1))


def _pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    found = decode(data, LIMIT)
    assert isinstance(found, Image.Image), found
    assert found.mode == "RGB"
    assert not found.info
    return np.asarray(found).astype(int)


def _by_imagecms(stored: Image.Image, profile: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(stored, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert shown is not None
    return np.asarray(shown).astype(int)


def _version(data: bytes) -> int:
    header = probe(data, LIMIT)
    assert isinstance(header, Header), header
    return header.pixels


COLOUR_FILES = [("JPEG", ("RGB", "L")), ("PNG", ("RGB", "L", "P", "RGBA")), ("TIFF", ("RGB", "L", "P", "RGBA")), ("WEBP", ("RGB", "RGBA"))]
GREY_FILES = [("JPEG", ("L",)), ("PNG", ("L", "LA", "1", "I;16")), ("TIFF", ("L", "1", "I;16"))]


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in COLOUR_FILES for mode in modes])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_honoured_whatever_the_mode(kind: str, profile: str, mode: str) -> None:
    stored = _swatch().convert(mode, palette=Image.Palette.ADAPTIVE) if mode == "P" else _swatch().convert(mode)
    data = encoded(stored, kind, icc_profile=PROFILES[profile], **LOSSLESS[kind])
    plain = Image.open(io.BytesIO(data)).convert("RGB")  # what the file stores
    assert np.abs(_pixels(data) - _by_imagecms(plain, PROFILES[profile])).max() <= 2
    assert _version(data) == PIXELS


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in GREY_FILES for mode in modes])
@pytest.mark.parametrize("profile", GREYS)
def test_a_grey_profile_is_honoured(kind: str, profile: str, mode: str) -> None:
    grey = _swatch().convert("L")
    stored = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    data = encoded(stored, kind, icc_profile=GREYS[profile], **LOSSLESS[kind])
    plain = grey if mode == "I;16" else Image.open(io.BytesIO(data)).convert("L")
    assert np.abs(_pixels(data) - _by_imagecms(plain, GREYS[profile])).max() <= 2
    assert _version(data) == PIXELS or mode == "1"  # black and white are black and white


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_profile_transparency_and_orientation_go_together(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = _swatch() if kind == "JPEG" else Image.merge("RGBA", (*_swatch().split(), Image.linear_gradient("L").resize((48, 8))))
    data = encoded(upright.transpose(TURNS[orientation]), kind, exif=exif, icc_profile=PROFILES["adobe"], **LOSSLESS[kind])
    wanted = _by_imagecms(_swatch(), PROFILES["adobe"]).astype(float)
    if kind != "JPEG":
        alpha = np.asarray(upright.split()[3])[..., None] / 255
        wanted = wanted * alpha + 255 * (1 - alpha)
    found = _pixels(data)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= (6 if kind == "JPEG" else 2)  # a JPEG turned blurs at other edges of its blocks


def test_srgb_in_any_dress_leaves_pixels_and_their_version_alone() -> None:
    plain = encoded(_swatch())
    for data in (
        plain,
        encoded(_swatch(), icc_profile=SRGB),
        encoded(_swatch(), icc_profile=b"no profile"),
        encoded(_swatch(), icc_profile=SRGB[:90]),
    ):
        assert (_pixels(data) == _pixels(plain)).all()
        assert _version(data) == 0
    grey = encoded(_swatch(), icc_profile=GREYS["dark"])  # of another kind of image: browsers pass over it too
    assert (_pixels(grey) == _pixels(plain)).all()
    for mode in ("RGBA", "LA", "P", "L", "CMYK", "1"):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        assert _version(encoded(_swatch().convert(mode), kind)) == 0


def _tiny(kind: int, bits: int, rows: bytes, key: bytes) -> bytes:
    return raw_png(kind, bits, (2, 1), b"\0" + rows, [(b"tRNS", key)])


TRANSPARENT = {
    "grey of 4 bits": (_tiny(0, 4, bytes([0xF7]), struct.pack(">H", 15)), [[255] * 3, [119] * 3], PIXELS),
    "grey of 4 bits, dark": (_tiny(0, 4, bytes([0xF7]), struct.pack(">H", 7)), [[255] * 3, [255] * 3], PIXELS),
    "grey of 2 bits": (_tiny(0, 2, bytes([0b01100000]), struct.pack(">H", 1)), [[255] * 3, [170] * 3], PIXELS),
    "grey of 8 bits": (_tiny(0, 8, bytes([9, 8]), struct.pack(">H", 9)), [[255] * 3, [8] * 3], 0),
    "grey of 16 bits": (_tiny(0, 16, struct.pack(">2H", 20000, 30000), struct.pack(">H", 20000)), [[255] * 3, [117] * 3], PIXELS),
    "black and white": (_tiny(0, 1, bytes([0b10000000]), struct.pack(">H", 0)), [[255] * 3, [255] * 3], 0),
    "colour of 8 bits": (_tiny(2, 8, bytes([10, 20, 30, 1, 2, 3]), struct.pack(">3H", 10, 20, 30)), [[255] * 3, [1, 2, 3]], 0),
    "colour of 16 bits": (
        _tiny(2, 16, struct.pack(">6H", 20000, 20000, 20000, 300, 40000, 65535), struct.pack(">3H", 20000, 20000, 20000)),
        [[255] * 3, [1, 156, 255]],
        PIXELS,
    ),
    "palette": (
        raw_png(3, 8, (2, 1), b"\0\0\1", [(b"PLTE", bytes([255, 0, 0, 0, 255, 0])), (b"tRNS", b"\0\x80")]),
        [[255] * 3, [127, 255, 127]],
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_lies_on_white_at_every_depth(name: str) -> None:
    data, wanted, version = TRANSPARENT[name]
    assert np.abs(_pixels(data)[0] - wanted).max() <= 1
    assert _version(data) == version


GAMMA = (b"gAMA", struct.pack(">I", 45455))
LINEAR = (b"gAMA", struct.pack(">I", 100000))
USUAL = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
WIDE = (b"cHRM", struct.pack(">8I", 31270, 32900, 73470, 26530, 11500, 82600, 15700, 1800))
PNGS = {
    "gamma as sRGB writes it": [GAMMA],
    "linear": [LINEAR],
    "linear, primaries of sRGB": [LINEAR, USUAL],
    "wide primaries alone": [WIDE],
    "wide": [GAMMA, WIDE],
    "linear, but sRGB": [(b"sRGB", b"\0"), LINEAR],
}


def test_chromium_shows_the_same() -> None:
    from playwright.sync_api import sync_playwright

    files = {name: raw_png(2, 8, (len(COLOURS), 1), b"\0" + COLOURS.tobytes(), chunks) for name, chunks in PNGS.items()}
    files |= {name: data for name, (data, _, _) in TRANSPARENT.items()}
    for name, profile in PROFILES.items():
        for kind in ("PNG", "JPEG", "WEBP"):
            files[f"{name} {kind}"] = encoded(_swatch(), kind, icc_profile=profile, **LOSSLESS[kind])
        half = _swatch()
        half.putalpha(128)
        files[f"{name}, half transparent"] = encoded(half, icc_profile=profile)
        files[f"{name}, grey"] = encoded(_swatch().convert("L"), "JPEG", quality=100, icc_profile=profile)
    files |= {
        f"{name} grey {kind}": encoded(_swatch().convert("L"), kind, icc_profile=profile)
        for name, profile in GREYS.items()
        for kind in ("PNG", "JPEG")
    }
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path is not None, "install Debian's package `chromium`, as .ci/run does"
    worst = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"])
        page = browser.new_page()
        for name, data in files.items():
            width, height, values = page.evaluate(_SHOW, f"data:image/x;base64,{base64.b64encode(data).decode()}")
            seen = np.array(values).reshape(height, width, 4)[..., :3]
            worst[name] = int(np.abs(seen - _pixels(data)).max())
        browser.close()
    assert {name: difference for name, difference in worst.items() if difference > 2} == {}


_SHOW = """async url => {
    const image = new Image(); image.src = url; await image.decode();
    const canvas = document.createElement('canvas'); canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext('2d', {colorSpace: 'srgb'});
    context.fillStyle = '#fff'; context.fillRect(0, 0, canvas.width, canvas.height); context.drawImage(image, 0, 0);
    return [canvas.width, canvas.height, Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""
