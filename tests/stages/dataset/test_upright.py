"""Loose images for readers that know no EXIF, profile or transparency: they see what the captioner saw."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.corpus.pixels import decode
from stages.dataset.upright import upright
from tests.support.pictures import encoded
from tests.support.profiles import PROFILES

TURNED = Image.Exif()
TURNED[0x0112] = 6


def _noise(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)).convert(mode)


ODD = {
    "transparent and turned": encoded(Image.new("RGBA", (80, 40), (255, 0, 0, 0)), exif=TURNED),
    "transparent": encoded(Image.new("RGBA", (80, 40), (255, 0, 0, 0))),
    "16 bits and turned": encoded(Image.new("I;16", (80, 40), 20000), exif=TURNED),
    "16 bits": encoded(Image.new("I;16", (80, 40), 20000)),
    "profile": encoded(_noise(), icc_profile=PROFILES["wide"]),
    "profile of a JPEG": encoded(_noise(), "JPEG", quality=95, icc_profile=PROFILES["swapped"]),
    "palette with a transparent colour": encoded(_noise("P"), transparency=0),
    "grey with a profile": encoded(_noise("L"), icc_profile=PROFILES["adobe"]),
}


@pytest.mark.parametrize("name", ODD)
def test_a_reader_that_knows_nothing_sees_what_the_captioner_saw(name: str) -> None:
    loose = upright(ODD[name], "png")
    assert loose is not None
    content, suffix = loose
    plain = Image.open(io.BytesIO(content))
    assert (plain.mode, "icc_profile" in plain.info, dict(plain.getexif())) == ("RGB", False, {})
    captioned = decode(ODD[name], 10**6)
    assert isinstance(captioned, Image.Image)
    difference = np.abs(np.asarray(plain).astype(int) - np.asarray(captioned).astype(int))
    assert (suffix, difference.max()) == ("png", 0) if name != "profile of a JPEG" else (suffix == "jpg" and difference.mean() < 4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_what_any_reader_sees_alike_keeps_its_bytes(kind: str) -> None:
    data = encoded(_noise(), kind)
    assert upright(data, "x") == (data, "x")
