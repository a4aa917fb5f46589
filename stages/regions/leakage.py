"""Does a region's text come from its pixels? Which regions are asked again with another region's crop, and whose.

A captioner that writes from the noun, or from the caption's phrase in its question, gives the same text whatever the
crop. Knows texts and keys; asks nobody.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.rows import RegionCaption
from stages.words.expressions import look


@dataclass(frozen=True)
class Captioned:
    """A region that has a short expression, by its image's place in the unit."""

    position: int
    key: str
    region: RegionCaption

    @property
    def look(self) -> str:
        return look(self.region.short or "", self.region.head)


def swaps(captioned: Sequence[Captioned], share: float) -> Iterator[tuple[Captioned, Captioned]]:
    """For the sampled regions, each with the region whose crop it is asked about.

    The sample goes by digest of key and region alone: two prompts over one corpus are probed on the same regions. The
    partner's own text must say another look, else the same answer would be right; one of the same noun comes first, then
    one of another image, then the smallest digest. A region without such a partner in the unit is not probed.
    """
    for own in captioned:
        if _share(f"leakage/{own.key}/{own.region.region}") >= share:
            continue
        others = [other for other in captioned if other.look != own.look]
        if others:
            yield own, min(others, key=lambda other: _preference(own, other))


def _preference(own: Captioned, other: Captioned) -> tuple[bool, bool, str]:
    pair = f"{own.key}/{own.region.region}/{other.key}/{other.region.region}"
    return other.region.head != own.region.head, other.key == own.key, hashlib.sha256(pair.encode()).hexdigest()


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
