"""A run in this process, without Ray: the real worker carries the items that the runner would send, stage after stage."""

import asyncio
from pathlib import Path

from pipeline.api import open_job
from pipeline.run.runner import Runner
from pipeline.run.watch.progress import Silent
from pipeline.run.worker import Done, StageWorker


def carry_all(config: Path, until: str | None = None, *, allow_unverified: bool = False) -> dict[str, int]:
    """Carry all that is pending and commit it; returns the items carried, by stage."""
    job = open_job(config, until, allow_unverified=allow_unverified)
    state = job.state()
    runner = Runner(job.config, state, ("", b""), Silent())
    carried = {}
    for node in job.graph:
        job.ledger.declare(node.description)
        worker = StageWorker(runner._job(node))
        pending = [item for item in state.items(node.name) if not state.is_done(node.name, item)]
        assert node.scope != "block" or all(map(state.seal, pending)), "no other driver seals"
        tasks = [runner.task(node, item) for item in pending]

        async def carry(worker: StageWorker = worker, tasks: list = tasks) -> list[Done]:
            done = [await worker.carry(task) for task in tasks]
            await worker.close()
            return done

        for done in asyncio.run(carry()):
            for table in done.tables:
                state.add(table)
        carried[node.name] = len(tasks)
    return carried
