"""Which images a reader reads in an epoch, and in which order: a function of (seed, epoch, rank, worker). Pure; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.train.config import TrainError

ORDER_VERSION = 2  # raised where the same settings give another order: an older checkpoint then goes on in another one
Place = tuple[int, int]  # number of the shard in the manifest, index of the image in it


@dataclass(frozen=True)
class Reader:
    """One of the equal readers of a data set: worker `worker` of process `rank`."""

    rank: int = 0
    num_processes: int = 1
    worker: int = 0
    num_workers: int = 1

    @property
    def number(self) -> int:
        return self.rank * self.num_workers + self.worker

    @property
    def num_readers(self) -> int:
        return self.num_processes * self.num_workers


def batches_per_epoch(num_images: int, num_readers: int, batch_size: int) -> int:
    """Batches that each reader makes of an epoch; the same for all, so that no process waits for another's last batch.

    Raises: TrainError where there are too few images for a batch each.
    """
    num_batches = num_images // num_readers // batch_size
    if num_batches == 0:
        raise TrainError(
            f"the data set has {num_images} images: too few for {num_readers} readers (processes x workers) of batch_size {batch_size}; "
            "lower batch_size or workers"
        )
    return num_batches


def epoch_order(shard_sizes: Sequence[int], reader: Reader, batch_size: int, seed: int, epoch: int, shuffle_buffer: int) -> list[Place]:
    """The places that a reader reads in an epoch, whole batches, in the order in which it gives them out.

    All images are laid in a circle, shard after shard in an order drawn for the epoch, and cut at a drawn place; each reader takes an
    equal contiguous part (a shard may be cut between two) and mixes it as with a buffer of `shuffle_buffer` images, so that it holds
    no more than those. What is left of each part, less than a batch, lies elsewhere in each epoch.
    """
    total = sum(shard_sizes)
    num_images = batches_per_epoch(total, reader.num_readers, batch_size) * batch_size
    shards, cut = _circle(shard_sizes, seed, epoch)
    first = (cut + reader.number * (total // reader.num_readers)) % total
    spans = [(first, min(first + num_images, total)), (0, max(0, first + num_images - total))]
    places: list[Place] = []
    for begin, end in spans:
        at = 0
        for shard in shards:
            size = shard_sizes[shard]
            low, high = max(begin - at, 0), min(end - at, size)
            places += [(int(shard), index) for index in range(low, high)]
            at += size
    return _mixed(places, shuffle_buffer, np.random.default_rng([seed, epoch, reader.rank, reader.worker]))


def epoch_seam(shard_sizes: Sequence[int], seed: int, epoch: int) -> Place:
    """Where an epoch's circle is cut: of this shard the images before that index come last, in a second pass over its file."""
    shards, cut = _circle(shard_sizes, seed, epoch)
    for shard in shards:
        if cut < shard_sizes[shard]:
            return int(shard), cut
        cut -= shard_sizes[shard]
    raise AssertionError("the cut lies within the circle")


def _circle(shard_sizes: Sequence[int], seed: int, epoch: int) -> tuple[list[int], int]:
    """The shards of an epoch in their order, and the image at which it begins."""
    drawn = np.random.default_rng([seed, epoch])
    shards = drawn.permutation(len(shard_sizes)).tolist()
    return shards, int(drawn.integers(sum(shard_sizes)))


def _mixed(places: list[Place], buffer_size: int, rng: np.random.Generator) -> list[Place]:
    """A buffer is filled, then for each image that comes in a drawn one goes out."""
    buffer, mixed = places[:buffer_size], []
    draws = rng.random(len(places))
    for number, place in enumerate(places[buffer_size:]):
        drawn = int(draws[number] * len(buffer))
        mixed.append(buffer[drawn])
        buffer[drawn] = place
    rng.shuffle(buffer)
    return mixed + buffer


def with_groups_together(order: Sequence[Place], groups_of: Mapping[Place, Sequence[str]], batch_size: int, window: int) -> list[Place]:
    """The same places in batches that bring the members of a group together, as far as they lie within `window` of each other and fit.

    Each batch takes the next place in order, then the waiting members of the groups it has, then the next place, and so on.
    """
    if not groups_of:
        return list(order)
    waiting = list(order)
    arranged: list[Place] = []
    while waiting:
        near, taken = waiting[:window], set[int]()
        members: dict[str, list[int]] = {}
        for number, place in enumerate(near):
            for group in groups_of.get(place, ()):
                members.setdefault(group, []).append(number)
        batch: list[int] = []
        for start in range(len(near)):
            pulled = [start]
            while pulled and len(batch) < batch_size:
                number = pulled.pop(0)
                if number not in taken:
                    taken.add(number)
                    batch.append(number)
                    pulled += [other for group in groups_of.get(near[number], ()) for other in members[group] if other not in taken]
            if len(batch) == batch_size:
                break
        arranged += [near[number] for number in batch]
        waiting = [place for number, place in enumerate(near) if number not in taken] + waiting[window:]
    return arranged
