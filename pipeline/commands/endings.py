"""How a command ends: what it says, and the exit code of each kind of error. Everything heavy is imported when an error is there."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipeline.commands.supervise import Terminated, is_child, resume

if TYPE_CHECKING:
    from pipeline.api import Outcome


def say(as_json: bool, content: dict[str, Any], text: str) -> None:
    """Print the content for machines or the text for people. Whoever reads may have stopped reading: that is no error."""
    try:
        typer.echo(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) if as_json else text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes there at the end


def say_outcome(outcome: "Outcome", config: Path, as_json: bool, max_failed: float | None) -> None:
    """Print what a run came to.

    Raises: typer.Exit(1) where a stage has done no good, or more images failed than `max_failed` allows.
    """
    from pipeline.commands.texts import outcome_output

    say(as_json, *outcome_output(outcome, config))
    for stage, (reason, loss) in outcome.barren.items():
        typer.echo(f"fgdata: {stage} did no good: none of its images is ok; {reason} {loss.count}, such as {loss.example}", err=True)
    if outcome.barren:
        raise typer.Exit(1)
    if max_failed is not None and outcome.num_failed > max_failed * outcome.num_images:
        typer.echo(f"{outcome.num_failed} of {outcome.num_images} images failed: more than --max-failed {max_failed}", err=True)
        raise typer.Exit(1)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """A user's error is one line and exit 2; a stage that is stopped 1, a gate 3; a signal 130 or 143 with the command that resumes."""
    try:
        yield
    except KeyboardInterrupt as error:
        is_told = isinstance(error, Terminated)
        if not is_child():
            typer.echo(f"{'told to end' if is_told else 'interrupted'}; {resume(sys.argv[1:])}", err=True)
        raise typer.Exit(128 + int(error.args[0]) if is_told else 130) from error
    except Exception as error:
        ending = _ending_of(error)
        if ending is None:
            raise
        code, words = ending
        typer.echo(f"fgdata: {words}", err=True)
        raise typer.Exit(code) from error


def _ending_of(error: Exception) -> tuple[int, str] | None:
    """The exit code and the line of an error that is no bug of ours; None: it is one, with a traceback."""
    from pipeline.run.cluster.holdings import RayEnded
    from pipeline.run.gate import GateError
    from pipeline.run.lane import StageStopped
    from pipeline.run.pool import PoolError
    from pipeline.storage import remote_errors
    from pipeline.storage_errors import in_one_line

    if isinstance(error, GateError):
        return 3, str(error)
    if isinstance(error, StageStopped):
        return 1, str(error)
    if isinstance(error, PoolError) or (isinstance(error, ValueError) and _is_ours(error)):
        return 2, str(error)
    if isinstance(error, remote_errors()):
        return 2, in_one_line(error)
    if isinstance(error, RayEnded) or _is_rays(error):
        return 2, f"Ray has ended under the run: {_first_line(error)}; {resume(sys.argv[1:])}"
    return None


def _is_rays(error: BaseException) -> bool:
    """Whether Ray itself failed, and not what it ran for us."""
    names = {each.__name__ for each in type(error).__mro__ if each.__module__.startswith("ray.")}
    return "RayError" in names and "RayTaskError" not in names


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("pipeline", "stages", "prompts", "schemas")
