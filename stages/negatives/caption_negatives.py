"""Candidates of the long caption: places and counts that boxes refute, and the regions' own edits at the words that name them.

A topic file of hard_negative: rows and texts in, candidates out. Knows no engine.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from schemas.rows import CAPTION, Negative, RegionNegatives, SelectRow
from stages.negatives.compose import Place, composed, drawn_evenly, placed
from stages.negatives.edits import Known
from stages.negatives.geometry import moved, recounted
from stages.words.phrases import chunk_phrases
from stages.words.values import values_in


def caption_negatives(
    caption: str, select: SelectRow, edits: Mapping[int, Sequence[Negative]], known: Mapping[int, Known], limit: int, draw: random.Random
) -> RegionNegatives:
    """At most `limit` candidates: half change one slot, types in turn, a quarter two and a quarter three.

    `edits` and `known` hold each region's accepted edits of one slot and what is true of it. A region is edited where one phrase names
    it alone; an edit that is true of another thing of that noun is refused.
    """
    rejects: Counter[str] = Counter()
    singles = [*moved(caption, select.regions, select.width or 1, select.height or 1), *recounted(caption, select.regions)]
    places = _places(caption, select, known)
    for region, negatives in edits.items():
        for negative in negatives:
            made = placed(negative, caption, places[region]) if region in places else "not_in_caption"
            if isinstance(made, str):
                rejects[made] += 1
            else:
                singles.append(made)
    distinct = list({negative.text.lower(): negative for negative in singles}.values())
    rejects["duplicate"] += len(singles) - len(distinct)
    chosen, num_left = drawn_evenly(distinct, limit - limit // 2, draw)
    rejects["surplus"] += num_left
    several = [*composed(distinct, caption, 2, (limit // 2 + 1) // 2, draw), *composed(distinct, caption, 3, limit // 4, draw)]
    negatives = [*chosen, *several]
    counted = {reason: number for reason, number in sorted(rejects.items()) if number}
    return RegionNegatives(
        region=CAPTION, positive=caption, negatives=negatives, num_proposed=len(negatives) + sum(counted.values()), rejects=counted
    )


def _places(caption: str, select: SelectRow, known: Mapping[int, Known]) -> dict[int, Place]:
    """Where the caption names each region that its phrase means alone."""
    chunks = [chunk for chunk in chunk_phrases(caption) if chunk.start is not None and chunk.end is not None]
    places = {}
    for i, region in enumerate(select.regions):
        start, end = region.start, region.end
        if start is None or end is None or region.num_boxes != 1 or caption[start:end] != region.phrase:
            continue
        others = [
            chunk for chunk in chunks if chunk.end is not None and chunk.start is not None and (chunk.end <= start or chunk.start >= end)
        ]
        same = [j for j, other in enumerate(select.regions) if j != i and other.head == region.head]
        values = [value for j in same for value in (known[j].values if j in known else values_in(select.regions[j].phrase))]
        values += [value for chunk in others if chunk.head == region.head for value in values_in(chunk.text)]
        heads = {chunk.head for chunk in others} | {other.head for other in select.regions}
        places[i] = Place(start, end, region.head, tuple(dict.fromkeys(values)), frozenset(heads))
    return places
