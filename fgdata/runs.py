"""A configuration as an object: plan it, run it, ask how it stands. What the commands of the same names do. Prints nothing."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from fgdata.datasets import Dataset
from pipeline import api
from pipeline.commands.upkeep import ask_retries
from pipeline.config.model import Config, ConfigError
from pipeline.ledger.status import StageStatus, count_statuses
from pipeline.ledger.why import StagePlan, plan_of
from pipeline.run.watch.progress import Watcher

Watch = Callable[[Sequence[str]], Watcher]


def open(config: str | PathLike[str], *, until: str | None = None, allow_unverified: bool = False) -> "Run":
    """The run that a YAML file describes. `until` leaves out the stages after that one.

    Raises: ConfigError with one line for whatever is wrong; StorageError where the workdir cannot be reached.
    """
    return Run(api.open_job(Path(config), until, allow_unverified=allow_unverified))


class Run:
    """One configuration. The ledger in its workdir is the only state: two objects of one configuration see the same."""

    def __init__(self, job: api.Job) -> None:
        self._job = job

    @property
    def config(self) -> Config:
        """The configuration as it was read: absolute paths, defaults filled in."""
        return self._job.config

    @property
    def stages(self) -> list[str]:
        """Names of the stages, in run order."""
        return [node.name for node in self._job.graph]

    def plan(self) -> list[StagePlan]:
        """Per stage the units that are done and pending, and why. Indexes what is new in the corpus.

        Raises: CorpusError, GivenError, StorageError.
        """
        return plan_of(self._job.state())

    def status(self) -> list[StageStatus]:
        """Per stage images by status, and reasons of those that are not ok.

        Raises: CorpusError, GivenError, StorageError.
        """
        return count_statuses(self._job.state())

    def run(self, watch: Watch | None = None) -> api.Outcome:
        """Run all that is pending; call it again to resume. `watch` makes a watcher of the stages' names; None: nothing is shown.

        Raises: ConfigError where the preflight refuses; PoolError, GateError.
        """
        return api.run(self._job, watch)

    def retry(self, stage: str | None = None, reason: str | None = None) -> dict[str, int]:
        """Ask for failed rows to be run again by the next `run`; stage -> units asked for.

        Raises: ConfigError where there is no such stage.
        """
        if stage is not None and stage not in self.stages:
            raise ConfigError(f"there is no stage {stage} among {', '.join(self.stages)}")
        return ask_retries(self._job.state(), stage, reason)

    def export(self, watch: Watch | None = None) -> Dataset:
        """Run all that the export needs, and open the data set.

        Raises: ConfigError where the configuration exports nothing; PoolError, GateError.
        """
        if self.config.export_to is None or api.exporting_stage() not in self.stages:
            raise ConfigError(f"{self.config.path}: this run exports nothing: add `export_to: PLACE` and the stage export")
        self.run(watch)
        return Dataset(self.config.export_to)
