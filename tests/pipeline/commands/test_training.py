"""`fgdata train` and `fgdata eval` as a user calls them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.commands.training import load_train_config, train
from pipeline.config.model import ConfigError
from stages.train.config import Stage2, TrainConfig, TrainPlacement
from stages.train.loop import Report
from stages.train.model.load import load_model
from tests.support.training_data import save_tiny_clip, toys, write_dataset

STEP = {"batch_size": 6, "workers": 0, "precision": "fp32", "steps": 3, "log_every": 1, "lr": 1e-3}


def write_config(folder: Path, **content: object) -> Path:
    save_tiny_clip(folder / "clip")
    write_dataset(folder / "dataset", toys(24, 2))
    path = folder / "train.yaml"
    whole = {"model": "clip", "dataset": "dataset", "out": "out", "stage1": STEP, "stage2": STEP, **content}
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "content, message",
    [
        ({"stage2": {"batchsize": 4}}, r"unknown key stage2\.batchsize: did you mean 'batch_size'\?"),
        ({"modle": "clip"}, r"unknown key modle: did you mean 'model'\?"),
        ({"stage1": {"lr": -1}}, r"stage1\.lr: .*greater than 0.*-1"),
        ({"out": "s3://bucket/out"}, r"out is 's3://bucket/out': checkpoints need a folder"),
    ],
)
def test_a_wrong_configuration_says_what_and_where(tmp_path: Path, content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_train_config(write_config(tmp_path, **content))


def test_stage_defaults_are_the_published_ones(tmp_path: Path) -> None:
    config = load_train_config(write_config(tmp_path, stage1={}, stage2={}))
    first, second = config.stage1, config.stage2
    assert (first.lr, first.weight_decay, first.warmup_steps, first.batch_size) == (1e-4, 0.05, 200, 384)
    assert (second.lr, second.weight_decay, second.warmup_steps, second.batch_size) == (1e-6, 0.001, 50, 512)
    assert (second.weight_long, second.weight_short, second.weight_regional, second.weight_hard) == (1.0, 1.0, 0.1, 0.5)
    assert (second.max_boxes, second.max_negatives, second.beta1, second.beta2) == (4, 10, 0.9, 0.98)


def test_both_stages_train_and_the_second_starts_from_the_first(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    runner = CliRunner()
    first = runner.invoke(app, ["train", str(path), "--stage", "1"])
    assert first.exit_code == 0, first.output
    assert "step 3/3" in first.stderr
    result = tmp_path / "out" / "stage1" / "model"
    assert str(result) in first.stdout
    path.write_text(path.read_text() + "\nmodel: nowhere/at-all\n")  # stage 2 does not read it any more
    frozen = yaml.safe_load(path.read_text())
    frozen["stage2"] = {**STEP, "lr": 1e-12}
    path.write_text(yaml.safe_dump(frozen))
    second = runner.invoke(app, ["train", str(path), "--stage", "2", "--json"])
    assert second.exit_code == 0, second.output
    weights = [load_model(place)[0].long_projection.weight for place in (str(result), json.loads(second.stdout)["model"])]
    assert (weights[0] - weights[1]).abs().max() < 1e-8


def test_eval_prints_what_machines_read(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    answer = CliRunner().invoke(app, ["eval", str(path.parent / "clip"), str(path.parent / "dataset"), "--json"])
    assert answer.exit_code == 0, answer.output
    figures = json.loads(answer.stdout)
    for name in ("long", "short"):
        assert {f"{way}{end}" for way in ("i2t_r1", "t2i_r1") for end in ("", "_low", "_high", "_blind")} <= set(figures[name])
        assert figures[name]["images"] == 24
    for name in ("region_top1", "hard_negative_top1"):
        assert {"value", "value_low", "value_high", "blind", "gain_over_blind", "items"} <= set(figures[name])
    assert set(figures["hard_negative_top1"]["by_type"]) == {"colour"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "missing.yaml", "--stage", "1"], "missing.yaml: no such file"),
        (["eval", "nowhere", "dataset"], "no exported data set there"),
        (["eval", "nowhere", "hard.jsonl"], "needs --images"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(arguments: list[str], message: str) -> None:
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_torchrun_trains_with_two_processes(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pipeline.cli"]
    done = subprocess.run(
        [*command, "train", str(path), "--stage", "2"],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("step 3/3") == 1  # one line for both


# Ray Train reads the settings of Ray Data, whose constructor warns of two of its own fields.
@pytest.mark.filterwarnings("ignore:`use_.*` is deprecated:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.ray
def test_ray_train_trains_with_two_processes(tmp_path: Path, ray_local: None) -> None:
    path = write_config(tmp_path, placement={"launcher": "ray", "processes": 2, "cpus": 0.5})
    reports: list[Report] = []
    result = train(path, 2, reports.append)
    assert [report.step for report in reports] == [1, 2, 3]
    assert load_model(str(result))[0].num_positions == (77, 248)


def test_the_page_on_training_explains_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    quoted = set(re.findall(r"`([a-z0-9_]+)`", page))
    assert {*TrainConfig.model_fields, *Stage2.model_fields, *TrainPlacement.model_fields} - quoted == set()


def test_the_pages_first_training_runs_as_written(tmp_path: Path) -> None:
    """On as many images as the page's demo has; the model is a small one, since tests have no network."""
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    block = page[page.index("       model: openai/") :].split("\n\n", 1)[0]
    content = yaml.safe_load("\n".join(line.strip() for line in block.splitlines()))
    save_tiny_clip(tmp_path / "clip")
    write_dataset(tmp_path / "demo-out" / "dataset", toys(96, 2))
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({**content, "model": "clip"}), encoding="utf-8")
    for stage in ("1", "2"):
        answer = CliRunner().invoke(app, ["train", str(path), "--stage", stage])
        assert answer.exit_code == 0, answer.output
    assert (tmp_path / "clip-out" / "stage2" / "model" / "model.safetensors").is_file()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background job ignores interruptions, and so would what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.timeout(120)
def test_ctrl_c_is_one_line(tmp_path: Path, interruptible: None) -> None:
    steps = {**STEP, "workers": 2, "steps": 100000, "batch_size": 2}
    path = write_config(tmp_path, stage2=steps)
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "train", str(path), "--stage", "2"],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 3/" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        left = [line for line in process.stderr if "img/s" not in line]
        assert process.wait(60) == 130
    assert len(left) == 1, left
    assert "Resume with" in left[0]
