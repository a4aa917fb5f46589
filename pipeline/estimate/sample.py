"""A sample of a corpus drawn over all its shards and all sizes of its files, and how many images the whole holds. Runs nothing."""

import dataclasses
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.config.model import Config, ConfigError
from pipeline.corpus.discover import discover
from pipeline.corpus.formats.base import ShardFile
from pipeline.corpus.formats.table import FORMATS
from pipeline.corpus.index import index_shard
from pipeline.corpus.store import Footer, read_all, read_footers
from pipeline.storage import Storage
from schemas.rows import CorpusRow

# Of so many shards all members are read at most; each may hold gigabytes.
_MOST_SHARDS, _MOST_INDEXED = 16, 64
_GOLDEN = 0.618033988749895
_RESAMPLES = 200

Member = TypeVar("Member")


@dataclass(frozen=True)
class Sample:
    """The images drawn, in random order, and what the corpus holds: images that can be run, with bounds, their bytes, its shards."""

    rows: Sequence[CorpusRow]
    num_images: float
    num_images_low: float
    num_images_high: float
    num_shards: int


def draw(config: Config, num: int, seed: int = 0) -> Sample:
    """`num` images of the corpus, of each shard that is looked at its share, evenly over the sizes of their files.

    Where the run has indexed its corpus already the index is read; else up to 16 shards are, whole.

    Raises: CorpusError where there is no corpus; ConfigError where none of its images can be run, or has pixels.
    """
    shards = sorted(discover(config.corpus), key=lambda shard: shard.location)
    workdir = Storage(config.workdir)
    footers = {key: footer for key, footer in read_footers(workdir).items() if key in {shard.shard_id for shard in shards}}
    weights = _weights(shards, footers)
    chosen = _chosen(weights, min(num, _MOST_INDEXED if len(footers) == len(shards) else _MOST_SHARDS))
    rows = {place: _rows(config, workdir, shards[place], footers, num) for place in chosen}
    if not any(row.has_pixels for of_shard in rows.values() for row in of_shard):
        raise ConfigError(f"{config.corpus.path}: no image with pixels in {len(chosen)} shards that were looked at")
    quotas = _quotas({place: float(len(of_shard)) for place, of_shard in rows.items()}, num)
    drawn = [row for turn, place in enumerate(chosen) for row in _spread(rows[place], quotas[place], turn * _GOLDEN % 1)]
    random.Random(seed).shuffle(drawn)
    counts = {place: (float(len(of_shard)), weights[place]) for place, of_shard in rows.items()}
    return Sample(drawn, *_total(counts, sum(weights), seed), len(shards))


def _weights(shards: Sequence[ShardFile], footers: Mapping[str, Footer]) -> list[float]:
    """How much each shard holds: images where all are known, else files or bytes."""
    if len(footers) == len(shards):
        return [float(sum(unit.num_rows for unit in footers[shard.shard_id].units)) for shard in shards]
    return [float(len(shard.files) or shard.size_bytes or 1) for shard in shards]


def _chosen(weights: Sequence[float], num: int) -> list[int]:
    """Places of at most `num` shards that stand at even distances along the corpus, large ones sooner than small ones."""
    if len(weights) <= num:
        return [place for place, weight in enumerate(weights) if weight]
    step = sum(weights) / num
    chosen: list[int] = []
    passed = 0.0
    for place, weight in enumerate(weights):
        if passed + weight >= (len(chosen) + 0.5) * step and len(chosen) < num:
            chosen.append(place)
        passed += weight
    return chosen


def _rows(config: Config, workdir: Storage, shard: ShardFile, footers: Mapping[str, Footer], num: int) -> list[CorpusRow]:
    """The images of a shard that can be run."""
    if shard.shard_id in footers:
        rows = read_all(workdir, shard.shard_id)
    else:
        is_group = FORMATS[shard.format].grows
        files = _spread(shard.files, min(num, len(shard.files)), 0.5) if is_group else shard.files
        rows = list(index_shard(config.corpus, dataclasses.replace(shard, files=tuple(files))).rows)
    return [row for row in rows if row.status == "ok"]


def _quotas(sizes: Mapping[int, float], num: int) -> dict[int, int]:
    """Each shard's part of the sample, by the method of largest remainders."""
    total = sum(sizes.values())
    num = min(num, int(total))
    exact = {place: size * num / total for place, size in sizes.items()}
    quotas = {place: int(share) for place, share in exact.items()}
    for place in sorted(exact, key=lambda place: (quotas[place] - exact[place], place))[: num - sum(quotas.values())]:
        quotas[place] += 1
    return quotas


def _spread(members: Sequence[Member], num: int, start: float) -> list[Member]:
    """`num` of them at even distances by size."""
    ordered = sorted(members, key=lambda member: (_size_of(member), repr(member)))
    return [ordered[min(len(ordered) - 1, int((i + start) * len(ordered) / num))] for i in range(num)]


def _size_of(member: object) -> int:
    return int(getattr(member, "size", 0) or getattr(member, "size_bytes", 0) or 0)


def _total(counts: Mapping[int, tuple[float, float]], weight: float, seed: int) -> tuple[float, float, float]:
    """Images that can be run in all, with 95 % bounds: those of the shards looked at, by weight."""
    pairs = list(counts.values())
    ratio = sum(num for num, _ in pairs) / sum(part for _, part in pairs)
    if abs(weight - sum(part for _, part in pairs)) < 0.5:
        return ratio * weight, ratio * weight, ratio * weight
    rng = random.Random(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        again = rng.choices(pairs, k=len(pairs))
        drawn.append(sum(num for num, _ in again) / sum(part for _, part in again) * weight)
    cuts = statistics.quantiles(drawn, n=40)
    return ratio * weight, cuts[0], cuts[-1]
