"""Images that resemble a benchmark's: perceptual hashes, and the user's list of those to keep out. Knows no index and no shard."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus.params import CorpusError, CorpusParams, digest
from pipeline.corpus.pixels import Problem, decode
from pipeline.storage import Storage

RESEMBLES = "resembles_benchmark"
_DIGITS = 16  # 64 bits
_BLOCK = 4096


@dataclass(frozen=True)
class Benchmarks:
    """The hashes of a list, and how many bits an image may differ from one and still resemble it."""

    hashes: NDArray[np.uint64]
    max_distance: int
    digest: str

    def nearest(self, hashes: NDArray[np.uint64]) -> list[tuple[str, int] | None]:
        """For each hash the closest of the list and its distance in bits; None where none is within `max_distance`."""
        closest: list[tuple[str, int] | None] = []
        for start in range(0, len(hashes), _BLOCK):
            part = hashes[start : start + _BLOCK]
            best, least = np.zeros(len(part), dtype=np.int64), np.full(len(part), _DIGITS * 4 + 1)
            for known in range(0, len(self.hashes), _BLOCK):
                distances = np.bitwise_count(part[:, None] ^ self.hashes[None, known : known + _BLOCK])
                columns = distances.argmin(axis=1)
                bits = distances[np.arange(len(part)), columns].astype(np.int64)
                best, least = np.where(bits < least, columns + known, best), np.minimum(bits, least)
            pairs = zip(best.tolist(), least.tolist(), strict=True)
            closest += [(f"{int(self.hashes[i]):016x}", bits) if bits <= self.max_distance else None for i, bits in pairs]
        return closest


def read_benchmarks(params: CorpusParams) -> Benchmarks | None:
    """The list that the corpus names: the first word of each line is a hash, `#` begins a comment. None: it names none.

    Raises: CorpusError where the list is not there, is empty, or holds what is no 64-bit hash in hexadecimal digits.
    """
    place = params.benchmark_hashes
    if place is None:
        return None
    folder, _, name = place.rpartition("/")
    storage = Storage(folder or "/")
    if not storage.exists(name):
        raise CorpusError(f"corpus.benchmark_hashes: {place}: no such file; `fgdata hashes FOLDER --out FILE` writes one")
    hashes = []
    for number, line in enumerate(storage.read(name).decode("utf-8", errors="replace").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            hashes.append(_hash(words[0], f"corpus.benchmark_hashes: {place} line {number}"))
    if not hashes:
        raise CorpusError(f"corpus.benchmark_hashes: {place} holds no hash")
    known = np.unique(np.array(hashes, dtype=np.uint64))
    return Benchmarks(known, params.benchmark_max_distance, digest([[int(number) for number in known], params.benchmark_max_distance]))


def hash_bytes(data: bytes, max_pixels: int) -> str | None:
    """The perceptual hash of an encoded image, upright: 16 hexadecimal digits as the library imagehash prints its phash; None: no pixels.

    Raises: CorpusError where imagehash is not installed.
    """
    pixels = decode(data, max_pixels)
    return None if isinstance(pixels, Problem) else str(_library().phash(pixels))


def as_bits(hashes: list[str]) -> NDArray[np.uint64]:
    """Hexadecimal hashes as numbers."""
    return np.array([int(digits, 16) for digits in hashes], dtype=np.uint64)


def _hash(word: str, where: str) -> int:
    try:
        value = int(word, 16)
    except ValueError as error:
        raise CorpusError(f"{where}: '{word[:40]}' is no hexadecimal hash") from error
    if len(word) != _DIGITS:
        raise CorpusError(f"{where}: '{word[:40]}' has {len(word)} digits; a 64-bit hash has {_DIGITS} (imagehash.phash with hash_size 8)")
    return value


def _library() -> Any:
    try:
        import imagehash
    except ImportError as error:
        raise CorpusError(
            "corpus.benchmark_hashes and corpus.near_duplicates need the package imagehash; pip install 'fgdata[benchmarks]'"
        ) from error
    return imagehash
