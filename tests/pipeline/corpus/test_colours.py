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
from tests.support.pictures import TURNS, encoded
from tests.support.profiles import GREYS, PROFILES, raw_png

LIMIT = 1_000_000
COLOURS = np.array([[220, 40, 40], [40, 200, 60], [60, 80, 220], [10, 20, 30], [128, 128, 128], [250, 240, 10]], np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS: Mapping[str, dict[str, object]] = {
    "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0},
}  # fmt: skip


def _swatch() -> Image.Image:
    return Image.fromarray(COLOURS.reshape(1, -1, 3).repeat(8, 0).repeat(8, 1))


def _pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    decoded = decode(data, LIMIT)
    assert isinstance(decoded, Image.Image), decoded
    assert decoded.mode == "RGB"
    assert not decoded.info
    return np.asarray(decoded).astype(int)


def _by_imagecms(stored: Image.Image, profile: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(stored, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert shown is not None
    return np.asarray(shown).astype(int)


def _version(data: bytes) -> int:
    header = probe(data, LIMIT)
    assert isinstance(header, Header), header
    return header.pixels


EVERY_KIND = {
    "JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "L", "P", "RGBA", "LA", "1", "I;16"), "WEBP": ("RGB", "RGBA"),
    "TIFF": ("RGB", "L", "P", "RGBA", "CMYK", "1", "I;16"), "AVIF": ("RGB", "RGBA"),
}  # fmt: skip
MODES = sorted({mode for modes in EVERY_KIND.values() for mode in modes})
IS_GREY = frozenset(("L", "LA", "1", "I;16"))
TOGETHER = [(mode, "none") for mode in MODES] + [(mode, name) for mode in MODES for name in PROFILES if mode != "CMYK"]
TOGETHER += [(mode, name) for mode in MODES for name in GREYS if mode in IS_GREY]


@pytest.mark.parametrize(("mode", "profile"), TOGETHER)
def test_profile_mode_and_orientation_go_together_in_every_format(mode: str, profile: str) -> None:
    """What is shown is what ImageCms makes of the numbers that the file stores, alpha on white, then turned."""
    content = {**PROFILES, **GREYS}.get(profile)
    for kind in (kind for kind, modes in EVERY_KIND.items() if mode in modes):
        for orientation, turn in {1: None, **TURNS}.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            stored = _of_mode(mode) if turn is None else _of_mode(mode).transpose(turn)
            options: dict[str, object] = {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else dict(LOSSLESS[kind])
            data = encoded(stored, kind, exif=exif, **options, **({"icc_profile": content} if content else {}))
            shown, wanted = _pixels(data), _as_stored(data, content, kind)
            back = wanted if kind == "TIFF" or turn is None else _turned_back(wanted, orientation)  # Pillow turns TIFF as it opens it
            assert shown.shape == (8, 48, 3), (kind, orientation)
            assert np.abs(shown - back).max() <= 2, (kind, orientation)
            assert _version(data) == int(content is not None) or mode == "1"  # black and white are black and white


def _of_mode(mode: str) -> Image.Image:
    """The swatch with a gradient of alpha, as far as the mode holds them."""
    if mode == "I;16":
        return Image.fromarray(np.asarray(_swatch().convert("L")).astype(np.uint16) * 257)
    if mode == "P":
        return _swatch().convert(mode, palette=Image.Palette.ADAPTIVE)
    if mode not in ("RGBA", "LA"):
        return _swatch().convert(mode)
    image = _swatch().convert(mode)
    image.putalpha(Image.linear_gradient("L").resize((48, 8)))
    return image


def _as_stored(data: bytes, profile: bytes | None, kind: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """What ImageCms, numpy and Pillow make of what the file stores, not turned: the lossy step is behind both."""
    image: Image.Image = Image.open(io.BytesIO(data))
    image.load()
    if image.mode.startswith("I"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    alpha = np.asarray(image.convert("RGBA"))[..., 3:] / 255 if image.mode in ("RGBA", "LA") else np.ones((*image.size[::-1], 1))
    if profile is None:
        shown = np.asarray(image.convert("RGB"))
    else:
        is_grey = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip() == "GRAY"
        shown = _by_imagecms(image.convert("L" if is_grey else "RGB"), profile)
    return shown * alpha + 255 * (1 - alpha)


def _turned_back(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], orientation: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """As EXIF defines it: where the first row and the first column of what is stored belong."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 5: (), 6: (1,), 7: (0, 1), 8: (0,)}[orientation]
    return np.flip(values, flips)


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
    "grey of 4 bits": (_tiny(0, 4, bytes([0xF7]), struct.pack(">H", 15)), [[255] * 3, [119] * 3], 1),
    "grey of 4 bits, dark": (_tiny(0, 4, bytes([0xF7]), struct.pack(">H", 7)), [[255] * 3, [255] * 3], 1),
    "grey of 2 bits": (_tiny(0, 2, bytes([0b01100000]), struct.pack(">H", 1)), [[255] * 3, [170] * 3], 1),
    "grey of 8 bits": (_tiny(0, 8, bytes([9, 8]), struct.pack(">H", 9)), [[255] * 3, [8] * 3], 0),
    "grey of 16 bits": (_tiny(0, 16, struct.pack(">2H", 20000, 30000), struct.pack(">H", 20000)), [[255] * 3, [117] * 3], 1),
    "black and white": (_tiny(0, 1, bytes([0b10000000]), struct.pack(">H", 0)), [[255] * 3, [255] * 3], 0),
    "colour of 8 bits": (_tiny(2, 8, bytes([10, 20, 30, 1, 2, 3]), struct.pack(">3H", 10, 20, 30)), [[255] * 3, [1, 2, 3]], 0),
    "colour of 16 bits": (
        _tiny(2, 16, struct.pack(">6H", 20000, 20000, 20000, 300, 40000, 65535), struct.pack(">3H", 20000, 20000, 20000)),
        [[255] * 3, [1, 156, 255]],
        1,
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


PNGS |= {"gamma and primaries of sRGB": [GAMMA, USUAL], "code points before sRGB": [(b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")]}
TRANSFERS, PRIMARIES = (1, 4, 5, 6, 7, 8, 11, 13, 14, 15, 17, 2, 3, 9, 10, 12), (1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 22, 2, 3)
PNGS |= {f"transfer {each}": [(b"cICP", bytes([1, each, 0, 1]))] for each in TRANSFERS}
PNGS |= {f"primaries {each}": [(b"cICP", bytes([each, 13, 0, 1]))] for each in PRIMARIES}
BRIGHT = {"PQ": (9, 16), "HLG": (9, 18)}  # of which greys are compared: browsers bend a colour as a whole, a profile each channel


def _avif(primaries: int, transfer: int, picture: Image.Image) -> bytes:
    data = encoded(picture, "AVIF", quality=100, subsampling="4:4:4")
    place = data.index(b"colrnclx") + 8
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


def test_code_points_change_the_version_of_pixels_where_they_are_not_those_of_srgb() -> None:
    for points, version in (((1, 13), 0), ((2, 2), 0), ((12, 13), 2), ((9, 16), 2), ((1, 8), 2)):
        png = raw_png(2, 8, (len(COLOURS), 1), b"\0" + COLOURS.tobytes(), [(b"cICP", bytes([*points, 0, 1]))])
        assert _version(png) == _version(_avif(*points, _swatch())) == version, points
    assert _version(_avif(1, 1, _swatch())) == 0  # television's curve is sRGB's in films, as browsers have it
    usual = raw_png(2, 8, (len(COLOURS), 1), b"\0" + COLOURS.tobytes(), [GAMMA, USUAL])
    assert (_version(usual), _version(encoded(_swatch(), "AVIF", icc_profile=PROFILES["p3"]))) == (2, 1)
    over = raw_png(2, 8, (1, 1), b"\0\1\2\3", [(b"cICP", bytes([1, 13, 0, 1])), GAMMA, WIDE])  # what is said first is taken
    assert (_pixels(over).tolist(), _version(over)) == ([[[1, 2, 3]]], 2)
    for wrong in ([12, 13, 1, 1], [12, 13, 0, 0], [12, 13, 0]):
        assert _version(raw_png(2, 8, (1, 1), b"\0\1\2\3", [(b"cICP", bytes(wrong))])) == 0


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
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2).repeat(8, 0)
    files |= {
        f"{name} PNG": raw_png(2, 8, (256, 1), b"\0" + ramp[0].tobytes(), [(b"cICP", bytes([*points, 0, 1]))])
        for name, points in BRIGHT.items()
    }
    files |= {f"{name} AVIF": _avif(*points, Image.fromarray(ramp)) for name, points in BRIGHT.items()}
    files |= {f"AVIF {points}": _avif(*points, _swatch()) for points in ((12, 13), (9, 1), (1, 8), (9, 14), (5, 4), (1, 13))}
    files["AVIF with a profile"] = encoded(_swatch(), "AVIF", quality=100, subsampling="4:4:4", icc_profile=PROFILES["adobe"])
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
