"""The training loop of one stage, in one process of any number. Prints nothing: a watcher is told what happens."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from stages.train.config import StageTraining, TrainError
from stages.train.data.batch import Batch
from stages.train.data.samples import SampleMaker
from stages.train.data.shards import ExportedDataset
from stages.train.data.stream import Source, batches, steps_per_epoch
from stages.train.model.checkpoint import Progress, latest_checkpoint, load_checkpoint, save_checkpoint, save_model
from stages.train.model.clip import load_model
from stages.train.processes import average_gradients, current_gather, is_distributed, mean_over_processes
from stages.train.schedule import lr_at, optimiser, set_lr
from stages.train.step import Losses, TrainingStep

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CHECKPOINTS, CURVES, RESULT = "checkpoints", "curves", "model"


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


@dataclass(frozen=True)
class Report:
    """What is said of a step: its number (from 1) of all, the mean losses over the processes, and how fast it goes."""

    step: int
    num_steps: int
    values: dict[str, float]
    rate_img_s: float
    remaining_s: float


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
        self.model.to(self.device).train()
        if params.gradient_checkpointing:
            self.model.checkpoint_blocks()
        dataset = ExportedDataset(job.dataset)
        self.source = Source(dataset, SampleMaker(params, self.model.image_size), self.model.packer(self.tokenizer))
        per_epoch = steps_per_epoch(dataset, params, self.gather.num_processes)
        self.num_steps = params.steps or max(1, round(per_epoch * params.epochs))
        self.optimiser = optimiser(self.model, params)
        self.step = TrainingStep(self.model, params, self.gather)
        self.first_step = self._resume()

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
            losses = self.take_step(number, next(stream).to(self.device))
            is_last = number + 1 == self.num_steps
            if is_last or (number + 1) % self.params.log_every == 0:
                self._tell(number + 1, losses, clock, curves)
            if is_last or (number + 1) % self.params.checkpoint_every == 0:
                self._save(number + 1)
        curves.close()
        result = self.job.out / RESULT
        if self.is_first_process:
            save_model(self.model, self.tokenizer, result)
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
        if not all(map(_is_finite, values.values())):
            raise TrainError(f"{self.job.out}: the loss of step {step} is {values['loss']}: lower lr, or use precision fp32")
        rate_steps_s = clock.rate_steps_s(step)
        images = self.params.batch_size * self.gather.num_processes
        report = Report(step, self.num_steps, values, rate_steps_s * images, (self.num_steps - step) / max(rate_steps_s, 1e-9))
        curves.add(step, {**values, **self._state_values(step, losses), "rate_img_s": report.rate_img_s})
        if self.watch and self.is_first_process:
            self.watch(report)

    def _state_values(self, step: int, losses: Losses) -> dict[str, float]:
        """What the curves show beside the losses: rate, scales, and the hard loss by edit type (of the first process's batch)."""
        scales = dict(zip(("scale", "scale_regional", "scale_hard"), self.model.scales(), strict=True))
        values = {name: float(scale.detach()) for name, scale in scales.items()}
        for kind, figures in losses.by_type().items():
            values |= {f"hard_{kind}/loss": figures.loss, f"hard_{kind}/top1": figures.top1}
        return {**values, "lr": lr_at(step - 1, self.num_steps, self.params)}

    def _save(self, step: int) -> None:
        states = [torch.get_rng_state()] * self.gather.num_processes
        if is_distributed():
            dist.all_gather_object(states, torch.get_rng_state())
        if self.is_first_process:
            folder, keep = self.job.out / CHECKPOINTS, self.params.keep_checkpoints
            save_checkpoint(folder, self.model, self.tokenizer, self.optimiser, Progress(step, self._shape()), states, keep)
        if is_distributed():
            dist.barrier()

    def _resume(self) -> int:
        path = latest_checkpoint(self.job.out / CHECKPOINTS)
        return load_checkpoint(path, self.model, self.optimiser, self._shape(), self.gather.rank) if path else 0

    def _shape(self) -> dict[str, Any]:
        """What decides which images a step reads, and how the rate falls."""
        params = self.params
        return {
            "processes": self.gather.num_processes,
            "workers": params.workers,
            "batch_size": params.batch_size,
            "shuffle_buffer": params.shuffle_buffer,
            "seed": params.seed,
            "steps": self.num_steps,
            "images": self.source.dataset.num_images,
            "shards": hashlib.sha256("".join(shard.sha256 for shard in self.source.dataset.shards).encode()).hexdigest()[:16],
        }


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

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def _event_writer(folder: Path, first_step: int) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_step + 1 if first_step else None)


def _is_finite(value: float) -> bool:
    return value - value == 0
