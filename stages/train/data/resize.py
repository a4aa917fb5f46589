"""Pillow's resize, pixel for pixel, in far less time: the same sums of the same rounded weights, many of them at once.

Pillow weighs neighbours in whole numbers, in a horizontal and a vertical pass, and makes one value after another. Sums of whole
numbers are exact in any order: here a processor's wide registers make them side by side. numba compiles it when it is first asked,
which takes some seconds, and keeps what it compiled for later processes.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, no_type_check

import numba
import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt8, UInt32
from numpy import int32, uint8
from numpy.typing import NDArray
from PIL import Image

_Floats = NDArray[np.float64]

_BITS = 22  # of a weight's fraction, as in Pillow's Resample.c
_HALF = 1 << (_BITS - 1)
_ROWS = 16  # that are made side by side: of four bytes a pixel, one cache line
_VALUES = 4 * _ROWS
_TAPS = 4  # weights that are added between two writes of the sums


def resized(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> UInt8[np.ndarray, "H W 3"]:
    """What `image.resize(size, resample)` holds, for an image of mode RGB and a size of width and height, in memory of its own.

    Pillow itself is asked for other filters than bilinear and bicubic, for pictures of fewer than 16 rows before or after, where its memory
    is not in one piece (above 16 MiB), and where this Pillow was found to make other pixels.
    """
    is_known = resample in _FILTERS and image.size != size and min(image.height, size[1]) >= _ROWS
    vertical_first = _order(*_kind(image.size, size)) if is_known else None
    pixels_HW = None if vertical_first is None else _memory(image)
    return np.array(image.resize(size, resample)) if pixels_HW is None else _made(pixels_HW, size, resample, bool(vertical_first))


def _made(pixels_HW: UInt32[np.ndarray, "H0 W0"], size: tuple[int, int], resample: int, vertical_first: bool) -> UInt8[np.ndarray, "H W 3"]:
    height, width = pixels_HW.shape
    out_HWC = np.empty((size[1], size[0], 3), uint8)
    _resize(pixels_HW, *_weights(width, size[0], resample), *_weights(height, size[1], resample), vertical_first, out_HWC)
    return out_HWC


def _kind(old: tuple[int, int], new: tuple[int, int]) -> tuple[bool, bool]:
    """What the order of the passes depends on in Pillow 13: whether far more goes of the height than of the width; whether that grows."""
    is_tall = old[1] - new[1] > max(0, 2 * (old[0] - new[0]))
    return is_tall, is_tall and new[0] > old[0]


@lru_cache(maxsize=4)
def _order(is_tall: bool, widens: bool) -> bool | None:
    """Whether this Pillow's vertical pass is its first, found on a small picture, where the order shows in last bits; None where neither
    order gives its pixels."""
    old, new = ((24, 90), (27, 30) if widens else (20, 30)) if is_tall else ((64, 48), (20, 21))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (old[1], old[0], 3), uint8))
    pixels_HW, theirs = _memory(image), np.asarray(image.resize(new, Image.Resampling.BICUBIC))
    if pixels_HW is None:
        return None
    orders = (order for order in (False, True) if np.array_equal(_made(pixels_HW, new, Image.Resampling.BICUBIC, order), theirs))
    return next(orders, None)


def _memory(image: Image.Image) -> UInt32[np.ndarray, "H W"] | None:
    """Pillow's own memory of an RGB image: a pixel has four bytes, the last without meaning."""
    try:
        values = pa.array(image).values  # flatten would copy them
    except (ValueError, TypeError):
        return None
    return np.asarray(values).view(np.uint32).reshape(image.height, image.width)


def _cubic(x: _Floats) -> _Floats:
    """Keys' cubic with a = -0.5, computed in Pillow's order."""
    x = np.abs(x)
    near, far = ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _triangle(x: _Floats) -> _Floats:
    return np.maximum(0.0, 1.0 - np.abs(x))


# Each filter with its reach in pixels of the smaller picture.
_FILTERS: dict[int, tuple[Callable[[_Floats], _Floats], float]] = {
    Image.Resampling.BICUBIC: (_cubic, 2.0),
    Image.Resampling.BILINEAR: (_triangle, 1.0),
}


@lru_cache(maxsize=1024)
def _weights(size_in: int, size_out: int, resample: int) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "n k"]]:
    """For each output pixel its first neighbour and the neighbours' weights, filled up with zeros; all lie within the input."""
    function, reach = _FILTERS[resample]
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    center_N = (np.arange(size_out) + 0.5) * scale
    first_N = np.maximum(0, (center_N - reach * stretch + 0.5).astype(np.int64))
    num_N = np.minimum(size_in, (center_N + reach * stretch + 0.5).astype(np.int64)) - first_N
    turn_K = np.arange(num_N.max())
    weight_NK = function((turn_K + first_N[:, None] - center_N[:, None] + 0.5) * (1.0 / stretch))
    weight_NK[turn_K >= num_N[:, None]] = 0.0
    total_N = weight_NK.cumsum(axis=1)[:, -1]  # one by one, as Pillow adds: a sum with fewer roundings gives other weights
    weight_NK /= np.where(total_N == 0, 1.0, total_N)[:, None]
    fixed_NK = (weight_NK * (1 << _BITS) + np.where(weight_NK < 0, -0.5, 0.5)).astype(int32)
    start_N = np.minimum(first_N, size_in - len(turn_K))
    shifted_NK, row, turn = np.zeros_like(fixed_NK), *np.nonzero(fixed_NK)
    shifted_NK[row, turn + (first_N - start_N)[row]] = fixed_NK[row, turn]
    return start_N, shifted_NK


def _compiled(function: Callable[..., None]) -> Any:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written to
        return numba.njit(nogil=True)(function)


@no_type_check
@numba.njit(inline="always")
def _weigh(values: Any, first: Any, weights: Any, sums: Any, clipped: Any, num: Any) -> None:
    """clipped = weights[0] * values[first] + weights[1] * values[first + 1] and so on, rounded, of all columns; `sums` is room for them."""
    count = len(weights) - len(weights) % _TAPS
    for i in range(num):
        sums[i] = _HALF
    for tap in range(0, count, _TAPS):
        w0, w1, w2, w3 = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
        v0, v1, v2, v3 = values[first + tap], values[first + tap + 1], values[first + tap + 2], values[first + tap + 3]
        for i in range(num):
            sums[i] = int32(sums[i] + int32(w0 * v0[i]) + int32(w1 * v1[i]) + int32(w2 * v2[i]) + int32(w3 * v3[i]))
    for tap in range(count, len(weights)):
        weight, value = weights[tap], values[first + tap]
        for i in range(num):
            sums[i] = int32(sums[i] + int32(weight * value[i]))
    for i in range(num):
        clipped[i] = uint8(min(max(sums[i] >> _BITS, 0), 255))


@no_type_check
@numba.njit(inline="always")
def _horizontal(pixels_HW: Any, firsts: Any, weights: Any) -> Any:
    """Some rows at a time are turned, so that values with the same weight lie side by side: always as many, a number that the
    compiler knows; the last of them may have been made before."""
    height, width = pixels_HW.shape
    made_HW = np.empty((height, len(firsts)), np.uint32)
    turned = np.empty((width, _ROWS), np.uint32)
    sums, clipped = np.empty(_VALUES, int32), np.empty(_VALUES, uint8)
    values, as_pixels = turned.view(uint8), clipped.view(np.uint32)
    for block in range(0, height, _ROWS):
        top = min(block, height - _ROWS)
        for x in range(width):
            for row in range(_ROWS):
                turned[x, row] = pixels_HW[top + row, x]
        for x in range(len(firsts)):
            _weigh(values, firsts[x], weights[x], sums, clipped, _VALUES)
            for row in range(_ROWS):
                made_HW[top + row, x] = as_pixels[row]
    return made_HW


@no_type_check
@numba.njit(inline="always")
def _vertical(pixels_HW: Any, firsts: Any, weights: Any) -> Any:
    """Values with the same weight lie side by side as they are."""
    made_HW = np.empty((len(firsts), pixels_HW.shape[1]), np.uint32)
    values, made = pixels_HW.view(uint8), made_HW.view(uint8)
    sums = np.empty(values.shape[1], int32)
    for y in range(len(firsts)):
        _weigh(values, firsts[y], weights[y], sums, made[y], len(sums))
    return made_HW


@no_type_check
@_compiled
def _resize(pixels_HW: Any, firsts_x: Any, weights_x: Any, firsts_y: Any, weights_y: Any, vertical_first: Any, out_HWC: Any) -> None:
    if vertical_first:
        made_HW = _horizontal(_vertical(pixels_HW, firsts_y, weights_y), firsts_x, weights_x)
    else:
        made_HW = _vertical(_horizontal(pixels_HW, firsts_x, weights_x), firsts_y, weights_y)
    values = made_HW.view(uint8)
    for y in range(out_HWC.shape[0]):
        for x in range(out_HWC.shape[1]):
            for channel in range(3):
                out_HWC[y, x, channel] = values[y, 4 * x + channel]
