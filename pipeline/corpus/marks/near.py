"""Near-duplicates by perceptual hash: which image resembles one that came before and stays. Knows no file and no index."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_DISTANCE = 3  # of 64 bits. Of two hashes so near, one of four bands of 16 bits is the same
_BANDS = 4
_BATCH = 2**14
_PAIRS_AT_ONCE = 2**21


@dataclass(frozen=True)
class Near:
    """The image that one resembles, and in how many bits the two hashes differ."""

    name: str
    bits: int


class KeptHashes:
    """The hashes of the images that stay, in order; about 100 bytes an image with its name."""

    def __init__(self, max_distance: int = MAX_DISTANCE) -> None:
        self._distance = max_distance
        self._segments: list[_Segment] = []
        self._names, self._ends = bytearray(), array("q", [0])

    def keep(self, hashes: NDArray[np.uint64], names: Sequence[str]) -> None:
        """Enter images that stay without being compared."""
        if len(hashes):
            self._add(hashes, names)

    def take(self, hashes: NDArray[np.uint64], names: Sequence[str]) -> list[Near | None]:
        """For each image, in order, the first of those before it that stays and is near enough; None: there is none, and it stays."""
        nearest: list[Near | None] = []
        for start in range(0, len(hashes), _BATCH):
            nearest += self._take(hashes[start : start + _BATCH], names[start : start + _BATCH])
        return nearest

    def _take(self, hashes: NDArray[np.uint64], names: Sequence[str]) -> list[Near | None]:
        unique, first, place = np.unique(hashes, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")  # the distinct hashes as they came
        came, rank = unique[order], np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        earlier = self._nearest_kept(came)
        leader = _leaders(came, earlier >= 0, self._distance)
        first_place, kept = first[order].tolist(), earlier.tolist()
        nearest: list[Near | None] = []
        for number, each in enumerate(rank[place].tolist()):
            if kept[each] >= 0:
                nearest.append(Near(self._name(kept[each]), int(np.bitwise_count(came[each] ^ self._hash(kept[each])))))
            elif leader[each] != each or first_place[each] != number:
                other = leader[each]
                nearest.append(Near(names[first_place[other]], int(np.bitwise_count(came[each] ^ came[other]))))
            else:
                nearest.append(None)
        stays = np.array([each is None for each in nearest], dtype=bool)
        if stays.any():
            self._add(hashes[stays], [name for name, stay in zip(names, stays.tolist(), strict=True) if stay])
        return nearest

    def _nearest_kept(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """For each hash the number of the first kept image within the distance; -1 without one."""
        best = np.full(len(hashes), np.iinfo(np.int64).max)
        for segment in self._segments:
            for given, kept in segment.near(hashes, self._distance):
                np.minimum.at(best, given, kept + segment.start)
        return np.where(best == np.iinfo(np.int64).max, -1, best)

    def _add(self, hashes: NDArray[np.uint64], names: Sequence[str]) -> None:
        segment = _Segment(len(self._ends) - 1, hashes.copy())
        for name in names:
            self._names += name.encode()
            self._ends.append(len(self._names))
        while self._segments and len(self._segments[-1].hashes) <= 2 * len(segment.hashes):
            before = self._segments.pop()
            segment = _Segment(before.start, np.concatenate([before.hashes, segment.hashes]))
        self._segments.append(segment)

    def _name(self, number: int) -> str:
        return self._names[self._ends[number] : self._ends[number + 1]].decode()

    def _hash(self, number: int) -> np.uint64:
        segment = next(each for each in reversed(self._segments) if each.start <= number)
        return segment.hashes[number - segment.start]  # type: ignore[no-any-return]  # numpy types one element as Any


class _Segment:
    """Consecutive kept hashes, sorted by each band."""

    def __init__(self, start: int, hashes: NDArray[np.uint64]) -> None:
        self.start, self.hashes = start, hashes
        bands = [_band(hashes, number) for number in range(_BANDS)]
        self.orders = [np.argsort(band, kind="stable").astype(np.int32) for band in bands]
        # Where each of a band's values begins in its order.
        self.starts = [np.concatenate([[0], np.cumsum(np.bincount(band, minlength=2**16))]).astype(np.int64) for band in bands]

    def near(self, hashes: NDArray[np.uint64], distance: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs of places, of a given hash and of one in here, that differ in `distance` bits at most."""
        for number in range(_BANDS):
            asked = _band(hashes, number)
            low = self.starts[number][asked]
            counts = self.starts[number][asked.astype(np.int64) + 1] - low
            for given, offset in _expanded(low, counts):
                kept = self.orders[number][offset].astype(np.int64)
                is_near = np.bitwise_count(hashes[given] ^ self.hashes[kept]) <= distance
                if is_near.any():
                    yield given[is_near], kept[is_near]


def _leaders(hashes: NDArray[np.uint64], is_gone: NDArray[np.bool_], distance: int) -> list[int]:
    """For each of distinct hashes in order the first that stays and is near; itself where it stays or resembles an earlier image."""
    pairs: dict[int, list[int]] = {}
    for given, other in _Segment(0, hashes).near(hashes, distance):
        is_before = other < given
        for later, before in zip(given[is_before].tolist(), other[is_before].tolist(), strict=True):
            pairs.setdefault(later, []).append(before)
    leader = list(range(len(hashes)))
    for later in sorted(pairs):
        if not is_gone[later]:
            leader[later] = next(
                (candidate for candidate in sorted(pairs[later]) if leader[candidate] == candidate and not is_gone[candidate]), later
            )
    return leader


def _expanded(low: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of ranges their members one by one: the range's place and the member, in parts that fit the memory."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, "right")))
        range_of = np.repeat(np.arange(start, stop), counts[start:stop])
        inner = np.arange(len(range_of)) - np.repeat(ends[start:stop] - counts[start:stop] - done, counts[start:stop])
        yield range_of, low[range_of] + inner
        start = stop


def _band(hashes: NDArray[np.uint64], number: int) -> NDArray[np.uint16]:
    return (hashes >> np.uint64(16 * number)).astype(np.uint16)
