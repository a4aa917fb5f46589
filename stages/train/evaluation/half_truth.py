"""Half-truths: a true short text of an image beside the same text with one unit made false by an edit. Knows no losses.

Source: the protocol of pairs that differ in one unit, of work on half-truths in similarity retrieval; the edits are the data set's own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from stages.train.evaluation.features import Encoder, Seen, SeenRegion
from stages.train.evaluation.scores import TIE, choice_figures, unmeasured


@runtime_checkable  # the tests check arguments
class _Texts(Protocol):
    short: list[str | None]
    regions: list[SeenRegion]


@dataclass(frozen=True)
class Pair:
    """A true text of an image, the same with one unit made false, and the true one without that unit."""

    image: int
    true: str
    false: str
    without: str
    kind: str


def pairs(seen: _Texts) -> Iterator[Pair]:
    """One for each negative of a box: its expression within the short caption where that names it, else joined to it.

    Whole words are exchanged, once; a short caption that already says what the negative says is passed over.
    """
    for region in seen.regions:
        short = seen.short[region.image]
        if not short:
            continue
        named = re.search(rf"(?<!\w){re.escape(region.positive)}(?!\w)", short, re.IGNORECASE)
        for text, kind in region.negatives:
            if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", short, re.IGNORECASE):
                continue
            base = short.rstrip(" .")
            if named:
                yield Pair(region.image, short, short[: named.start()] + text + short[named.end() :], "", kind)
            else:
                yield Pair(region.image, f"{base}, with {region.positive}", f"{base}, with {text}", short, kind)


def half_truths(encoder: Encoder, seen: Seen) -> dict[str, Any]:
    """`half_truth`: how often the image is nearer to the true text than to the half-true one. `half_truth_added`: how often it is
    nearer to the shorter, wholly true text than to that with a false unit added. Blind: the mean of all images."""
    found_pairs = list(pairs(seen))
    if not found_pairs:
        nothing = unmeasured("no short caption with a box that has negatives")
        return {"half_truth": nothing, "half_truth_added": nothing}
    image_ID = np.stack(seen.image_ND)
    mean_D = image_ID.mean(0)
    figures = {}
    for name, left in (("half_truth", "true"), ("half_truth_added", "without")):
        kept = [pair for pair in found_pairs if getattr(pair, left)]
        if not kept:
            figures[name] = unmeasured("each short caption names its boxes")
            continue
        difference_PD = encoder.texts([getattr(pair, left) for pair in kept]) - encoder.texts([pair.false for pair in kept])
        images = [pair.image for pair in kept]
        hits, blind = (image_ID[images] * difference_PD).sum(1) > TIE, difference_PD @ mean_D > TIE
        possible = int((np.abs(difference_PD).max(1) > TIE).sum())
        figures[name] = {**choice_figures(hits, blind, images), "can_be_right": possible}
    return figures
