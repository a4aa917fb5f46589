"""Features of many images, boxes and texts, for evaluation: no gradients, each distinct text once. Knows no figures.

Axes: N images or texts, D features.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from schemas.dataset import ExportRecord
from stages.train.data.batch import Sample, stacked
from stages.train.data.samples import SampleMaker
from stages.train.data.texts import LONG, SHORT
from stages.train.evaluation.scores import Floats
from stages.train.model.base import FgModel

Thing = TypeVar("Thing")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class SeenRegion:
    """A box, the image it is of, its expression, and the negatives of it with their edit types."""

    image: int
    positive: str
    negatives: tuple[tuple[str, str], ...]


@dataclass
class Seen:
    """What is known of the images of a data set after the image tower has seen them. Unreadable images are left out."""

    image_ND: list[Float32[np.ndarray, " D"]] = field(default_factory=list)
    long: list[str | None] = field(default_factory=list)
    short: list[str | None] = field(default_factory=list)
    regions: list[SeenRegion] = field(default_factory=list)
    region_ND: list[Float32[np.ndarray, " D"]] = field(default_factory=list)
    num_unreadable: int = 0


class Encoder:
    """A model that is only read."""

    def __init__(self, model: FgModel, tokenizer: Any, device: str = "cpu", batch_size: int = 64) -> None:
        self.model = model.to(device).eval()
        self.packer = model.packer(tokenizer)
        self.device, self.batch_size = torch.device(device), batch_size
        self._texts: dict[tuple[int, str], Floats] = {}

    @torch.inference_mode()
    def images(
        self, pixels: Sequence[UInt8[Tensor, "3 _ _"]], boxes: Sequence[Sequence[Box]] | None = None
    ) -> tuple[Float32[np.ndarray, "N D"], list[Float32[np.ndarray, "_ D"]]]:
        """Features of the images (N, D), and of the boxes of each (its boxes, D)."""
        boxes = boxes or [()] * len(pixels)
        width = max((len(some) for some in boxes), default=0)
        boxes_NR4 = torch.zeros((len(pixels), width, 4))
        for number, some in enumerate(boxes):
            boxes_NR4[number, : len(some)] = torch.tensor(some, dtype=torch.float32).reshape(-1, 4)
        stack, grid_N2 = stacked([Sample("", image) for image in pixels], self.model.patch_size)
        image_ND, region_NRD = self.model.encode_images(
            stack.to(self.device), boxes_NR4.to(self.device), None if grid_N2 is None else grid_N2.to(self.device)
        )
        features: Floats = image_ND.cpu().numpy()
        return features, [region_NRD[number, : len(some)].cpu().numpy() for number, some in enumerate(boxes)]

    @torch.inference_mode()
    def texts(self, texts: Sequence[str], is_long: bool = False, of_box: bool = False) -> Float32[np.ndarray, "N D"]:
        """Features of the texts (N, D). A text that was asked for before has the very same feature."""
        kind = self.packer.box_kind if of_box else LONG if is_long else SHORT
        new = list(dict.fromkeys(text for text in texts if (kind, text) not in self._texts))
        for some in _portions(new, self.batch_size * 4):
            packed, places = self.packer.pack([(kind, text) for text in some])
            feature_ND = self.model.encode_texts(packed.to(self.device))[places].cpu().numpy()
            self._texts.update({(kind, text): feature for text, feature in zip(some, feature_ND, strict=True)})
        return np.stack([self._texts[kind, text] for text in texts])

    def see(self, images: Iterable[tuple[bytes, ExportRecord]], maker: SampleMaker) -> Seen:
        """The image tower's view of exported images, as the maker reads them."""
        seen = Seen()

        def samples_of() -> Iterator[Sample]:
            for content, record in images:
                sample = maker.sample(content, record, 0)
                seen.num_unreadable += not sample.is_readable
                yield sample

        samples = samples_of()
        for some in _portions((sample for sample in samples if sample.long or sample.short or sample.regions), self.batch_size):
            image_ND, region_ND = self.images(
                [sample.pixels_CHW for sample in some], [[box.xyxy for box in sample.regions] for sample in some]
            )
            for shown, feature_D, of_regions in zip(some, image_ND, region_ND, strict=True):
                for box in shown.regions:
                    negatives = tuple((text, kind) for text, kind, _ in box.negatives)
                    seen.regions.append(SeenRegion(len(seen.image_ND), box.positive or "", negatives))
                seen.image_ND.append(feature_D)
                seen.long.append(shown.long)
                seen.short.append(shown.short)
                seen.region_ND.extend(of_regions)
        return seen


def _portions(items: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    portion: list[Thing] = []
    for item in items:
        portion.append(item)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion
