"""Images as a stage sees them, without a corpus."""

from typing import Any

from PIL import Image as PillowImage

from schemas.rows import CorpusRow, Row
from stages.base import Image


def image_of(key: str, *upstream: Row, pixels: PillowImage.Image | None = None, **corpus: Any) -> Image:
    """An image with the rows of the stages upstream; `corpus` are fields of its row of the corpus."""
    row = CorpusRow(key=key, path="shard.tar", offset=0, size=0, **corpus)
    return Image(row, pixels, {type(above): above for above in upstream})
