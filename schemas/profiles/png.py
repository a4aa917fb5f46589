"""What a PNG's gAMA and cHRM say of its colours, as a profile. Knows nothing else of PNG."""

from functools import lru_cache

from schemas.profiles.made import SRGB_CHROMATICITY, gamma_curve, matrix_profile

_SRGB_GAMMA = 0.45455


@lru_cache(maxsize=64)
def png_profile(gamma: float | None, chromaticity: tuple[float, ...] | None) -> bytes | None:
    """An ICC profile of a gamma (of encoding, 0.45455 is usual) and of chromaticities x, y of white, red, green, blue.

    As browsers take them: chromaticities without a gamma are nothing, and the gamma that writers of sRGB put there is sRGB, but
    beside chromaticities it is a power of 2.2, which in the darkest colours is 8 of 255 below sRGB.
    """
    if gamma is None or not 0.05 < gamma < 20:
        return None
    has_primaries = chromaticity is not None and len(chromaticity) == 8 and min(chromaticity[1::2]) > 0
    if not has_primaries and abs(gamma - _SRGB_GAMMA) < 0.01:
        return None
    return matrix_profile(chromaticity if chromaticity and has_primaries else SRGB_CHROMATICITY, gamma_curve(1 / gamma))


def is_near_srgb(gamma: float | None, chromaticity: tuple[float, ...] | None) -> bool:
    """Whether they are what the PNG specification has writers of sRGB put there."""
    xy = chromaticity if chromaticity is not None and len(chromaticity) == 8 else SRGB_CHROMATICITY
    near = all(abs(coordinate - other) < 0.002 for coordinate, other in zip(xy, SRGB_CHROMATICITY, strict=True))
    return near and gamma is not None and abs(gamma - _SRGB_GAMMA) < 0.01
