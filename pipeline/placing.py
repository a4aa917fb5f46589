"""What the command line says of placement over what the file says. None of it is hashed."""

import dataclasses
import typing

from pipeline.api import Job
from pipeline.config import ConfigError, Placement


def placed(job: Job, address: str | None, schedule: str | None) -> Job:
    """The job with another address or schedule.

    Raises: ConfigError where the schedule is unknown.
    """
    schedules = typing.get_args(Placement.model_fields["schedule"].annotation)
    if schedule is not None and schedule not in schedules:
        raise ConfigError(f"--schedule {schedule}: must be one of {', '.join(schedules)}")
    given = {name: value for name, value in (("address", address), ("schedule", schedule)) if value is not None}
    placement = job.config.placement.model_copy(update=given)
    return dataclasses.replace(job, config=dataclasses.replace(job.config, placement=placement))
