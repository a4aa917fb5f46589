"""Our resize and Pillow's, pixel for pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.train.data.resize import resized

SIDES = st.integers(1, 150)
SQUARES = [(224, 224), (256, 256), (384, 384), (336, 448)]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Hard black and white pixels among others, so that sums leave the range of a byte on both sides."""
    values = np.random.default_rng(seed).integers(-200, 456, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@settings(deadline=None)  # the first one compiles
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS]))
def test_any_size_to_any_size_is_as_pillow_makes_it(
    width: int, height: int, new_width: int, new_height: int, resample: Image.Resampling
) -> None:
    image = noise(width, height, seed=width * 1000 + height)

    ours = resized(image, (new_width, new_height), resample)

    np.testing.assert_array_equal(ours, np.asarray(image.resize((new_width, new_height), resample)))


@pytest.mark.parametrize("size", SQUARES)
@pytest.mark.parametrize(
    "of", [(640, 480), (1024, 768), (333, 1000), (224, 640), (500, 224), (2300, 2200)]
)  # the last one's memory is in two pieces
def test_photographs_sizes_are_as_pillow_makes_them(of: tuple[int, int], size: tuple[int, int]) -> None:
    image = noise(*of)

    ours = resized(image, size, Image.Resampling.BICUBIC)

    np.testing.assert_array_equal(ours, np.asarray(image.resize(size, Image.Resampling.BICUBIC)))


def test_what_comes_out_is_memory_of_its_own() -> None:
    image = noise(40, 30)
    for size in ((20, 20), image.size):
        resized(image, size, Image.Resampling.BICUBIC)[:] = 7
    assert (np.asarray(image) != 7).any()
