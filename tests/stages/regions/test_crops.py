"""The focal crop: three times the box, at least 48 pixels, its box in the centre, at a border too."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from stages.regions.crops import focal_box, focal_crop

sides = st.integers(1, 200)
shares = st.floats(0.01, 1)


def test_a_box_in_the_middle_gets_three_times_its_sides() -> None:
    assert focal_box((90, 100, 110, 120), 300, 300) == (70, 80, 130, 140)


def test_a_small_box_gets_48_pixels() -> None:
    assert focal_box((98, 98, 102, 102), 300, 300) == (76, 76, 124, 124)


def test_no_window_is_larger_than_the_image() -> None:
    assert focal_box((0, 0, 300, 40), 300, 40) == (0, 0, 300, 40)
    assert focal_box((0, 0, 150, 40), 300, 40) == (-75, 0, 225, 40)


@given(sides, sides, st.floats(0, 1), st.floats(0, 1), shares, shares)
def test_any_box_is_in_the_centre_of_its_crop(width: int, height: int, x: float, y: float, w: float, h: float) -> None:
    box = (x * width, y * height, min(width, (x + w) * width), min(height, (y + h) * height))
    assume(box[0] < box[2] and box[1] < box[3])
    x0, y0, x1, y1 = focal_box(box, width, height)
    assert math.isclose((x0 + x1) / 2, (box[0] + box[2]) / 2, abs_tol=1.5)
    assert math.isclose((y0 + y1) / 2, (box[1] + box[3]) / 2, abs_tol=1.5)
    assert focal_crop(Image.new("RGB", (width, height)), box).size == (x1 - x0, y1 - y0)


def test_the_crop_is_the_boxs_pixels() -> None:
    image = Image.new("RGB", (100, 100), "white")
    image.paste((255, 0, 0), (40, 40, 60, 60))
    crop = focal_crop(image, (40, 40, 60, 60))
    assert crop.size == (60, 60)
    assert crop.getpixel((30, 30)) == (255, 0, 0)
    assert crop.getpixel((5, 5)) == (255, 255, 255)


def test_beyond_the_image_lies_the_mean_colour_of_what_is_inside() -> None:
    image = Image.new("RGB", (100, 100), (10, 20, 30))
    crop = focal_crop(image, (0, 40, 20, 60))
    assert crop.size == (60, 60)
    assert set(crop.get_flattened_data()) == {(10, 20, 30)}
    image.paste((110, 20, 30), (0, 40, 20, 60))
    crop = focal_crop(image, (0, 40, 20, 60))
    assert crop.getpixel((30, 30)) == (110, 20, 30)
    assert crop.getpixel((5, 30)) == (27, 20, 30)
