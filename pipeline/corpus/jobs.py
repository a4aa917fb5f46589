"""What is done to one shard when a corpus is indexed, as a job that travels. Knows no workdir but to look at what it knows."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.corpus.formats.base import Read, ShardFile
from pipeline.corpus.index import index_shard
from pipeline.corpus.listed.account import Members
from pipeline.corpus.look import looked
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.store import read_all
from pipeline.storage import Storage
from schemas.rows import CorpusRow


@dataclass(frozen=True)
class ShardJob:
    """One shard to index: all that a worker needs, picklable.
    `looks`: of what the index in this workdir knows the headers alone, where pixels can have changed after version `since`.
    """

    params: CorpusParams
    shard: ShardFile
    known: list[CorpusRow] | None = None
    reads_all: bool = False
    looks: str | None = None
    since: int = 0


MapShards = Callable[[Callable[[ShardJob], Read], Sequence[ShardJob]], Iterable[Read]]


def run_job(job: ShardJob) -> Read:
    """The rows of one job and what else is in its shard: what a `map_shards` applies on whatever node."""
    if job.looks is not None:
        rows = looked(job.params, read_all(Storage(job.looks), job.shard.shard_id), job.since)
        return Read(rows, Members(len(rows)))
    return index_shard(job.params, job.shard, job.known, reads_all=job.reads_all)


def thread_map(function: Callable[[ShardJob], Read], jobs: Sequence[ShardJob]) -> Iterator[Read]:
    """Results in order, a few shards at a time."""
    width = min(8, 2 * (os.cpu_count() or 1))
    with ThreadPoolExecutor(width) as pool:
        waiting = [pool.submit(function, job) for job in jobs[:width]]
        for position in range(len(jobs)):
            yield waiting.pop(0).result()
            following = position + width
            if following < len(jobs):
                waiting.append(pool.submit(function, jobs[following]))
