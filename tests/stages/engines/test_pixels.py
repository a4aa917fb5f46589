"""The pixel budget of an engine."""

from PIL import Image

from stages.engines.pixels import shrink


def test_shrinking_keeps_the_aspect_and_never_enlarges() -> None:
    image = Image.new("RGB", (400, 100))
    small = shrink(image, 10_000)
    assert small.size == (200, 50)
    assert shrink(small, 10_000) is small
    assert shrink(Image.new("RGB", (5_000, 1)), 100).size[1] == 1
