from collections import Counter

import pytest

from stages.train.config import TrainError
from stages.train.data.order import Reader, batches_per_epoch, epoch_order, with_groups_together

SIZES = [7, 40, 1, 22, 30]


def readers(num_processes: int, num_workers: int) -> list[Reader]:
    return [Reader(rank, num_processes, worker, num_workers) for rank in range(num_processes) for worker in range(num_workers)]


@pytest.mark.parametrize("num_processes, num_workers", [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_readers_share_an_epoch_evenly_and_read_nothing_twice(num_processes: int, num_workers: int) -> None:
    orders = [epoch_order(SIZES, reader, 4, 0, 0, 16) for reader in readers(num_processes, num_workers)]
    assert len({len(order) for order in orders}) == 1
    places = Counter(place for order in orders for place in order)
    assert set(places.values()) == {1}
    left_out = sum(SIZES) - len(places)
    assert left_out < 4 * len(orders) + len(orders)  # less than a batch each, and the remainder


def test_an_order_is_a_function_of_seed_epoch_and_reader() -> None:
    reader = Reader(1, 2, 0, 2)
    order = epoch_order(SIZES, reader, 4, 0, 0, 16)
    assert epoch_order(SIZES, reader, 4, 0, 0, 16) == order
    others = [
        epoch_order(SIZES, reader, 4, 1, 0, 16),
        epoch_order(SIZES, reader, 4, 0, 1, 16),
        epoch_order(SIZES, Reader(0, 2), 4, 0, 0, 16),
    ]
    assert all(other != order for other in others)


def test_what_waits_in_memory_never_exceeds_the_buffer() -> None:
    order = epoch_order([500, 500], Reader(), 10, 0, 0, 50)
    unmixed = epoch_order([500, 500], Reader(), 10, 0, 0, 1)
    arrival = {place: number for number, place in enumerate(unmixed)}
    latest = 0
    for number, place in enumerate(order):
        latest = max(latest, arrival[place] + 1)
        assert latest - number <= 50
    assert order != unmixed


def test_too_small_a_data_set_is_refused_with_what_to_lower() -> None:
    with pytest.raises(TrainError, match="lower batch_size or workers"):
        batches_per_epoch(100, 4, 32)


def test_members_of_a_group_come_into_one_batch() -> None:
    places = [(0, index) for index in range(64)]
    groups = {(0, index): (f"g{index % 16}",) for index in range(64)}  # four members each, 16 images apart
    arranged = with_groups_together(places, groups, 8, 64)
    assert sorted(arranged) == places
    for first in range(0, 64, 8):
        counts = Counter(groups[place][0] for place in arranged[first : first + 8])
        assert set(counts.values()) == {4}


def test_groups_larger_than_a_batch_lose_no_image() -> None:
    places = [(0, index) for index in range(32)]
    groups = {place: ("one", f"pair{place[1] // 2}") for place in places}
    assert sorted(with_groups_together(places, groups, 4, 8)) == places
