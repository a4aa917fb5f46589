"""Batches of one process, endless, in a reproducible order, made ahead of need. Knows samples and order, no model and no losses."""

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from schemas.dataset import ExportRecord
from stages.train.config import StageTraining, TrainError
from stages.train.data.batch import Batch, Sample, collate
from stages.train.data.order import Place, Reader, batches_per_epoch, epoch_order, epoch_seam, with_groups_together
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.texts import TextPacker

_ReadSample = tuple[bytes, ExportRecord] | None
_Call = tuple[_ReadSample, int, int | None]  # what was read, epoch, patches
_DECODING_THREADS = 2
_AHEAD = 2  # batches that each worker makes before they are asked for


@dataclass(frozen=True)
class Source:
    """What batches are made of."""

    dataset: ExportedDataset
    maker: SampleMaker
    packer: TextPacker

    @property
    def params(self) -> StageTraining:
        return self.maker.params


def steps_per_epoch(dataset: ExportedDataset, params: StageTraining, num_processes: int) -> int:
    """Batches of an epoch and process."""
    num_workers = max(1, params.workers)
    return num_workers * batches_per_epoch(dataset.num_images, num_processes * num_workers, params.batch_size)


def batches(source: Source, rank: int = 0, num_processes: int = 1, first_step: int = 0) -> Iterator[Batch]:
    """The batches of a process from step `first_step` on: the same ones, whether or not an earlier process gave out those before.

    Workers take turns, so that step s is the work of worker s modulo `workers`. They read and decode two batches ahead each.
    """
    params = source.params
    reader = Reader(rank, num_processes, 0, max(1, params.workers))
    stream = _Stream(source, reader, first_step)
    # Workers of a remote data set start afresh: its connections do not survive a fork.
    start = "spawn" if "://" in source.dataset.root else "fork"
    ahead: dict[str, Any] = {}
    if params.workers:
        check_shared_memory(source)
        ahead = {"prefetch_factor": _AHEAD, "multiprocessing_context": start, "worker_init_fn": _leave_interrupts}
    loader = DataLoader(stream, batch_size=None, num_workers=params.workers, **ahead)
    return iter(loader)


def check_shared_memory(source: Source, folder: Path = Path("/dev/shm")) -> None:  # noqa: S108  # where the system keeps it
    """Batches of workers come through shared memory: a worker that finds none left stands still for ever.

    Raises: TrainError where the batches that are ahead do not fit.
    """
    if not folder.is_dir():
        return
    maker, params = source.maker, source.params
    pixels = max(params.patch_budgets) * maker.patch_size**2 if maker.patch_size else maker.image_size**2
    needed = params.batch_size * 3 * pixels * params.workers * (_AHEAD + 1)
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if free < needed:
        raise TrainError(
            f"{folder} has {free >> 20} MiB free; workers: {params.workers} with batch_size {params.batch_size} need {(needed >> 20) + 1}: "
            "give the container more (docker: --shm-size), lower workers or batch_size, or set workers: 0"
        )


def _num_threads(num_workers: int) -> int:
    """Threads that decode in each process that reads: its share of the cores, at most two."""
    if not num_workers:
        return _DECODING_THREADS
    num_readers = num_workers * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_DECODING_THREADS, num_cores // num_readers))


def _leave_interrupts(_: int) -> None:
    """Ctrl-C is for the training process, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Stream(IterableDataset[Batch]):
    """A worker's share of a process's batches."""

    def __init__(self, source: Source, reader: Reader, first_step: int) -> None:
        self.source, self.reader, self.first_step = source, reader, first_step

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        turn = info.id if info else 0
        num_workers = self.reader.num_workers
        # The loader asks worker 0 first; the step that is due may be another's turn.
        worker = (self.first_step + turn) % num_workers
        done = (self.first_step + turn) // num_workers
        return self._from(replace(self.reader, worker=worker), done)

    def _from(self, reader: Reader, num_done: int) -> Iterator[Batch]:
        source, size = self.source, self.source.params.batch_size
        per_epoch = batches_per_epoch(source.dataset.num_images, reader.num_readers, size)
        epoch, first = divmod(num_done, per_epoch)
        while True:
            places = reader_order(source.dataset, source.params, reader, epoch)[first * size :]
            seam = epoch_seam(source.dataset.shard_sizes, source.params.seed, epoch)
            read = source.dataset.read_what_is_left(places, seam)
            calls = self._calls(read, epoch, reader, epoch * per_epoch + first)
            samples: list[Sample] = []
            for sample in self._made(calls):
                samples.append(sample)
                if len(samples) == size:
                    yield collate(samples, source.packer, source.maker.patch_size)
                    samples = []
            epoch, first = epoch + 1, 0

    def _calls(self, read: Iterable[_ReadSample], epoch: int, reader: Reader, num_done: int) -> Iterator[_Call]:
        """What is to be made of each image, from this reader's batch `num_done` on."""
        for turn, sample in enumerate(read):
            batch = num_done + turn // self.source.params.batch_size
            yield sample, epoch, self._budget(batch * reader.num_workers + reader.worker)

    def _made(self, calls: Iterator[_Call]) -> Iterator[Sample]:
        """A sample for each call, in order. Threads decode up to a batch ahead, where there are cores for them: Pillow leaves them the
        interpreter."""
        num_threads = _num_threads(self.source.params.workers)
        if num_threads == 1:
            yield from map(self._sample, calls)
            return
        with ThreadPoolExecutor(num_threads) as threads:
            ahead: deque[Future[Sample]] = deque()
            try:
                for call in calls:
                    ahead.append(threads.submit(self._sample, call))
                    if len(ahead) > self.source.params.batch_size:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _sample(self, call: _Call) -> Sample:
        read, epoch, budget = call
        return self.source.maker.sample(*read, epoch, budget) if read else self.source.maker.unreadable("")

    def _budget(self, step: int) -> int | None:
        """Patches of a step's images, the same on all processes."""
        if self.source.maker.patch_size is None:
            return None
        budgets = self.source.params.patch_budgets
        return budgets[int(np.random.default_rng([self.source.params.seed, step]).integers(len(budgets)))]


def reader_order(dataset: ExportedDataset, params: StageTraining, reader: Reader, epoch: int) -> list[Place]:
    """The places of a reader's batches in an epoch."""
    order = epoch_order(dataset.shard_sizes, reader, params.batch_size, params.seed, epoch, params.shuffle_buffer)
    if not (params.keep_groups and params.reads_negatives):
        return order
    groups = dataset.groups(sorted({shard for shard, _ in order}))
    return with_groups_together(order, groups, params.batch_size, max(params.shuffle_buffer, params.batch_size))
