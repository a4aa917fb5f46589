import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stages.train.config import Stage2, TrainError
from stages.train.loop import CHECKPOINTS, Job, Report, Trainer
from stages.train.model.checkpoint import latest_checkpoint
from stages.train.model.load import load_model
from stages.train.schedule import lr_at
from tests.support.training_data import toys, write_dataset

SETTINGS = {"batch_size": 6, "workers": 0, "precision": "fp32", "lr": 2e-3, "warmup_steps": 2, "log_every": 1, "checkpoint_every": 4}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_dataset(tmp_path_factory.mktemp("toys"), toys(40, 3)))


def job(out: Path, dataset: str, tiny_clip: Path, **params: object) -> Job:
    settings = Stage2.model_validate({**SETTINGS, **params})
    return Job(str(tiny_clip), None, True, dataset, out, settings)


def trained(training: Job) -> list[Report]:
    reports: list[Report] = []
    Trainer(training, reports.append).train()
    return reports


class Stopped(Exception):
    pass


def test_a_training_that_stops_resumes_to_identical_losses_and_weights(tmp_path: Path, dataset: str, tiny_clip: Path) -> None:
    whole = trained(job(tmp_path / "whole", dataset, tiny_clip, steps=15))

    def stop(report: Report) -> None:
        if report.step == 10:  # the newest checkpoint is of step 8
            raise Stopped

    with pytest.raises(Stopped):
        Trainer(job(tmp_path / "cut", dataset, tiny_clip, steps=15), stop).train()
    rest = trained(job(tmp_path / "cut", dataset, tiny_clip, steps=15))
    assert [report.step for report in rest] == list(range(9, 16))
    assert [report.values for report in rest] == [report.values for report in whole[8:]]
    weights = [load_model(str(tmp_path / name / "model"))[0].state_dict() for name in ("whole", "cut")]
    assert all(torch.equal(a, b) for a, b in zip(weights[0].values(), weights[1].values(), strict=True))


def test_a_killed_process_leaves_whole_checkpoints_and_resumes(tmp_path: Path, dataset: str, tiny_clip: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from stages.train.config import Stage2; from stages.train.loop import Job, Trainer\n"
        f"settings = Stage2.model_validate({SETTINGS | {'steps': 100000, 'checkpoint_every': 1}!r})\n"
        f"Trainer(Job({str(tiny_clip)!r}, None, True, {dataset!r}, Path({str(tmp_path)!r}), settings)).train()\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = str(Path(__file__).parents[3])
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 240
        while latest_checkpoint(tmp_path / CHECKPOINTS) is None and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    path = latest_checkpoint(tmp_path / CHECKPOINTS)
    assert path is not None
    again = Trainer(job(tmp_path, dataset, tiny_clip, steps=100000, checkpoint_every=1))
    assert again.first_step == int(path.name.removeprefix("step-"))


def test_toys_are_learned(tmp_path: Path, dataset: str, tiny_clip: Path) -> None:
    reports = trained(job(tmp_path, dataset, tiny_clip, steps=80, weight_regional=1.0, weight_hard=1.0))
    first, last = (sum(report.values["loss_hard"] for report in part) / 8 for part in (reports[:8], reports[-8:]))
    assert last < 0.5 * first
    assert list((tmp_path / "curves").iterdir())


def test_a_resume_that_would_read_other_images_is_refused(tmp_path: Path, dataset: str, tiny_clip: Path) -> None:
    trained(job(tmp_path, dataset, tiny_clip, steps=4))
    with pytest.raises(TrainError, match="written with batch_size 6, now it is 5"):
        Trainer(job(tmp_path, dataset, tiny_clip, steps=4, batch_size=5))


def test_old_checkpoints_make_room(tmp_path: Path, dataset: str, tiny_clip: Path) -> None:
    trained(job(tmp_path, dataset, tiny_clip, steps=6, checkpoint_every=1, keep_checkpoints=2))
    assert sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir()) == ["step-00000005", "step-00000006"]


def test_a_finished_training_is_not_trained_again(tmp_path: Path, dataset: str, tiny_clip: Path) -> None:
    assert len(trained(job(tmp_path, dataset, tiny_clip, steps=3))) == 3
    assert trained(job(tmp_path, dataset, tiny_clip, steps=3)) == []


def test_the_rate_rises_over_the_warm_up_and_falls_as_a_cosine() -> None:
    params = Stage2(lr=1.0, warmup_steps=10, min_lr_share=0.1)
    rates = [lr_at(step, 110, params) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
