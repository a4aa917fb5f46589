"""fgdata as a library: the names a user imports, a run from Python, an exported set image by image."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import fgdata
from pipeline.cli import app
from pipeline.config.model import ConfigError
from tests.support.in_process import carry_all
from tests.support.kept import KEPT, unpack
from tests.support.rehearsal_job import write_job


def test_a_plain_import_loads_nothing_else_and_names_what_there_is() -> None:
    code = (
        "import sys, fgdata; loaded = {name.split('.')[0] for name in sys.modules}; "
        "assert not loaded & {'pipeline', 'stages', 'ray', 'torch', 'pyarrow', 'pydantic'}, loaded; print(fgdata.__version__, dir(fgdata))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "'dataset'" in answer.stdout
    with pytest.raises(AttributeError, match="it has ConfigError"):
        _ = fgdata.datasett  # type: ignore[attr-defined]


def test_plan_and_status_say_what_the_commands_say(tmp_path: Path) -> None:
    run = fgdata.open(unpack("line", tmp_path / "job"))
    assert {plan.name: plan.pending for plan in run.plan()}.keys() == set(run.stages)
    assert {stage.name: sum(stage.images.values()) for stage in run.status()} == dict.fromkeys(run.stages, 20)


def test_failed_rows_are_asked_for_again(tmp_path: Path) -> None:
    config = write_job(tmp_path, captioner={"error_rate": 0.5}, stages={"caption": {"prompt": "demo"}})
    carry_all(config)
    run = fgdata.open(config)
    failed = run.status()[0].images["failed"]
    assert failed > 0
    assert run.retry("caption")["caption"] > 0
    assert run.plan()[0].why == {"retry": run.plan()[0].pending}
    with pytest.raises(ConfigError, match="there is no stage capton among caption"):
        run.retry("capton")


@pytest.mark.ray
def test_a_run_from_python_ends_in_its_data_set(ray_local: None, tmp_path: Path) -> None:
    run = fgdata.open(write_job(tmp_path))
    dataset = run.export()
    assert len(dataset) == 14 == len(list(dataset))
    assert not any(plan.pending for plan in run.plan())


def test_a_data_set_is_read_image_by_image_and_by_key() -> None:
    dataset = fgdata.dataset(KEPT / "line" / "dataset")
    samples = list(dataset)
    assert len(samples) == len(dataset) > 0
    assert len({sample.key for sample in samples}) == len(samples)
    for sample in samples:
        assert sample.image.size == (sample.record.width, sample.record.height) == (64, 48)
        assert sample.long
        assert all(0 <= region.xyxy[0] < region.xyxy[2] <= 64 for region in sample.regions if region.xyxy)
    regions = [region for sample in fgdata.dataset(KEPT / "coco" / "dataset") for region in sample.regions]
    denied = [negative for region in regions for negative in region.negatives]
    assert {negative.verdict for negative in denied} == {"false"}
    last = samples[-1]
    assert dataset[last.key] == last
    with pytest.raises(KeyError, match="is no image of"):
        dataset["nothing"]
    with pytest.raises(TypeError, match="asked for by key"):
        dataset[0]  # type: ignore[index]  # what users try first


def test_a_set_without_pixels_says_so() -> None:
    (sample, *_) = fgdata.dataset(KEPT / "text" / "dataset")
    assert sample.data is None
    with pytest.raises(fgdata.DatasetError, match="holds no pixels"):
        _ = sample.image


def test_a_missing_set_and_a_cut_shard_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(fgdata.DatasetError, match="no exported data set there"):
        fgdata.dataset(tmp_path)
    shutil.copytree(KEPT / "line" / "dataset", tmp_path / "set")
    tar = sorted((tmp_path / "set").glob("*.tar"))[0]
    tar.write_bytes(tar.read_bytes()[:4000])
    with pytest.raises(fgdata.DatasetError, match=r"00000\.tar: .*image"):
        list(fgdata.dataset(tmp_path / "set"))


def test_a_set_on_s3_is_the_same(s3_bucket: str) -> None:
    import fsspec

    filesystem = fsspec.filesystem("s3")
    filesystem.put(str(KEPT / "line" / "dataset"), f"{s3_bucket}/python-api/dataset", recursive=True)
    local, remote = (fgdata.dataset(path) for path in (KEPT / "line" / "dataset", f"{s3_bucket}/python-api/dataset"))
    assert list(remote) == list(local)
    assert isinstance(remote[next(iter(local)).key].image, Image.Image)


def test_the_command_tells_its_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"fgdata {fgdata.__version__}\n")
