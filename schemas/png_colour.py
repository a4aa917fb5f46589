"""What a PNG's gAMA and cHRM say of its colours, as a profile. Knows nothing else of PNG."""

import struct
from functools import lru_cache

import numpy as np

_SRGB_GAMMA = 0.45455
_SRGB_CHROMATICITY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue
_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))


@lru_cache(maxsize=64)
def png_profile(gamma: float | None, chromaticity: tuple[float, ...] | None) -> bytes | None:
    """An ICC profile of a gamma (of encoding, 0.45455 is usual) and of chromaticities x, y of white, red, green, blue.

    None where there is no gamma: browsers take chromaticities alone for nothing. None too for the values that the PNG specification
    has writers of sRGB put there: browsers take them by the letter, which darkens the darkest colours by up to 8 of 255; here they
    are sRGB, which they were meant for.
    """
    if gamma is None or not 0.05 < gamma < 20:
        return None
    xy = chromaticity if chromaticity is not None and len(chromaticity) == 8 and min(chromaticity[1::2]) > 0 else _SRGB_CHROMATICITY
    is_usual = abs(gamma - _SRGB_GAMMA) < 0.01 and np.allclose(xy, _SRGB_CHROMATICITY, atol=0.002)
    if is_usual:
        return None
    try:
        columns = _adapted_primaries(xy)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(columns).all() or np.abs(columns).max() > 4:
        return None
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, min(65535, round(256 / gamma))) + b"\0\0"
    tags = {b"desc": _described(), b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": _xyz(_D50)}
    tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return _profile(tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def _adapted_primaries(xy: tuple[float, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """XYZ of red, green and blue as columns, adapted from their white to D50 (Bradford)."""
    white, *primaries = [np.array((x / y, 1.0, (1 - x - y) / y)) for x, y in zip(xy[::2], xy[1::2], strict=True)]
    columns = np.stack(primaries, axis=1)
    scaled = columns * np.linalg.solve(columns, white)
    gain = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.linalg.inv(_BRADFORD) @ gain @ _BRADFORD @ scaled
    return adapted


def _profile(tags: dict[bytes, bytes]) -> bytes:
    offset, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I", 128 + len(body)) + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head + bytes(128 - len(head)) + body


def _described() -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", 4) + b"png\0" + bytes(78)


def _xyz(colour: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(float(value) * 65536)) for value in colour)
