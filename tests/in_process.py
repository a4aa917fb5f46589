"""A run in this process, without Ray: the real worker carries the items that the runner would send, stage after stage."""

import asyncio
from pathlib import Path

from pipeline.api import open_job
from pipeline.progress import Silent
from pipeline.runner import Runner
from pipeline.worker import Done, StageWorker


def carry_all(config: Path, until: str | None = None) -> dict[str, int]:
    """Carry all that is pending and commit it; returns the items carried, by stage."""
    job = open_job(config, until)
    state = job.state()
    runner = Runner(job.config, state, ("", b""), Silent())
    carried = {}
    for node in job.graph:
        job.ledger.declare(node.name, node.fingerprint, node.description)
        worker = StageWorker(runner._job(node))
        tasks = [runner._task(node, item) for item, table in state.current_tables(node.name) if table is None]

        async def carry(worker: StageWorker = worker, tasks: list = tasks) -> list[Done]:
            return [await worker.carry(task) for task in tasks]

        for done in asyncio.run(carry()):
            state.add(done.table)
        carried[node.name] = len(tasks)
    return carried
