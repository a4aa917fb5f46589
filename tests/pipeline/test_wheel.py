"""The wheel in an environment of its own, used from another directory: what a user has who never saw the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.rehearsal_job import write_job, write_tar

pytestmark = [pytest.mark.slow, pytest.mark.ray]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by pip as a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    _checked([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], folder)
    (path,) = folder.glob("fgdata-*.whl")
    return path


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment that holds the wheel and sees this one's other packages.

    A path in a .pth file brings packages and runs no .pth file of that folder: the checkout's editable install stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    _checked([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)], folder)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    Path(paths["purelib"], "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


def _checked(command: list[str], folder: Path) -> str:
    """What the command prints, run in a folder away from the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_wheel_holds_our_packages_their_prompts_and_the_configurations(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fgdata", "pipeline", "prompts", "schemas", "stages"}
    assert {"prompts/caption/v1.yaml", "pipeline/demo/prompts/caption/demo.yaml", "pipeline/configs/laptop.yaml"} <= set(names)
    assert {"pipeline/report/templates/index.html.j2", "pipeline/report/assets/report.css"} <= set(names)


def test_the_command_and_its_templates_work_away_from_the_checkout(bin_folder: Path, tmp_path: Path) -> None:
    assert "resumable, on Ray" in _checked([str(bin_folder / "fgdata"), "--help"], tmp_path)
    _checked([str(bin_folder / "fgdata"), "init", "mine.yaml", "--for", "laptop"], tmp_path)
    assert "engines:" in (tmp_path / "mine.yaml").read_text()
    where = _checked([str(bin_folder / "python"), "-c", "import pipeline, prompts; print(pipeline.__file__, prompts.__file__)"], tmp_path)
    assert all(path.startswith(str(bin_folder.parent)) for path in where.split())


def test_a_rehearsal_runs_to_its_data_set_on_workers_that_have_the_wheel_alone(bin_folder: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "corpus" / "a.tar", [f"a{i}" for i in range(8)])
    config = write_job(tmp_path)
    answer = json.loads(_checked([str(bin_folder / "fgdata"), "run", config.name, "--json"], tmp_path))
    assert (answer["images"], answer["failed"]) == (8, {})
    assert {"00000.tar", "00000.parquet", "manifest.json"} <= {path.name for path in (tmp_path / "dataset").iterdir()}
    status = json.loads(_checked([str(bin_folder / "fgdata"), "status", config.name, "--json"], tmp_path))
    assert [stage["images"] for stage in status["stages"]] == [{"ok": 8}] * 6
