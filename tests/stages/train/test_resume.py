"""What a training goes on from, with what, and what it says of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stages.train.config import MAY_CHANGE, Stage2, TrainError
from stages.train.loop import CHECKPOINTS, CURVES, Job, Report, Trainer
from tests.support.training_data import toys, write_dataset

SETTINGS = {"batch_size": 5, "workers": 0, "precision": "fp32", "lr": 1e-3, "warmup_steps": 1, "log_every": 1, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_dataset(tmp_path_factory.mktemp("toys"), toys(20, 2)))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, dataset: str, tiny_clip: Path) -> Path:
    """A training of 8 steps that was stopped at step 5: its checkpoints are of steps 2 and 4."""
    out = tmp_path_factory.mktemp("half")

    def stop(report: Report) -> None:
        if report.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(job(out, dataset, tiny_clip), stop).train()
    return out


def job(out: Path, dataset: str, tiny_clip: Path, **params: Any) -> Job:
    return Job(str(tiny_clip), None, True, dataset, out, Stage2.model_validate({**SETTINGS, "epochs": 2, **params}))


def again(tmp_path: Path, half: Path, dataset: str, tiny_clip: Path, **params: Any) -> Trainer:
    shutil.copytree(half, tmp_path / "out")
    return Trainer(job(tmp_path / "out", dataset, tiny_clip, **params))


def test_the_configurations_optimiser_settings_hold(
    tmp_path: Path, half: Path, dataset: str, tiny_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = again(tmp_path, half, dataset, tiny_clip, lr=1e-5, weight_decay=0.3, beta2=0.9, eps=1e-6)
    group = trainer.optimiser.param_groups[0]
    assert trainer.first_step == 4
    assert (group["weight_decay"], group["betas"], group["eps"]) == (0.3, (0.9, 0.9), 1e-6)
    assert "goes on with lr 1e-05 (before: 0.001), weight_decay 0.3 (before: 0.001)" in caplog.text
    moments = next(iter(trainer.optimiser.state.values()))
    assert float(moments["step"]) == 4


@pytest.mark.parametrize(
    "key, value, now",
    [
        ("keep_groups", False, "False"),
        ("max_boxes", 2, "2"),
        ("weight_hard", 1.0, "1.0"),
        ("region_text", "long", "long"),
        ("type_weights", {"colour": 2.0}, "{'colour': 2.0}"),
    ],
)
def test_what_decides_images_texts_and_losses_must_be_the_same(
    tmp_path: Path, half: Path, dataset: str, tiny_clip: Path, key: str, value: Any, now: str
) -> None:
    with pytest.raises(TrainError, match=f"was trained with {key} .*, now it is {now}: .*choose another `out`"):
        again(tmp_path, half, dataset, tiny_clip, **{key: value})


def test_every_setting_either_may_change_or_is_compared() -> None:
    assert set(Stage2.model_fields) >= MAY_CHANGE


def test_other_numbers_of_workers_go_on_in_another_order_and_say_so(
    tmp_path: Path, half: Path, dataset: str, tiny_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = again(tmp_path, half, dataset, tiny_clip, workers=2)
    assert (trainer.first_step, trainer.num_steps) == (4, 8)
    assert "goes on at step 4 in another order of the images (workers 0 before, 2 now)" in caplog.text
    trainer.train()
    assert (tmp_path / "out" / CHECKPOINTS / "step-00000008").is_dir()


@pytest.mark.parametrize("torn", ["state.pt", "model.safetensors", "fgclip.safetensors"])
def test_a_torn_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, half: Path, dataset: str, tiny_clip: Path, caplog: pytest.LogCaptureFixture, torn: str
) -> None:
    shutil.copytree(half, tmp_path / "out")
    path = tmp_path / "out" / CHECKPOINTS / "step-00000004" / torn
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert Trainer(job(tmp_path / "out", dataset, tiny_clip)).first_step == 2
    assert "step-00000004: cannot be read" in caplog.text
    for folder in (tmp_path / "out" / CHECKPOINTS).iterdir():
        (folder / torn).write_bytes(b"")
    with pytest.raises(TrainError, match="no checkpoint can be read"):
        Trainer(job(tmp_path / "out", dataset, tiny_clip))


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path, half: Path, dataset: str, tiny_clip: Path) -> None:
    trainer = again(tmp_path, half, dataset, tiny_clip, lr=1e30, log_every=100)
    with pytest.raises(TrainError, match=r"no numbers: lower lr, .* goes on from step-00000004"):
        trainer.train()
    lower = Trainer(job(tmp_path / "out", dataset, tiny_clip, lr=1e-4))
    assert lower.first_step == 4
    lower.train()
    assert all(torch.isfinite(tensor).all() for tensor in load_file(tmp_path / "out" / "model" / "model.safetensors").values())


def test_what_is_finished_says_that_nothing_is_trained(
    tmp_path: Path, half: Path, dataset: str, tiny_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again(tmp_path, half, dataset, tiny_clip).train()
    caplog.clear()
    Trainer(job(tmp_path / "out", dataset, tiny_clip, lr=1e-6)).train()
    assert "is trained to its end: nothing is trained, with lr 1e-06 (before: 0.001) neither" in caplog.text


def test_curves_have_each_step_once_and_killed_saves_go(tmp_path: Path, half: Path, dataset: str, tiny_clip: Path) -> None:
    shutil.copytree(half, tmp_path / "out")
    left = tmp_path / "out" / CHECKPOINTS / ".writing-0123"
    left.mkdir()
    Trainer(job(tmp_path / "out", dataset, tiny_clip)).train()
    assert not left.exists()
    events = EventAccumulator(str(tmp_path / "out" / CURVES))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 9))


def test_a_data_set_without_one_readable_image_is_an_error(tmp_path: Path, tiny_clip: Path) -> None:
    records = toys(10)
    root = str(write_dataset(tmp_path / "broken", records, {record.key: b"no picture" for record in records[0]}))
    with pytest.raises(TrainError, match="none of the 10 images up to step 2 can be read"):
        Trainer(job(tmp_path / "out", root, tiny_clip)).train()


def test_images_that_cannot_be_read_and_texts_that_are_cut_are_counted(tmp_path: Path, tiny_clip: Path) -> None:
    records = toys(10)
    records[0][3] = records[0][3].model_copy(update={"long": "red " * 300})
    root = str(write_dataset(tmp_path / "some", records, {records[0][1].key: b"no picture"}))
    reports: list[Report] = []
    Trainer(job(tmp_path / "out", root, tiny_clip, epochs=1), reports.append).train()
    assert sum(report.num_unreadable for report in reports) == 1
    assert sum(report.num_cut for report in reports) == 1


def test_the_margin_is_part_of_the_checkpoint(tmp_path: Path, dataset: str, tiny_clip: Path) -> None:
    recipe = {"recipe": "fgclip2", "lr": 3e-3}
    whole = Trainer(job(tmp_path / "whole", dataset, tiny_clip, **recipe))
    reports: list[Report] = []
    whole.watch = reports.append
    whole.train()
    assert whole.step.margin > 0

    def stop(report: Report) -> None:
        if report.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(job(tmp_path / "cut", dataset, tiny_clip, **recipe), stop).train()
    rest: list[Report] = []
    resumed = Trainer(job(tmp_path / "cut", dataset, tiny_clip, **recipe), rest.append)
    assert resumed.step.margin > 0
    resumed.train()
    assert [report.values for report in rest] == [report.values for report in reports[4:]]
    assert resumed.step.margin == whole.step.margin
