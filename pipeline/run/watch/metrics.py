"""The run's figures as Ray's metrics, which Prometheus scrapes from each node beside Ray's own."""

from functools import cached_property
from typing import Any

from pipeline.masked import masked
from pipeline.run.worker import Done

_NAMES = {
    "fgdata_units": ("Units that a stage has committed.", ()),
    "fgdata_images": ("Images that a stage has settled, by status.", ("status",)),
    "fgdata_rejects": ("Images that are not ok, by reason.", ("reason",)),
    "fgdata_tokens": ("Tokens that engines have written.", ()),
    "fgdata_deaths": ("Workers that have ended before their time.", ()),
    "fgdata_seconds": ("Seconds that workers have spent on units.", ()),
}


class Meters:
    """Counters of one run that only grow; each has the tags `stage` and `workdir`, which tells the runs of a cluster apart.

    Ray must be there when the first is counted.
    """

    def __init__(self, workdir: str) -> None:
        self._workdir = masked(workdir)

    @cached_property
    def _counters(self) -> dict[str, Any]:
        from ray.util.metrics import Counter

        return {
            name: Counter(name, description=description, tag_keys=("stage", "workdir", *tags))
            for name, (description, tags) in _NAMES.items()
        }

    def finished(self, stage: str, num_units: int, done: Done) -> None:
        """An item of a stage is committed."""
        self._count("fgdata_units", num_units, stage=stage)
        self._count("fgdata_tokens", done.num_tokens, stage=stage)
        self._count("fgdata_seconds", done.seconds, stage=stage)
        for status, count in done.statuses.items():
            self._count("fgdata_images", count, stage=stage, status=status)
        for reason, count in done.reasons.items():
            self._count("fgdata_rejects", count, stage=stage, reason=reason)

    def died(self, stage: str) -> None:
        """A worker of a stage has ended."""
        self._count("fgdata_deaths", 1, stage=stage)

    def _count(self, name: str, amount: float, **tags: str) -> None:
        if amount > 0:
            self._counters[name].inc(amount, tags={**tags, "workdir": self._workdir})
