"""What plan, run and status say: to a person and, as JSON, to machines. Prints nothing."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.api import ASKED_REASONS, Job, Outcome
from pipeline.ledger.state import State
from pipeline.ledger.status import Loss, StageStatus, count_statuses
from pipeline.ledger.why import StagePlan, plan_of
from pipeline.run.dataset import Written
from stages.dataset.smallness import insufficient, too_small

Output = tuple[dict[str, Any], str]


def plan_output(job: Job, state: State) -> Output:
    """What would run and why."""
    plans, given = plan_of(state), list(state.given.values())
    content: dict[str, Any] = {"stages": [stage.as_json() for stage in plans], "given": [matched.as_json() for matched in given]}
    content |= {**state.account.as_json(), "unit_size": job.config.corpus.unit_size}
    return content, "\n".join([*state.account.lines(), *(matched.line() for matched in given), *map(_plan_line, plans)])


def _plan_line(stage: StagePlan) -> str:
    why = ", ".join(f"{reason} {count}" for reason, count in stage.why.items())
    return f"{stage.name:<15} {stage.fingerprint}  done {stage.done:>6}  pending {stage.pending:>6}{f'  ({why})' if why else ''}"


def status_output(state: State) -> Output:
    """Images by status and reason, stage by stage, with one example of each reason."""
    stages = count_statuses(state, with_examples=True)
    lines = [f"{state.num_images} images"]
    for stage in stages:
        counts = ", ".join(f"{count} {name}" for name, count in stage.images.items())
        lines.append(f"  {stage.name:<15} {counts}")
        lines += [f"    {_loss_line(reason, loss)}" for reason, loss in stage.losses.items()]
        lines += [f"    {_lost_line(stage)}"] if stage.lost else []
    content = {"images_in": state.num_images, "stages": [stage.as_json() for stage in stages]}
    content |= {"corpus": state.account.as_json(), "left_out": state.account.counts()}
    return content, "\n".join([*state.account.lines(), *lines])


def outcome_output(outcome: Outcome, config: Path) -> Output:
    """What a run came to: where the data set is, what it holds, what was lost and why, what to do next."""
    next_command = _next(outcome, config)
    return _outcome_json(outcome, next_command), f"{outcome_text(outcome)}\nnext: {next_command}"


def _outcome_json(outcome: Outcome, next_command: str) -> dict[str, Any]:
    dataset = outcome.dataset
    content: dict[str, Any] = {
        "run": outcome.run_id,
        "given": [matched.as_json() for matched in outcome.given],
        "dataset": dataset and dataset.place,
        "images": outcome.num_images,
        "exported": dataset and dataset.images,
        "regions": dataset and dataset.regions,
        "negatives": dataset and dataset.negatives,
        "proposed": dataset and dataset.proposed,
        "rejects": dataset and dict(dataset.rejects),
        "audit": dataset and sorted(dataset.verdicts),
        "too_small": dataset and too_small(dataset.negatives, dataset.rejects, dataset.verdicts),
        "finehard_flagged": dataset and dataset.finehard_flagged,
        "failed": {stage: {reason: loss.as_json() for reason, loss in lost.items()} for stage, lost in _failed(outcome).items()},
        "num_failed": outcome.num_failed,
        "left_out": outcome.account.counts(),
        "stale": list(outcome.stale),
        "seconds": round(outcome.seconds, 3),
        "stages": {name: figures.as_json() for name, figures in outcome.figures.items()},
        "next": next_command,
    }
    if dataset is None:
        content |= {f"{name}_why": _NO_DATASET for name in _OF_DATASET}
    return content


_OF_DATASET = ("dataset", "exported", "regions", "negatives", "proposed", "rejects", "audit", "too_small", "finehard_flagged")
_NO_DATASET = "no stage of this run writes a data set, or not all of its shards are written"


def _failed(outcome: Outcome) -> dict[str, dict[str, Loss]]:
    lost = {
        stage.name: {reason: loss for reason, loss in stage.losses.items() if loss.status in ("failed", "quarantined")}
        for stage in outcome.statuses
    }
    return {stage: losses for stage, losses in lost.items() if losses}


def _next(outcome: Outcome, config: Path) -> str:
    failed = {reason for losses in _failed(outcome).values() for reason in losses}
    if failed & ASKED_REASONS or any(stage.lost for stage in outcome.statuses):
        return f"fgdata retry {config}"
    return f"fgdata report {config}" if outcome.dataset else f"fgdata status {config}"


def outcome_text(outcome: Outcome) -> str:
    """What a run came to, for a person."""
    lines = [*outcome.account.lines()[1:], *(matched.line() for matched in outcome.given), *_stale_lines(outcome.stale)]
    if outcome.run_id is None:
        lines.append(f"nothing to be done: all stages hold all {outcome.num_images} images")
    lines += [
        f"{name:<15} {figures.images:>7} images  {figures.wall_s:8.1f} s  {figures.tokens:>9} tokens  "
        + ", ".join(f"{count} {word}" for word, count in sorted(figures.statuses.items()))
        for name, figures in outcome.figures.items()
    ]
    lines += [
        f"lost in {stage.name}: {_loss_line(reason, loss)}"
        for stage in outcome.statuses
        for reason, loss in stage.losses.items()
        if loss.status != "skipped"
    ]
    lines += [f"lost in {stage.name}: {_lost_line(stage)}" for stage in outcome.statuses if stage.lost]
    if outcome.dataset is not None:
        held = outcome.dataset
        lines.append(f"data set: {held.place}: {held.images} images, {held.regions} regions, {held.negatives} negatives")
        lines += _negatives_lines(held)
    if outcome.run_id is not None:
        lines.append(f"done in {outcome.seconds:.0f} s; {outcome.num_failed} failed rows; Ray's logs: {outcome.logs}")
    return "\n".join(lines)


def _negatives_lines(held: Written) -> list[str]:
    """What was released of what, why not the others, and what that means where it is little."""
    lines = []
    if held.proposed:
        others = ", ".join(f"{reason} {count}" for reason, count in Counter(held.rejects).most_common(6))
        lines.append(f"negatives: {held.negatives} of {held.proposed} candidates released; the others: {others or 'none'}")
    if held.finehard_flagged is not None:
        lines.append(f"FineHARD: {held.finehard_flagged} of {held.regions} regions are flagged: they have ten negatives")
    notes = (too_small(held.negatives, held.rejects, held.verdicts), insufficient(held.verdicts))
    return lines + [f"note: {note}" for note in notes if note]


def _stale_lines(stale: Sequence[str]) -> list[str]:
    named = f"{', '.join(stale[:5])}{' and more' if len(stale) > 5 else ''}"
    return [f"at export_to lie {len(stale)} shards of another run, which the manifest does not name: {named}"] if stale else []


def _lost_line(stage: StageStatus) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in stage.lost.items())
    return f"regions and values without an answer ({reasons}): `fgdata retry` asks for them again"


def _loss_line(reason: str, loss: Loss) -> str:
    return f"{reason} {loss.count}, such as {loss.example}"
