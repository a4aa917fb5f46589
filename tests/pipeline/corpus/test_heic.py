"""HEIC where its reader is installed: upright and in its own colours, as any other image."""

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from pipeline.corpus.images import load_images
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.pixels import Problem, decode, probe
from pipeline.corpus.update import read_rows, update_index
from pipeline.storage import Storage
from stages.dataset.upright import upright
from tests.support.pictures import encoded, tar_bytes, write
from tests.support.profiles import PROFILES, raw_png


def _heic(image: Image.Image, **options: object) -> bytes:
    pillow_heif.register_heif_opener()
    return encoded(image, "HEIF", quality=100, chroma=444, **options)


def _corner() -> Image.Image:
    image = Image.new("RGB", (64, 32), (10, 10, 10))
    image.paste((220, 40, 40), (0, 0, 16, 8))
    return image


def test_a_heic_is_indexed_and_read_upright_in_its_own_colours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "plain.heic": _heic(_corner()),
        "turned.HEIC": _heic(_corner().transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes()),
        "wide.heif": _heic(_corner(), icc_profile=PROFILES["swapped"]),
    }
    write(tmp_path / "folder", files)
    write(tmp_path / "tar", {"a.tar": tar_bytes(files)})
    for kind in ("folder", "tar"):
        params, workdir = CorpusParams(path=str(tmp_path / kind)), Storage(str(tmp_path / "work" / kind))
        rows = {row.key: row for unit in update_index(params, workdir) for row in read_rows(workdir, unit)}
        assert {key: (row.status, row.width, row.height, row.pixels) for key, row in rows.items()} == {
            "plain": ("ok", 64, 32, 0),
            "turned": ("ok", 64, 32, 0),
            "wide": ("ok", 64, 32, 1),
        }
        loaded = {read.row.key: read.image for read in load_images(params, [*rows.values()])}
        for key, red in (("plain", 0), ("turned", 0), ("wide", 2)):  # the profile exchanges red and blue
            image = loaded[key]
            assert image is not None
            assert int(np.asarray(image)[4, 8].argmax()) == red


def test_a_broken_heic_is_a_problem_and_never_an_exception() -> None:
    data = _heic(_corner())
    for length in range(12, len(data), 37):
        decode(data[:length], 10**6)
    assert isinstance(probe(b"\0\0\0\x18ftypheic" + b"x" * 50, 10**6), Problem)
    assert isinstance(decode(data, 100), Problem)  # too large by its header


def test_a_loose_heic_is_written_for_readers_that_know_none() -> None:
    data = _heic(_corner())
    loose = upright(data, "heic")
    assert loose is not None
    assert loose[1] == "png"
    assert (np.asarray(Image.open(io.BytesIO(loose[0]))) == np.asarray(decode(data, 10**6))).all()


def test_the_code_points_of_a_heic_without_a_profile_are_honoured() -> None:
    data = _heic(_corner())
    place = data.index(b"colrnclx") + 8
    wide = data[:place] + struct.pack(">HH", 12, 13) + data[place + 4 :]
    seen, plain = decode(wide, 10_000), decode(data, 10_000)
    assert isinstance(seen, Image.Image)
    assert isinstance(plain, Image.Image)
    as_png = raw_png(2, 8, (1, 1), b"\0" + bytes(plain.getpixel((4, 4))), [(b"cICP", bytes([12, 13, 0, 1]))])  # type: ignore[arg-type]  # RGB
    wanted = decode(as_png, 10)
    assert isinstance(wanted, Image.Image)
    assert np.abs(np.array(seen.getpixel((4, 4))) - np.array(wanted.getpixel((0, 0)))).max() <= 1
    header = probe(wide, 10_000)
    assert not isinstance(header, Problem)
    assert header.pixels == 2
