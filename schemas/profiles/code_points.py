"""Colours by the code points of ITU-T H.273: the chunk cICP of a PNG, `nclx` of AVIF and HEIF. As profiles.

What is brighter than white (PQ, HLG) is compressed, white at half of full light, as Chromium 156 compresses it for a screen of sRGB:
greys equal its within 2 of 255, saturated highlights may differ in brightness, since a profile bends each colour by itself.
"""

import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.profiles.made import SRGB_CHROMATICITY, gamma_curve, matrix_profile, sampled_curve

Light = NDArray[np.float64]
_D65, _C, _DCI, _E = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351), (1 / 3, 1 / 3)
_SMPTE = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 13
# Code point -> x, y of white, red, green, blue; 2 and what is not here says nothing.
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: SRGB_CHROMATICITY,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: _SMPTE,
    7: _SMPTE,
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (*_E, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (*_DCI, *_P3),
    12: (*_D65, *_P3),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_TELEVISION = (1, 6, 14, 15)  # shown by a gamma of 2.4 (BT.1886), in AVIF and HEIF as sRGB: so browsers have it
_WHITE_NITS, _SAMPLES = 203.0, 4096
# Light, of white, and what is shown of it: half up to white, then less and less up to 1,000 nits.
_COMPRESSED = (
    (0.0, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.926),
    (0.0, 0.5, 0.5431, 0.5929, 0.6551, 0.7035, 0.7439, 0.8102, 0.8635, 0.9076, 0.9446, 1.0),
)


def png_code_points(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of a PNG's cICP; None where it has none before its pixels, or one that is no RGB."""
    place = 8
    while place + 12 <= len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        if name == b"cICP" and size == 4:
            primaries, transfer, matrix, is_full = data[place + 8 : place + 12]
            return (primaries, transfer) if matrix == 0 and is_full == 1 else None
        if name in (b"IDAT", b"IEND"):
            return None
        place += 12 + size
    return None


def film_code_points(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the first `nclx` of an AVIF or HEIF; None where there is none."""
    place, end = _box(data, b"meta")
    start = data.find(b"colrnclx", place, end)
    if start < 0 or start + 12 > len(data):
        return None
    primaries, transfer = struct.unpack(">HH", data[start + 8 : start + 12])
    return primaries, transfer


@lru_cache(maxsize=64)
def code_point_profile(primaries: int, transfer: int, *, is_film: bool = False) -> bytes | None:
    """A profile of these code points; None where they say sRGB, or nothing."""
    known = primaries if primaries in _PRIMARIES else _SRGB_PRIMARIES
    curve = _SRGB_TRANSFER if (is_film and transfer in _TELEVISION) or transfer not in _CURVES else transfer
    return None if (known, curve) == (_SRGB_PRIMARIES, _SRGB_TRANSFER) else matrix_profile(_PRIMARIES[known], _curve(curve))


def _curve(transfer: int) -> bytes:
    light = _CURVES[transfer]
    return gamma_curve(light) if isinstance(light, float) else sampled_curve(light(np.linspace(0, 1, _SAMPLES)))


def _srgb(signal: Light) -> Light:
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _smpte_240(signal: Light) -> Light:
    return np.where(signal < 0.0912, signal / 4, ((signal + 0.1115) / 1.1115) ** (1 / 0.45))


def _cinema(signal: Light) -> Light:
    return signal**2.6 * (52.37 / 48)


def _pq(signal: Light) -> Light:
    """SMPTE ST 2084."""
    root = signal ** (1 / 78.84375)
    return _compressed(10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125))


def _hlg(signal: Light) -> Light:
    """ARIB STD-B67 on a screen of 1,000 nits."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return _compressed(1000 * scene**1.2)


def _compressed(nits: Light) -> Light:
    return np.interp(nits / _WHITE_NITS, *_COMPRESSED)


# Code point -> a gamma, or light of a number; 2, the logarithms and what is not here says nothing.
_CURVES: dict[int, float | Callable[[Light], Light]] = {
    **dict.fromkeys((*_TELEVISION, 11), 2.4), 4: 2.2, 5: 2.8, 7: _smpte_240, 8: 1.0, 13: _srgb, 16: _pq, 17: _cinema, 18: _hlg,
}  # fmt: skip


def _box(data: bytes, wanted: bytes) -> tuple[int, int]:
    """Where a box at the top of an ISO base media file begins and ends; nowhere: (0, 0)."""
    place = 0
    while place + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        if size == 1 and place + 16 <= len(data):
            (size,) = struct.unpack(">Q", data[place + 8 : place + 16])
        end = len(data) if size == 0 else place + size
        if name == wanted:
            return place, min(end, len(data))
        if end < place + 8:
            break
        place = end
    return 0, 0
