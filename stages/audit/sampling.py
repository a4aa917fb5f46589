"""A sample of a set that is too large to be audited whole: by content, so that it does not depend on order. Knows no probe."""

import hashlib
import heapq
import marshal
from collections.abc import Iterable, Iterator
from itertools import chain

from schemas.audit import AuditItem

_FIELDS = ("positive", "negatives", "image", "noun", "types")


def sampled(items: Iterable[AuditItem], max_items: int) -> tuple[list[bytes], int]:
    """All entries of at most `max_items` distinct items, those with the smallest digests, and how many entries there were.

    Holds no more than the sample in memory, packed: an item as an object takes three times as much. `unpacked` gives them back. An item
    that occurs on several images brings all its entries.
    """
    kept: dict[int, list[bytes] | bytes] = {}
    largest: list[int] = []
    num_entries = 0
    for item in items:
        num_entries += 1
        digest, packed = _digest(item), _packed(item)
        there = kept.get(digest)
        if there is not None:
            kept[digest] = [*there, packed] if isinstance(there, list) else [there, packed]
        elif len(kept) < max_items:
            kept[digest] = packed
        else:
            if not largest:
                largest = [-known for known in kept]
                heapq.heapify(largest)
            if digest < -largest[0]:
                del kept[-heapq.heapreplace(largest, -digest)]
                kept[digest] = packed
    return list(chain.from_iterable(entry if isinstance(entry, list) else (entry,) for entry in kept.values())), num_entries


def unpacked(packed: list[bytes]) -> Iterator[AuditItem]:
    """The items, each taken from the list, which is empty in the end."""
    packed.reverse()
    while packed:
        yield AuditItem.model_construct(**dict(zip(_FIELDS, marshal.loads(packed.pop()), strict=True)))  # noqa: S302  # packed here


def _packed(item: AuditItem) -> bytes:
    return marshal.dumps(tuple(getattr(item, name) for name in _FIELDS))


def _digest(item: AuditItem) -> int:
    text = "\0".join((item.positive, *item.negatives))
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())
