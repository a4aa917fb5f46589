"""A sample of a set that is too large to be audited whole: by content, so that it does not depend on order. Knows no probe."""

import hashlib
import heapq
from collections.abc import Iterable
from itertools import chain

from schemas.audit import AuditItem


def sampled(items: Iterable[AuditItem], max_items: int) -> tuple[list[AuditItem], int]:
    """All entries of at most `max_items` distinct items, those with the smallest digests, and how many entries there were.

    Holds no more than the sample in memory. An item that occurs on several images brings all its entries.
    """
    kept: dict[int, list[AuditItem] | AuditItem] = {}
    largest: list[int] = []
    num_entries = 0
    for item in items:
        num_entries += 1
        digest = _digest(item)
        there = kept.get(digest)
        if there is not None:
            kept[digest] = [*there, item] if isinstance(there, list) else [there, item]
        elif len(kept) < max_items:
            kept[digest] = item
        else:
            if not largest:
                largest = [-known for known in kept]
                heapq.heapify(largest)
            if digest < -largest[0]:
                del kept[-heapq.heapreplace(largest, -digest)]
                kept[digest] = item
    return list(chain.from_iterable(entry if isinstance(entry, list) else (entry,) for entry in kept.values())), num_entries


def _digest(item: AuditItem) -> int:
    text = "\0".join((item.positive, *item.negatives))
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())
