"""The training loop of one stage, in one process of any number. Prints nothing: a watcher is told what happens."""

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from stages.train.config import StageTraining, TrainError
from stages.train.data.batch import Batch
from stages.train.data.order import ORDER_VERSION
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.stream import Source, batches, steps_per_epoch
from stages.train.model.checkpoint import (
    Progress,
    check_official,
    latest_checkpoint,
    put_back,
    read_newest,
    remove_unfinished,
    save_checkpoint,
    save_model,
    save_official,
)
from stages.train.model.load import load_model
from stages.train.on_cpu import suit_cpu
from stages.train.processes import average_gradients, current_gather, is_distributed, mean_over_processes
from stages.train.resume import resumed_step
from stages.train.schedule import lr_at, optimiser, set_lr
from stages.train.step import Losses, TrainingStep

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

CHECKPOINTS, CURVES, RESULT, OFFICIAL = "checkpoints", "curves", "model", "official"


@dataclass(frozen=True)
class Job:
    """One stage to train: from which model, on which data set, into which folder."""

    model: str
    revision: str | None
    from_scratch: bool
    dataset: str
    out: Path
    params: StageTraining
    device: str = "cpu"
    official: bool = False


@dataclass(frozen=True)
class Report:
    """What is said of a step: its number (from 1) of all, the mean losses over the processes, how fast it goes, and how many images
    could not be read and texts were cut since the last report, on all processes."""

    step: int
    num_steps: int
    values: dict[str, float]
    rate_img_s: float
    remaining_s: float
    num_unreadable: int = 0
    num_cut: int = 0


Watcher = Callable[[Report], None]


class Trainer:
    """All that a stage's training holds; `train` runs it to its end."""

    def __init__(self, job: Job, watch: Watcher | None = None) -> None:
        params = self.params = job.params
        self.job, self.watch = job, watch
        self.gather, self.device = current_gather(), torch.device(job.device)
        torch.manual_seed(params.seed)
        if params.precision == "tf32":
            torch.set_float32_matmul_precision("high")
        self.model, self.tokenizer = load_model(job.model, job.revision, job.from_scratch)
        if params.global_loss == "sigmoid":
            self.model.start_sigmoid()
        if job.official:
            check_official(self.model)
        self.model.to(self.device).train()
        if self.device.type == "cpu":
            suit_cpu(self.model)
        if params.gradient_checkpointing:
            self.model.checkpoint_blocks(only_mlp=params.gradient_checkpointing == "mlp")
        dataset = ExportedDataset(job.dataset)
        self.source = Source(dataset, SampleMaker(params, **self.model.image_settings), self.model.packer(self.tokenizer))
        self.per_epoch = steps_per_epoch(dataset, params, self.gather.num_processes)
        self.num_steps = params.steps or max(1, round(self.per_epoch * params.epochs))
        self.optimiser = optimiser(self.model, params)
        self.step = TrainingStep(self.model, params, self.gather)
        self.first_step = self._resume()
        self.counts = _Counts()

    @property
    def is_first_process(self) -> bool:
        return self.gather.rank == 0

    def train(self) -> Path:
        """Train what is left; the folder of the trained model."""
        stream: Iterator[Batch] | None = None
        if self.first_step < self.num_steps:
            stream = batches(self.source, self.gather.rank, self.gather.num_processes, self.first_step)
        curves = _Curves(self.job.out / CURVES, self.is_first_process, self.first_step)
        clock = _Clock(self.first_step)
        for number in range(self.first_step, self.num_steps):
            assert stream is not None
            batch = next(stream)
            self.counts.add(batch)
            losses = self.take_step(number, batch.to(self.device))
            is_last = number + 1 == self.num_steps
            if is_last or (number + 1) % self.per_epoch == 0:
                self._check_images(number + 1)
            if is_last or (number + 1) % self.params.log_every == 0:
                self._tell(number + 1, losses, clock, curves)
            if is_last or (number + 1) % self.params.checkpoint_every == 0:
                self._check_weights(number + 1)
                curves.flush()
                self._save(number + 1)
        curves.close()
        result = self.job.out / RESULT
        if self.is_first_process:
            save_model(self.model, self.tokenizer, result)
            if self.job.official:
                save_official(self.model, self.tokenizer, self.job.out / OFFICIAL)
        return result

    def take_step(self, number: int, batch: Batch) -> Losses:
        """One step with this batch."""
        set_lr(self.optimiser, lr_at(number, self.num_steps, self.params))
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.step.backward(batch)
        average_gradients(self.model.parameters())
        if self.params.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.params.max_grad_norm)
        self.optimiser.step()
        self.model.clamp_scales()
        return losses

    def _tell(self, step: int, losses: Losses, clock: "_Clock", curves: "_Curves") -> None:
        values = mean_over_processes(losses.values(), self.device)
        if not all(map(math.isfinite, values.values())):
            raise TrainError(f"{self.job.out}: the loss of step {step} is {values['loss']}: {self._way_back()}")
        rate_steps_s = clock.rate_steps_s(step)
        images = self.params.batch_size * self.gather.num_processes
        remaining_s = (self.num_steps - step) / max(rate_steps_s, 1e-9)
        counts = self._over_processes(self.counts.since_report())
        report = Report(step, self.num_steps, values, rate_steps_s * images, remaining_s, counts["unreadable"], counts["cut"])
        curves.add(step, {**values, **self._state_values(step, losses), **counts, "rate_img_s": report.rate_img_s})
        if self.watch and self.is_first_process:
            self.watch(report)

    def _state_values(self, step: int, losses: Losses) -> dict[str, float]:
        """What the curves show beside the losses: rate, scales, and the hard loss by edit type (of the first process's batch)."""
        scales = dict(zip(("scale", "scale_regional", "scale_hard"), self.model.scales(), strict=True))
        values = {name: float(scale.detach()) for name, scale in scales.items()}
        for kind, figures in losses.by_type().items():
            values |= {f"hard_{kind}/loss": figures.loss, f"hard_{kind}/top1": figures.top1}
        if self.params.weight_cmr:
            values["margin"] = self.step.margin
        return {**values, "lr": lr_at(step - 1, self.num_steps, self.params)}

    def _over_processes(self, counts: dict[str, int]) -> dict[str, int]:
        means = mean_over_processes({name: float(count) for name, count in counts.items()}, self.device)
        return {name: round(mean * self.gather.num_processes) for name, mean in means.items()}

    def _check_images(self, step: int) -> None:
        """At the end of an epoch: whether there was anything to be seen.

        Raises: TrainError on every process where no image could be read.
        """
        counts = self._over_processes(self.counts.since_check())
        if counts["images"] and counts["unreadable"] == counts["images"]:
            raise TrainError(f"{self.job.dataset}: none of the {counts['images']} images up to step {step} can be read")

    def _check_weights(self, step: int) -> None:
        """Raises: TrainError where a weight is no number any more, so that none is ever saved."""
        bad = [name for name, weight in self.model.named_parameters() if not bool(torch.isfinite(weight).all())]
        if bad:
            raise TrainError(f"{self.job.out}: after step {step} {bad[0]} and {len(bad) - 1} more are no numbers: {self._way_back()}")

    def _way_back(self) -> str:
        path = latest_checkpoint(self.job.out / CHECKPOINTS)
        where = f"goes on from {path.name}" if path else "begins anew"
        return f"lower lr, or use precision fp32; the same command then {where}"

    def _save(self, step: int) -> None:
        states = [torch.get_rng_state()] * self.gather.num_processes
        if is_distributed():
            dist.all_gather_object(states, torch.get_rng_state())
        if self.is_first_process:
            folder, keep = self.job.out / CHECKPOINTS, self.params.keep_checkpoints
            progress = Progress(step, self._shape(), self.params.model_dump(mode="json"), self.step.margin)
            save_checkpoint(folder, self.model, self.tokenizer, self.optimiser, progress, states, keep)
        if is_distributed():
            dist.barrier()

    def _resume(self) -> int:
        if self.is_first_process:
            remove_unfinished(self.job.out, self.job.out / CHECKPOINTS)
        checkpoint = read_newest(self.job.out / CHECKPOINTS, self.model, self.is_first_process)
        if checkpoint is None:
            return 0
        step, notes = resumed_step(checkpoint.path, checkpoint.progress, self._shape(), self.params.model_dump(mode="json"))
        for line in notes if self.is_first_process else ():
            logger.warning(line)
        put_back(checkpoint, self.model, self.optimiser, self.gather.rank, self.params.seed)
        self.step.margin = checkpoint.progress.margin
        return step

    def _shape(self) -> dict[str, Any]:
        """What decides which images a step reads, and how the rate falls."""
        params = self.params
        return {
            "order": ORDER_VERSION,
            "processes": self.gather.num_processes,
            "workers": params.workers,
            "batch_size": params.batch_size,
            "shuffle_buffer": params.shuffle_buffer,
            "seed": params.seed,
            "steps": self.num_steps,
            "images": self.source.dataset.num_images,
            "shards": hashlib.sha256("".join(shard.sha256 for shard in self.source.dataset.shards).encode()).hexdigest()[:16],
        }


class _Counts:
    """Images, those of them that could not be read, and texts that were cut, of this process."""

    def __init__(self) -> None:
        self._report, self._check = (dict.fromkeys(("images", "unreadable", "cut"), 0) for _ in range(2))

    def add(self, batch: Batch) -> None:
        for counts in (self._report, self._check):
            counts["images"] += len(batch.keys)
            counts["unreadable"] += batch.num_unreadable
            counts["cut"] += batch.num_cut

    def since_report(self) -> dict[str, int]:
        counts, self._report = self._report, dict.fromkeys(self._report, 0)
        return {name: counts[name] for name in ("unreadable", "cut")}

    def since_check(self) -> dict[str, int]:
        counts, self._check = self._check, dict.fromkeys(self._check, 0)
        return counts


class _Clock:
    """Steps a second since it was last asked."""

    def __init__(self, step: int) -> None:
        self._step, self._time = step, time.monotonic()

    def rate_steps_s(self, step: int) -> float:
        now = time.monotonic()
        rate = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time = step, now
        return rate


class _Curves:
    """TensorBoard's event files, written by the first process. What a resumed training repeats is dropped from the curves."""

    def __init__(self, folder: Path, is_written: bool, first_step: int) -> None:
        self._writer = _event_writer(folder, first_step) if is_written else None

    def add(self, step: int, values: dict[str, float]) -> None:
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """A resumed training begins at a checkpoint: what lies before it must not wait in memory."""
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def _event_writer(folder: Path, first_step: int) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_step + 1)
