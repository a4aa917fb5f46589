"""The command: a user's mistake is one line and exit 2, JSON has the fields that machines read, --help imports little."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.commands.templates import installed_spacy_model
from tests.support.rehearsal_job import job_content, write_job

ROOT = Path(__file__).parents[2]


def _invoke(*arguments: object) -> Any:
    """The command's outcome, in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _refused(*arguments: object) -> str:
    """The one line on stderr of a command that must end with exit 2, and no traceback."""
    result = _invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert isinstance(result.exception, SystemExit), result.exception
    line, end = result.stderr[:-1], result.stderr[-1:]
    assert line.startswith("fgdata: ")
    assert "\n" not in line, result.stderr
    assert end == "\n"
    return line


def _answer(*arguments: object, code: int = 0) -> Any:
    """What the command prints as JSON."""
    result = _invoke(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def _edited(folder: Path, **blocks: Any) -> Path:
    """The job with these blocks replaced; None takes a block out."""
    config = write_job(folder)
    content = {**job_content("corpus"), **blocks}
    config.write_text(yaml.safe_dump({name: block for name, block in content.items() if block is not None}, sort_keys=False))
    return config


def _closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture(params=["plan", "run", "status"])
def command(request: pytest.FixtureRequest) -> str:
    """The commands that all read a whole configuration and its corpus."""
    return str(request.param)


class TestMistakes:
    def test_a_configuration_that_is_not_there(self, tmp_path: Path, command: str) -> None:
        assert f"{tmp_path / 'none.yaml'}: no such file" in _refused(command, tmp_path / "none.yaml")

    def test_yaml_that_does_not_parse(self, tmp_path: Path, command: str) -> None:
        config = write_job(tmp_path)
        config.write_text("workdir: [work\ncorpus: {")
        assert f"{config}: cannot be read as YAML" in _refused(command, config)

    def test_an_unknown_block(self, tmp_path: Path, command: str) -> None:
        assert "unknown key worksdir: did you mean 'workdir'?" in _refused(command, _edited(tmp_path, worksdir="work"))

    def test_an_unknown_key_of_a_block(self, tmp_path: Path, command: str) -> None:
        config = _edited(tmp_path, corpus={"path": "corpus", "unit_sise": 4})
        assert "unknown key corpus.unit_sise: did you mean 'unit_size'?" in _refused(command, config)

    def test_an_unknown_parameter_of_a_stage(self, tmp_path: Path, command: str) -> None:
        config = _edited(tmp_path, stages={"caption": {"promt": "demo"}})
        assert "unknown key stages.caption.promt: did you mean 'prompt'?" in _refused(command, config)

    def test_an_unknown_stage(self, tmp_path: Path, command: str) -> None:
        assert "unknown key stages.captoin: did you mean 'caption'?" in _refused(command, _edited(tmp_path, stages={"captoin": {}}))

    def test_a_stage_whose_upstream_is_left_out(self, tmp_path: Path, command: str) -> None:
        config = _edited(tmp_path, stages={"caption": {"prompt": "demo"}, "select": {}})
        assert "stages.select reads ground, which is not among the stages" in _refused(command, config)

    def test_a_stage_without_its_engine(self, tmp_path: Path, command: str) -> None:
        config = _edited(tmp_path, engines={"detector": {"kind": "rehearsal-detector"}, "writer": {"kind": "rehearsal"}})
        assert "add the block engines.captioner" in _refused(command, config)

    def test_a_model_folder_that_is_not_there(self, tmp_path: Path, command: str) -> None:
        config = write_job(tmp_path, captioner={"kind": "transformers", "model": "./no-such-model"})
        assert "engines.captioner.model is './no-such-model': no such folder" in _refused(command, config)

    def test_a_hub_model_without_its_revision(self, tmp_path: Path, command: str) -> None:
        config = write_job(tmp_path, captioner={"kind": "transformers", "model": "org/name"})
        assert "engines.captioner.revision is missing: pin the commit or tag of the hub model org/name" in _refused(command, config)

    def test_a_prompt_version_that_is_not_there(self, tmp_path: Path, command: str) -> None:
        config = _edited(tmp_path, stages={"caption": {"prompt": "dmeo"}})
        message = _refused(command, config)
        assert "stages.caption: no prompt 'dmeo' for the task caption" in message
        assert "did you mean 'demo'?" in message

    @pytest.mark.parametrize("text", ["user: [", "user: Describe.\ndecoding: {max_tokens: 9}", "- no\n- mapping"])
    def test_a_file_that_is_no_prompt(self, tmp_path: Path, command: str, text: str) -> None:
        config = _edited(tmp_path, stages={"caption": {"prompt": "mine"}}, prompts_dir="prompts")
        path = tmp_path / "prompts" / "caption" / "mine.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        assert str(path) in _refused(command, config)

    def test_a_workdir_that_cannot_be_written(self, tmp_path: Path, command: str) -> None:
        (tmp_path / "file").write_text("a regular file")
        config = _edited(tmp_path, workdir="file/work")
        assert str(tmp_path / "file" / "work") in _refused(command, config)

    def test_a_corpus_that_is_not_there(self, tmp_path: Path, command: str) -> None:
        assert "no-such-corpus" in _refused(command, _edited(tmp_path, corpus={"path": "no-such-corpus"}))

    def test_a_corpus_without_images(self, tmp_path: Path, command: str) -> None:
        (tmp_path / "bare").mkdir()
        assert str(tmp_path / "bare") in _refused(command, _edited(tmp_path, corpus={"path": "bare"}))

    def test_until_a_stage_that_is_not_there(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        assert "there is no stage verfiy" in _refused("run", config, "--until", "verfiy")
        assert "there is no stage verfiy" in _refused("plan", config, "--until", "verfiy")

    def test_a_retry_of_what_cannot_be_retried(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        assert "--stage captoin" in _refused("retry", config, "--stage", "captoin")
        assert "--only ok" in _refused("retry", config, "--only", "ok")

    def test_a_schedule_that_is_not_known(self, tmp_path: Path) -> None:
        assert "--schedule sideways" in _refused("run", write_job(tmp_path), "--schedule", "sideways")

    def test_an_export_without_its_place(self, tmp_path: Path) -> None:
        assert "export_to is missing" in _refused("export", _edited(tmp_path, export_to=None))

    def test_a_template_that_is_not_known(self, tmp_path: Path) -> None:
        assert "did you mean 'laptop'?" in _refused("init", tmp_path / "new.yaml", "--for", "labtop")

    def test_an_existing_file_is_not_overwritten_by_init(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text("mine")
        assert f"{path} exists" in _refused("init", path)
        assert path.read_text() == "mine"


class TestPreflight:
    """What `run` refuses before anything is started, and `doctor` reports."""

    def test_an_answer_schema_that_is_none(self, tmp_path: Path) -> None:
        config = _edited(tmp_path, stages={"caption": {"prompt": "mine"}}, prompts_dir="prompts")
        path = tmp_path / "prompts" / "caption" / "mine.yaml"
        path.parent.mkdir(parents=True)
        path.write_text("user: Describe.\nanswer_schema: {type: objekt}\ndecoding: {max_tokens: 9}\n")
        assert "prompt caption/mine: answer_schema is no JSON schema" in _refused("run", config)
        assert not (tmp_path / "work" / "caption").exists()
        assert _failed_checks(config) == ["prompt caption/mine"]

    def test_a_server_that_does_not_answer(self, tmp_path: Path) -> None:
        server = f"http://127.0.0.1:{_closed_port()}/v1"
        config = write_job(tmp_path, captioner={"kind": "openai", "model": "any", "base_url": server})
        assert f"engines.captioner (openai): {server} does not answer" in _refused("run", config)
        assert _failed_checks(config) == ["engines.captioner (openai)"]

    def test_a_model_folder_without_a_model(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        config = write_job(tmp_path, captioner={"kind": "transformers", "model": "./model"})
        assert "holds no config.json" in _refused("run", config)
        assert _failed_checks(config) == ["engines.captioner (transformers)"]

    def test_an_export_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("a regular file")
        config = _edited(tmp_path, export_to="file/dataset")
        message = f"export_to is {tmp_path / 'file' / 'dataset'}, and {tmp_path / 'file'} is a file: name a folder"
        assert message in _refused("run", config)
        assert message in _refused("doctor", config)

    def test_a_sound_job_passes_the_doctor(self, tmp_path: Path) -> None:
        checks = _answer("doctor", write_job(tmp_path))["checks"]
        assert {"python", "versions", "package names", "workdir", "export_to"} <= {check["name"] for check in checks}
        assert all(check["is_ok"] and check["detail"] for check in checks)


def _failed_checks(config: Path) -> list[str]:
    checks = _answer("doctor", config, code=2)["checks"]
    failed = [check for check in checks if not check["is_ok"]]
    assert all(check["act"] for check in failed)
    return [check["name"] for check in failed]


class TestJson:
    def test_a_plan_before_any_run_counts_every_unit_as_new(self, tmp_path: Path) -> None:
        stages = _answer("plan", write_job(tmp_path))["stages"]
        assert [stage["name"] for stage in stages] == ["caption", "ground", "select", "region_caption", "hard_negative", "export"]
        for stage in stages:
            assert (stage["done"], stage["pending"], stage["why"]) == (0, 4, {"new": 4})
        assert len({stage["fingerprint"] for stage in stages}) == len(stages)

    def test_a_plan_until_a_stage_holds_what_that_stage_needs(self, tmp_path: Path) -> None:
        stages = _answer("plan", write_job(tmp_path), "--until", "select")["stages"]
        assert [stage["name"] for stage in stages] == ["caption", "ground", "select"]

    def test_status_before_any_run_is_all_pending(self, tmp_path: Path) -> None:
        answer = _answer("status", write_job(tmp_path))
        assert answer["images_in"] == 14
        assert all(stage["images"] == {"pending": 14} for stage in answer["stages"])

    def test_retry_and_gc_on_an_empty_ledger_find_nothing(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        assert set(_answer("retry", config)["units"].values()) == {0}
        assert _answer("gc", config, "--yes") == {"removed": [], "bytes": 0, "spared": []}

    def test_init_says_what_it_wrote(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "mine.yaml"
        reader = "spacy" if installed_spacy_model() else "chunker"
        assert _answer("init", path, "--for", "laptop") == {"written": str(path), "for": "laptop", "phrases": reader}
        assert yaml.safe_load(path.read_text())["workdir"]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
class TestRuns:
    def test_statuses_sum_to_the_images_and_failures_are_counted(self, failing: Path) -> None:
        answer = _answer("run", failing)
        assert (answer["images"], answer["num_failed"] > 0) == (14, True)
        assert answer["failed"]["caption"]["bad_request"]["example"].endswith("rehearsed error")
        assert (Path(answer["dataset"]).name, answer["next"]) == ("dataset", f"fgdata retry {failing}")
        assert answer["exported"] == 14 - answer["num_failed"]
        for figures in answer["stages"].values():
            assert sum(figures["statuses"].values()) == figures["images"] == 14
        status = _answer("status", failing)
        assert status["images_in"] == 14
        for stage in status["stages"]:
            assert {"name", "fingerprint", "images", "reasons"} <= stage.keys()
            assert sum(stage["images"].values()) == 14
            assert sum(reason["count"] for reason in stage["reasons"].values()) == 14 - stage["images"].get("ok", 0)
        assert sum(stage["images"].get("failed", 0) for stage in status["stages"]) == answer["num_failed"]
        assert status["stages"][0]["reasons"]["bad_request"]["count"] == status["stages"][0]["images"]["failed"]

    def test_more_failures_than_allowed_exit_1_also_when_nothing_is_left_to_run(self, failing: Path) -> None:
        assert _answer("run", failing, "--until", "caption", "--max-failed", 1.0)["num_failed"] > 0
        result = _invoke("run", failing, "--until", "caption", "--max-failed", 0.01, "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["run"] is None
        assert "more than --max-failed 0.01" in result.stderr

    def test_a_retry_names_the_units_that_hold_failures_and_the_plan_says_so(self, failing: Path) -> None:
        _answer("run", failing, "--until", "caption")
        assert _answer("retry", failing, "--reason", "timeout")["units"]["caption"] == 0
        asked = _answer("retry", failing, "--stage", "caption", "--reason", "bad_request")["units"]
        assert asked["caption"] > 0
        assert _answer("plan", failing)["stages"][0]["why"] == {"retry": asked["caption"]}

    def test_export_runs_what_it_needs_and_gc_removes_what_another_prompt_left(self, tmp_path: Path) -> None:
        config = _edited(tmp_path, stages={"caption": {"prompt": "demo"}, "export": {}})
        answer = _answer("export", config)
        assert set(answer["stages"]) == {"caption", "export"}
        assert (tmp_path / "dataset" / "00001.tar").is_file()
        config.write_text(config.read_text().replace("prompt: demo", "prompt: v1"))
        _answer("run", config)
        refused = CliRunner().invoke(app, ["gc", str(config)], input="n\n")
        assert (refused.exit_code, refused.stdout.splitlines()[-1]) == (0, "removed 0 files, 0 bytes")
        removed = _answer("gc", config, "--yes")["removed"]
        assert sorted({path.split("/")[0] for path in removed}) == ["caption", "export"]
        assert not [path for path in removed if (tmp_path / "work" / path).exists()]
        assert all(stage["pending"] == 0 for stage in _answer("plan", config)["stages"])

    def test_a_run_prints_a_line_a_stage(self, tmp_path: Path) -> None:
        config = write_job(tmp_path)
        result = _invoke("run", config, "--until", "ground")
        assert result.exit_code == 0
        assert [line.split()[:2] for line in result.stdout.splitlines()[:2]] == [["caption", "14"], ["ground", "14"]]
        assert "nothing to be done" in _invoke("run", config, "--until", "ground").stdout


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Path]:
    """A job some of whose captions always fail."""
    return write_job(tmp_path, captioner={"error_rate": 0.3, "seed": 5})


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["init", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr))\n"
        "from pipeline.cli import app\n"
        f"app({arguments!r})\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert "Usage:" in answer.stdout
    assert not {"ray", "torch", "transformers", "vllm", "pyarrow", "numpy", "PIL"} & set(json.loads(answer.stderr))
