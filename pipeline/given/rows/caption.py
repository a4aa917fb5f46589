"""A given caption to a row of the stage caption. The texts stay as they are: spans count their characters."""

from collections.abc import Mapping
from typing import Any

from pipeline.given.boxes import Frame
from pipeline.given.checks import Refused, optional_text
from pipeline.given.params import GivenParams
from schemas.rows import CaptionRow
from stages.base import Image


def caption_row(image: Image, content: Mapping[str, Any], _params: GivenParams, _frame: Frame | None) -> CaptionRow:
    """Raises: Refused where neither caption is there, or one is no text."""
    long, short = optional_text(content, "long"), optional_text(content, "short")
    if long is None and short is None:
        raise Refused("missing_field", "neither 'long' nor 'short'")
    return CaptionRow(
        key=image.key,
        origin="given",
        long=long,
        short=short,
        alt=image.alt,
        num_words_long=len((long or "").split()),
        num_words_short=len((short or "").split()),
        width=image.width,
        height=image.height,
    )
