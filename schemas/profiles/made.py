"""An ICC profile made of chromaticities and a curve. Knows no file format."""

import struct

import numpy as np
from numpy.typing import NDArray

SRGB_CHROMATICITY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x, y of white, red, green, blue
_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))


def gamma_curve(gamma: float) -> bytes:
    """Light as the number to the power of gamma."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, min(65535, round(256 * gamma))) + b"\0\0"


def sampled_curve(light: NDArray[np.float64]) -> bytes:
    """Light, 0 to 1, at equal steps of the number."""
    values = np.rint(np.clip(light, 0, 1) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()


def matrix_profile(xy: tuple[float, ...], curve: bytes) -> bytes | None:
    """The profile of these chromaticities, all three colours by one curve; None where no such colours can be."""
    try:
        columns = _adapted_primaries(xy)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(columns).all() or np.abs(columns).max() > 4:
        return None
    tags = {b"desc": _described(), b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": _xyz(_D50)}
    tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return _profile(tags, curve)


def _adapted_primaries(xy: tuple[float, ...]) -> NDArray[np.float64]:
    """XYZ of red, green and blue as columns, adapted from their white to D50 (Bradford)."""
    white, *primaries = [np.array((x, y, 1 - x - y)) for x, y in zip(xy[::2], xy[1::2], strict=True)]
    white = white / white[1]
    columns = np.stack(primaries, axis=1)
    scaled = columns * np.linalg.solve(columns, white)
    gain = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ gain @ _BRADFORD @ scaled
    return adapted


def _profile(tags: dict[bytes, bytes], curve: bytes) -> bytes:
    named = {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    offset, table, data, places = 132 + 12 * len(named), b"", b"", dict[bytes, int]()
    for name, content in named.items():
        if content not in places:  # one curve for three colours
            places[content] = offset + len(data)
            data += content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", places[content], len(content))
    body = struct.pack(">I", len(named)) + table + data
    head = struct.pack(">I", 128 + len(body)) + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    head += b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head + bytes(128 - len(head)) + body


def _described() -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", 4) + b"png\0" + bytes(78)


def _xyz(colour: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(float(value) * 65536)) for value in colour)
