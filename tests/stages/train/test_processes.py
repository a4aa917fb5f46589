"""Two processes over gloo beside one process on the joined batch."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.dataset import ExportRecord
from stages.train.config import Stage2
from stages.train.data.batch import Batch
from stages.train.loop import Report, Trainer
from stages.train.losses import Alone, contrastive_loss, sigmoid_loss
from stages.train.model.load import load_model
from stages.train.step import TrainingStep
from tests.support.training_data import record, region, write_dataset
from tests.support.two_processes import features, first_batch, run, short_job

PARAMS = Stage2.model_validate({"batch_size": 4, "workers": 0, "precision": "fp32", "keep_groups": False})


def records() -> list[ExportRecord]:
    """Eight images, of which some have no region: one process may have none at all."""
    kinds = [region("red", "car"), region("blue", "mug", "right", num_negatives=4)]
    return [record(number, regions=kinds[: number % 3]) for number in range(8)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_dataset(tmp_path_factory.mktemp("eight"), [records()]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def processes(folder: Path, root: str, tiny_clip: Path) -> list[dict[str, Any]]:
    torch.multiprocessing.spawn(run, (str(folder), str(tiny_clip), root), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def test_the_gathered_loss_equals_one_process_on_the_joined_batch(processes: list[dict[str, Any]]) -> None:
    rows = features()
    for name in ("image", "text", "scale"):
        rows[name].requires_grad_()
    loss = contrastive_loss(rows["image"], rows["text"], rows["scale"], rows["is_valid"], rows["keys"])
    loss.backward()
    torch.testing.assert_close((processes[0]["loss"] + processes[1]["loss"]) / 2, loss.detach(), atol=1e-5, rtol=0)
    for name in ("image", "text"):  # a process's loss counts for half in the mean over processes
        joined = torch.cat([process[f"{name}_grad"] for process in processes]) / 2
        torch.testing.assert_close(joined, rows[name].grad, atol=1e-5, rtol=0)
    scale = (processes[0]["scale_grad"] + processes[1]["scale_grad"]) / 2
    torch.testing.assert_close(scale, rows["scale"].grad, atol=1e-5, rtol=0)


def test_the_sigmoid_loss_of_two_processes_is_that_of_one_on_the_joined_batch(processes: list[dict[str, Any]]) -> None:
    rows, bias = features(), torch.tensor(-3.0, requires_grad=True)
    for name in ("image", "text", "scale"):
        rows[name].requires_grad_()
    loss = sigmoid_loss(rows["image"], rows["text"], rows["scale"], bias, rows["is_valid"], rows["keys"])
    loss.backward()
    results = [process["sigmoid"] for process in processes]
    torch.testing.assert_close((results[0]["loss"] + results[1]["loss"]) / 2, loss.detach(), atol=1e-5, rtol=0)
    for name in ("image", "text"):
        torch.testing.assert_close(torch.cat([result[name] for result in results]) / 2, rows[name].grad, atol=1e-5, rtol=0)
    for name, tensor in (("scale", rows["scale"]), ("bias", bias)):
        torch.testing.assert_close((results[0][name] + results[1][name]) / 2, tensor.grad, atol=1e-5, rtol=0)


def test_the_margin_is_the_mean_over_processes_and_one_without_boxes_keeps_its_own(processes: list[dict[str, Any]]) -> None:
    left, right = (process["margins"] for process in processes)
    before = 0.0
    for (first, moved), (second, same) in zip(left, right, strict=True):
        assert moved == same
        mean = ((before if first is None else first) + (before if second is None else second)) / 2
        assert moved == pytest.approx(min(10.0, max(0.0, mean)), abs=1e-6)
        before = moved
    assert [margin for margin, _ in right[1:]] == [None, None]
    assert left[0][1] > 0


def test_a_step_of_two_processes_has_the_gradients_of_one(processes: list[dict[str, Any]], root: str, tiny_clip: Path) -> None:
    """Global losses over the joined batch; regional and hard losses as the mean over the processes' own."""
    model, _ = load_model(str(tiny_clip))
    step = TrainingStep(model, PARAMS, Alone())
    parts: list[Batch] = [first_batch(str(tiny_clip), root, PARAMS, rank) for rank in range(2)]
    seen = [step.features(part) for part in parts]
    local = [step.losses(part, *features) for part, features in zip(parts, seen, strict=True)]
    scale = model.scales()[0]
    total = torch.zeros(())
    for name in ("long", "short"):
        texts = [getattr(part, f"{name}_B") for part in parts]
        text = torch.cat([features[2][index] for features, index in zip(seen, texts, strict=True)])
        keys = torch.cat([part.text_key_N[index] for part, index in zip(parts, texts, strict=True)])
        joined = contrastive_loss(torch.cat([features[0] for features in seen]), text, scale, text_key_B=keys)
        mean = sum(process["values"][f"loss_{name}"] for process in processes) / 2
        assert mean == pytest.approx(float(joined.detach()), abs=1e-5)
        total = total + joined
    for name, weight in (("regional", 0.1), ("hard", 0.5)):
        for losses, process in zip(local, processes, strict=True):
            assert process["values"][f"loss_{name}"] == pytest.approx(float(losses.terms[name].detach()), abs=1e-5)
        total = total + weight * (local[0].terms[name] + local[1].terms[name]) / 2
    total.backward()
    for name, parameter in model.named_parameters():
        expected = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        for process in processes:
            torch.testing.assert_close(process["gradients"][name], expected, atol=1e-5, rtol=1e-4, msg=name)


def test_two_processes_stay_equal_and_resume_to_identical_losses(processes: list[dict[str, Any]]) -> None:
    for name, value in processes[0]["weights"].items():
        assert torch.equal(value, processes[1]["weights"][name]), name
    trained, resumed = processes[0]["trained"]
    assert len(trained) == 6
    assert resumed == trained[3:]


@pytest.mark.usefixtures("processes")
def test_one_process_goes_on_with_what_two_have_trained_in_another_order_and_says_so(
    tmp_path: Path, folder: Path, root: str, tiny_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder / "out" / "checkpoints" / "step-00000003", tmp_path / "checkpoints" / "step-00000003")
    reports: list[Report] = []
    trainer = Trainer(short_job(str(tiny_clip), root, tmp_path, PARAMS), reports.append)
    assert "goes on at step 3 in another order of the images (processes 2 before, 1 now)" in caplog.text
    trainer.train()
    assert [report.step for report in reports] == [4, 5, 6]
    assert all(math.isfinite(value) for report in reports for value in report.values.values())


def test_a_process_without_a_text_does_not_hold_up_the_others(processes: list[dict[str, Any]]) -> None:
    for chunks in (1, 2):
        loud, silent = (process["one_silent"][chunks] for process in processes)
        assert loud["loss"] > 0 == silent["loss"]
