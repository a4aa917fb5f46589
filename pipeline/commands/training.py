"""What `fgdata train` and `fgdata eval` do: configuration, processes (here, torchrun's, Ray Train's), the progress line.

Knows how a training is launched; what is computed is in stages/train.
"""

import datetime
import importlib.util
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from pipeline.config.apart import check_apart
from pipeline.config.model import ConfigError
from pipeline.config.read import validated
from pipeline.config.text import expanded, read_yaml
from schemas.audit import FirstSentence
from stages.train.config import Stage1, Stage2, TrainConfig, TrainError, TrainPlacement

if TYPE_CHECKING:
    from stages.train.loop import Job, Report

MAX_FAILURES = 3  # Ray Train starts the processes again that often; they go on from the newest checkpoint
_POLL_S = 1.0
_BLOCKS: dict[str, type[BaseModel]] = {"stage1": Stage1, "stage2": Stage2, "placement": TrainPlacement}


def load_train_config(path: Path) -> TrainConfig:
    """The training's YAML. Relative paths in it are relative to its folder.

    Raises: ConfigError with one line for whatever is wrong.
    """
    written = read_yaml(path, "docs/training.md shows one")
    content = written.content
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold the keys {', '.join(TrainConfig.model_fields)}")
    try:
        blocks = {name: validated(model, content[name] or {}, name) for name, model in _BLOCKS.items() if name in content}
        config = validated(TrainConfig, {**content, **blocks}, "")
        return _located(config, path.absolute().parent)
    except ConfigError as error:
        raise ConfigError(f"{path}{written.where(str(error))}: {error}") from error


def _located(config: TrainConfig, folder: Path) -> TrainConfig:
    """The configuration with absolute places, which are apart."""
    model, dataset, out = (expanded(getattr(config, name), folder, name) for name in ("model", "dataset", "out"))
    if "://" in out:
        raise ConfigError(f"out is '{out}': checkpoints need a folder that all processes mount")
    check_apart({"dataset": dataset}, {"out": out})
    return config.model_copy(update={"model": model if Path(model).is_dir() else config.model, "dataset": dataset, "out": out})


def train(path: Path, stage: int, watch: "Callable[[Report], None] | None" = None) -> Path:
    """Train a stage to its end, from its newest checkpoint if there is one; the folder of the trained model.

    Raises: ConfigError, TrainError; ImportError's place takes a ConfigError that names the extra.
    """
    config = load_train_config(path)
    _need_torch()
    if config.placement.launcher == "ray":
        return _train_on_ray(config, stage, watch)
    from torch import distributed

    if not distributed.is_torchelastic_launched():
        return _train_here(config, stage, _device(0), watch)
    device = _device(distributed.get_node_local_rank())
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        return _train_here(config, stage, device, watch)
    finally:
        distributed.destroy_process_group()


def evaluate(checkpoint: str, dataset: str, images: Path | None) -> dict[str, Any]:
    """The figures of a model on an exported data set, or on an FG-OVD file (`.jsonl`) with its images.

    Raises: ConfigError, TrainError.
    """
    _need_torch()
    from stages.train.data.shards import ExportedDataset
    from stages.train.evaluation.evaluate import evaluate as evaluate_export
    from stages.train.evaluation.features import Encoder
    from stages.train.evaluation.fgovd import evaluate_fgovd
    from stages.train.model.load import load_model

    is_fgovd = dataset.endswith(".jsonl")
    if is_fgovd and images is None:
        raise ConfigError(f"{dataset}: an FG-OVD file needs --images, the folder that holds val2017/")
    source = None if is_fgovd else ExportedDataset(dataset)
    encoder = Encoder(*load_model(checkpoint), _device(0))
    if source is not None:
        return evaluate_export(encoder, source)
    assert images is not None
    return evaluate_fgovd(encoder, Path(dataset), images)


def first_sentence_of(checkpoint: str, dataset: str) -> FirstSentence:
    """How far the first sentences of an exported data set's long captions find their images, by a model.

    Raises: ConfigError, TrainError.
    """
    _need_torch()
    from stages.train.data.shards import ExportedDataset
    from stages.train.evaluation.features import Encoder
    from stages.train.evaluation.first_sentence import first_sentence_by_model
    from stages.train.model.load import load_model

    source = ExportedDataset(dataset)
    return first_sentence_by_model(Encoder(*load_model(checkpoint), _device(0)), source, checkpoint)


def figures_table(figures: dict[str, Any]) -> str:
    """The figures of `evaluate` for people: value, interval, blind."""
    lines = [f"{'':<22}{'value':>7}  {'95 %':<15}{'blind':>7}"]
    for name in ("long", "short"):
        for way in ("i2t_r1", "t2i_r1"):
            part = figures[name]
            lines.append(_line(f"{name} {way}", part[way], part.get(f"{way}_low"), part.get(f"{way}_high"), part.get(f"{way}_blind")))
    for name in ("region_top1", "hard_negative_top1", "half_truth", "half_truth_added"):
        of_all = figures.get(name, {"value": None})
        for kind, part in {"": of_all, **of_all.get("by_type", {})}.items():
            label = f"  {kind}" if kind else name
            lines.append(_line(label, part["value"], part.get("value_low"), part.get("value_high"), part.get("blind")))
    return "\n".join(lines)


class ProgressLine:
    """One line that is rewritten on a terminal; elsewhere a line a report."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, report: "Report") -> None:
        terms = "  ".join(f"{name.removeprefix('loss_')} {value:.3f}" for name, value in report.values.items())
        remaining = datetime.timedelta(seconds=round(report.remaining_s))
        counted = "".join(f"  {count} {name}" for count, name in
                          ((report.num_unreadable, "images unreadable"), (report.num_cut, "texts cut")) if count)  # fmt: skip
        text = f"step {report.step}/{report.num_steps}  {terms}  {report.rate_img_s:.0f} img/s  {remaining} left{counted}"
        print(f"\r{text}\x1b[K" if self._is_terminal else text, end="" if self._is_terminal else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._is_terminal:
            print(file=sys.stderr)


def _train_here(config: TrainConfig, stage: int, device: str, watch: "Callable[[Report], None] | None") -> Path:
    from stages.train.loop import Trainer

    return Trainer(_job(config, stage, device), watch).train()


def _job(config: TrainConfig, stage: int, device: str) -> "Job":
    from stages.train.loop import RESULT, Job

    params = config.stage1 if stage == 1 else config.stage2
    earlier = Path(config.out) / "stage1" / RESULT
    start = params.init or (str(earlier) if stage == 2 and earlier.is_dir() else None)
    from_scratch = config.from_scratch and start is None
    revision = config.revision if start is None else None
    out = Path(config.out) / f"stage{stage}"
    return Job(start or config.model, revision, from_scratch, config.dataset, out, params, device, config.official)


def _train_on_ray(config: TrainConfig, stage: int, watch: "Callable[[Report], None] | None") -> Path:
    from pipeline.run.cluster.join import connected
    from stages.train.data.shards import ExportedDataset
    from stages.train.data.stream import steps_per_epoch

    # what is wrong in what the user gave is said here, before processes start and start again
    steps_per_epoch(ExportedDataset(config.dataset), _job(config, stage, "cpu").params, config.placement.processes)
    with connected(config.placement.address):
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer
        from ray.util.queue import Queue

        placement, reports = config.placement, Queue()
        trainer = TorchTrainer(
            train_on_ray_worker,
            train_loop_config={"config": config.model_dump_json(), "stage": stage, "reports": reports},
            scaling_config=ScalingConfig(
                num_workers=placement.processes, use_gpu=placement.gpus, resources_per_worker={"CPU": placement.cpus}
            ),
            run_config=RunConfig(
                name=f"stage{stage}", storage_path=f"{config.out}/ray", failure_config=FailureConfig(max_failures=MAX_FAILURES)
            ),
        )
        done = threading.Event()
        reader = threading.Thread(target=_pass_on, args=(reports, watch, done), daemon=True)
        reader.start()
        try:
            trainer.fit()
        except TrainingFailedError as error:
            failures = getattr(error, "worker_failures", {})
            cause = str(failures[min(failures)] if failures else error).strip().splitlines()
            raise TrainError(f"the training on Ray failed {MAX_FAILURES + 1} times: {cause[-1]}") from error
        finally:
            done.set()
            reader.join()
    return _job(config, stage, "cpu").out / "model"


def train_on_ray_worker(settings: dict[str, Any]) -> None:
    """A process of Ray Train: its process group is up. Runs on the workers."""
    import ray.train
    import ray.train.torch

    reports = settings["reports"]
    config = TrainConfig.model_validate_json(settings["config"])
    device = str(ray.train.torch.get_device())
    _train_here(config, settings["stage"], device, reports.put)


def _pass_on(reports: Any, watch: "Callable[[Report], None] | None", done: threading.Event) -> None:
    """Reports of the first process to the watcher, until the training is done and none is left."""
    from ray.util.queue import Empty

    while True:
        was_done = done.is_set()
        try:
            report = reports.get(timeout=_POLL_S)
        except Empty:
            if was_done:
                return
            continue
        if watch:
            watch(report)


def _device(local_rank: int) -> str:
    import torch

    return f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"


def _need_torch() -> None:
    for package in ("torch", "transformers", "tensorboard"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"the package {package} is not installed; pip install 'fgdata[train]'")
    from transformers.utils import logging

    logging.disable_progress_bar()


def _line(name: str, value: float | None, low: float | None, high: float | None, blind: float | None) -> str:
    if value is None or low is None or high is None or blind is None:
        return f"{name:<22}{'-':>7}"
    return f"{name:<22}{value:7.3f}  {low:.3f} to {high:.3f} {blind:7.3f}"
