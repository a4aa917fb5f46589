"""How a region is shown to a captioner: its focal crop, small ones enlarged. Knows boxes and pixels, no models."""

from dataclasses import dataclass

from PIL import Image

from schemas.boxes import Box
from stages.regions.crops import focal_box, focal_crop, upscaled


@dataclass(frozen=True)
class Focus:
    """`scale` times the box, at least `min_side_px` of the image, enlarged so that the shorter side has `shown_side_px`."""

    scale: float = 3.0
    min_side_px: int = 48
    shown_side_px: int = 224

    def crop(self, image: Image.Image, xyxy: Box) -> Image.Image:
        """The pixels that are shown: enlarged where few, so that one patch of a model's eye does not hold the whole thing."""
        return upscaled(focal_crop(image, xyxy, scale=self.scale, min_side_px=self.min_side_px), self.shown_side_px)

    def is_padded(self, xyxy: Box, width: int, height: int) -> bool:
        """Whether the crop reaches beyond the image, of that width and height."""
        x0, y0, x1, y1 = focal_box(xyxy, width, height, scale=self.scale, min_side_px=self.min_side_px)
        return x0 < 0 or y0 < 0 or x1 > width or y1 > height

    def shown_side(self, xyxy: Box, width: int, height: int) -> float:
        """The box's shorter side in pixels of the crop as shown. `width` and `height` are the image's."""
        x0, y0, x1, y1 = focal_box(xyxy, width, height, scale=self.scale, min_side_px=self.min_side_px)
        return min(xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]) * max(1.0, self.shown_side_px / min(x1 - x0, y1 - y0))


@dataclass(frozen=True)
class FocalCut:
    """A box's crop as it is shown, to be cut wherever the pixels are."""

    focus: Focus
    xyxy: Box

    def __call__(self, image: Image.Image) -> Image.Image:
        return self.focus.crop(image, self.xyxy)
