"""The focal crop: three times the box, at least 48 pixels, inside the image."""

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.crops import focal_box, focal_crop

sides = st.integers(1, 500)


def test_a_box_in_the_middle_gets_three_times_its_sides() -> None:
    assert focal_box((90, 100, 110, 120), 300, 300) == (70, 80, 130, 140)


def test_a_small_box_gets_48_pixels_and_one_at_the_border_stays_inside() -> None:
    assert focal_box((0, 0, 4, 4), 300, 300) == (0, 0, 48, 48)
    assert focal_box((290, 10, 300, 20), 300, 40) == (252, 0, 300, 40)


@given(sides, sides, st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_any_box_gives_a_crop_with_pixels_inside_the_image(width: int, height: int, x: float, y: float, w: float, h: float) -> None:
    box = (x * width, y * height, min(width, (x + w) * width), min(height, (y + h) * height))
    x0, y0, x1, y1 = focal_box(box, width, height)
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height


def test_the_crop_is_the_boxs_pixels() -> None:
    image = Image.new("RGB", (100, 100), "white")
    image.paste((255, 0, 0), (40, 40, 60, 60))
    crop = focal_crop(image, (40, 40, 60, 60))
    assert crop.size == (60, 60)
    assert crop.getpixel((30, 30)) == (255, 0, 0)
    assert crop.getpixel((5, 5)) == (255, 255, 255)
