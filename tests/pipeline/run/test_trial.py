"""What is found before a run starts: by one question to each engine, and by the checks that doctor and run share."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bench.faults.hostile import HOSTILITIES, HostileServer, Hostility, status
from pipeline.api import open_job
from pipeline.cli import app
from pipeline.run.blame.patience import StayedAway
from pipeline.run.runner import Runner
from pipeline.run.trial import Trial, ask_remote, judged, picture_of, stand_in, trials_of
from pipeline.run.watch.progress import AnyWatcher, Silent
from pipeline.run.worker import StageWorker
from stages.engines.base import Answer, Decoding, DetectRequest, Request
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec
from tests.support.rehearsal_job import write_job

NO_MODEL = status("404 Not Found", b'{"error": {"message": "The model `m` does not exist."}}')
TOO_SHORT = status("400 Bad Request", b'{"error": {"message": "This model\'s maximum context length is 256 tokens."}}')
NO_TEMPLATE = status("400 Bad Request", b'{"error": {"message": "chat template error: \'messages\' is undefined"}}')
NO_GRAMMAR = status("400 Bad Request", b'{"error": {"message": "the schema has no grammar"}}')


def _served(folder: Path, url: str, **edits: Any) -> Path:
    config = write_job(folder)
    content = yaml.safe_load(config.read_text()) | {"placement": {}} | edits
    content["engines"]["captioner"] = {"kind": "openai", "model": "m", "base_url": url, "max_retries": 0}
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    return config


def _refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert sum(line.startswith("fgdata: ") for line in result.stderr.splitlines()) == 1, result.stderr  # beside lines of progress
    return result.stderr


def _checks(*arguments: object, code: int) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


@pytest.mark.parametrize(
    ("send", "kind", "message"),
    [
        (NO_MODEL, "unsupported", "does not exist"),
        (TOO_SHORT, "context_window", "256 tokens"),
        (NO_TEMPLATE, "bad_request", "chat template"),
        (NO_GRAMMAR, "bad_request", "no grammar"),
        (status("401 Unauthorized"), "auth", "401"),
    ],
    ids=["model", "context", "template", "grammar", "key"],
)
def test_what_no_question_can_pass_is_found_before_anything_starts(tmp_path: Path, send: Any, kind: str, message: str) -> None:
    refuses = Hostility("refuses", kind, send)
    with HostileServer(lambda _: refuses).running() as server:
        config = _served(tmp_path, server.url)
        refused = _refused("run", config)
        check = _checks(config, "--ask", code=2)["trial of engines.captioner (openai) for caption"]
    for text in (refused, f"{check['detail']}; {check['act']}"):
        assert kind in text
        assert message in text
    assert "trial of engines.captioner (openai) for caption" in refused
    assert not list((tmp_path / "work").glob("caption/*/*.parquet"))


def test_one_stages_question_may_fail_alone(tmp_path: Path) -> None:
    """Of a captioner that takes whole images and no crops, the stage that asks about crops is named."""
    refuses = Hostility("refuses", "context_window", TOO_SHORT)
    with HostileServer(lambda question: None if "image" in question else refuses).running() as server:
        assert "for region_caption: context_window" in _refused("run", _served(tmp_path, server.url))


def test_an_answer_that_is_bad_or_late_stops_no_run(tmp_path: Path) -> None:
    half = next(hostility for hostility in HOSTILITIES if hostility.name == "a number in place of the text")
    with HostileServer(lambda _: half).running() as server:
        checks = _checks(_served(tmp_path, server.url), "--ask", code=0)
    assert checks["trial of engines.captioner (openai) for caption"]["detail"] == "invalid_output"


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    with HostileServer(lambda _: None).running() as server:
        config = _served(tmp_path, server.url)
    assert f"engines.captioner (openai): {server.url} does not answer" in _refused("run", config)
    assert "trial of engines.captioner (openai) for caption" not in _checks(config, "--ask", code=2)


def test_a_server_that_is_away_at_the_trial_is_waited_for(tmp_path: Path) -> None:
    server = HostileServer(lambda _: None)
    port = int(server.server_address[1])
    server.server_close()
    config = open_job(_served(tmp_path, server.url)).config
    trials = [trial for trial in trials_of(config, open_job(tmp_path / "job.yaml").graph, stand_in(None)) if trial.role == "captioner"]
    noted: list[str] = []
    back = threading.Event()

    def note(words: str) -> None:
        noted.append(words)
        back.set()

    with ThreadPoolExecutor(1) as waits:
        checks = waits.submit(ask_remote, config, trials, note)
        assert back.wait(30)
        with HostileServer(lambda _: None, port=port).running():
            assert [check.is_ok for check in checks.result()] == [True] * len(trials)
    assert f"caption: the engine's server is away: {server.url}" in noted[0]
    assert "asked again in 1 s" in noted[0]


def test_a_server_that_stays_away_at_the_trial_ends_the_run(tmp_path: Path) -> None:
    with HostileServer(lambda _: None).running() as server:
        config = open_job(_served(tmp_path, server.url, placement={"patience_s": 0.5})).config
    trials = trials_of(config, open_job(tmp_path / "job.yaml").graph, stand_in(None))
    with pytest.raises(StayedAway, match=r"patience_s is 0\.5.*nothing is failed"):
        ask_remote(config, trials, lambda _: None)


def test_the_question_is_the_runs_own(tmp_path: Path) -> None:
    config = _served(tmp_path, "http://127.0.0.1:9/v1")
    job = open_job(config)
    picture = picture_of(job.config, job.state())
    assert picture is not None
    assert picture.rgb.size == (64, 48)
    trials = {(trial.stage, trial.role): trial.request for trial in trials_of(job.config, job.graph, picture)}
    assert set(trials) == {("caption", "captioner"), ("ground", "detector"), ("region_caption", "captioner"), ("hard_negative", "writer")}
    asked = trials["caption", "captioner"]
    assert isinstance(asked, Request)
    prompt = job.graph[0].prompts["caption"]
    assert (asked.user, asked.answer_schema, asked.images[0].size) == ("Describe the image.", prompt.answer_schema, (64, 48))
    assert isinstance(trials["ground", "detector"], DetectRequest)


def test_a_worker_is_not_asked_about_a_picture_that_may_end_it(tmp_path: Path) -> None:
    job = open_job(_served(tmp_path, "http://127.0.0.1:9/v1"))
    picture = picture_of(job.config, job.state())
    assert picture is not None
    other = stand_in(picture)
    assert other.rgb.size == picture.rgb.size
    assert other.key not in {"a0", "b0"}
    assert (picture.alt is None) == (other.alt is None)


def test_a_prompt_that_does_not_render_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "prompts" / "caption"
    folder.mkdir(parents=True)
    schema = "{type: object, properties: {long: {type: string}, short: {type: string}}, required: [long, short]}"
    (folder / "mine.yaml").write_text(f"user: 'Describe {{{{ 1 / 0 }}}}'\nanswer_schema: {schema}\ndecoding: {{max_tokens: 9}}\n")
    config = _served(tmp_path, "http://127.0.0.1:9/v1", prompts_dir="prompts", engines={"captioner": {"kind": "rehearsal"}})
    content = yaml.safe_load(config.read_text())
    content["engines"] = {"captioner": {"kind": "rehearsal"}}
    content["stages"] = {"caption": {"prompt": "mine"}}
    config.write_text(yaml.safe_dump(content))
    assert "prompt caption/mine does not render: ZeroDivisionError" in _refused("run", config)
    assert "caption/mine" in _checks(config, "--ask", code=2)["prompts"]["detail"]


def test_an_engine_whose_process_is_killed_at_the_trial_is_no_verdict_on_the_question(tmp_path: Path) -> None:
    """The worker says so and is born again, where a question that is refused ends the run."""
    job = open_job(write_job(tmp_path, captioner={"has_process": True}), "caption")
    state = job.state()
    trials = trials_of(job.config, job.graph, stand_in(None))
    worker = StageWorker(Runner(job.config, state, ("", b""), AnyWatcher(Silent()), trials)._job(job.graph[0]))
    generator = worker._stage.context.generators["captioner"]
    assert isinstance(generator, RehearsalGenerator)
    assert generator._process is not None
    generator._process.kill()
    generator._process.wait()
    born = asyncio.run(worker.born("none"))
    generator._process.communicate()
    assert born.engine_death == "trial of engines.captioner (rehearsal) for caption: the rehearsed engine's process ended with -9"
    assert not born.failed


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chat_template": "{{ raise_exception('no such role') }}"}, "bad_request: TemplateError: no such role"),
        ({"chat_template": "<image>{{ 'Describe the image. ' * 900 }}"}, "context_window: "),
    ],
    ids=["template", "context"],
)
def test_an_engine_in_a_worker_is_asked_before_it_gets_work(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    pytest.importorskip("transformers")
    config = write_job(tmp_path)
    content = yaml.safe_load(config.read_text())
    content["engines"] = {"captioner": {"kind": "transformers", "model": "builtin:captioner", "threads": 1, **fields}}
    content["stages"], content["placement"] = {"caption": {"prompt": "demo"}}, {}
    config.write_text(yaml.safe_dump(content))
    refused = _refused("run", config, "--json")
    assert "trial of engines.captioner (transformers) for caption: " in refused
    assert message in refused
    assert message in _checks(config, "--ask", code=2)["trial of engines.captioner (transformers) for caption"]["detail"]


@pytest.mark.parametrize(("num_tokens", "is_ok"), [(40, False), (100, True)])
def test_an_answer_that_the_context_cuts_short_is_told_from_a_long_one(num_tokens: int, is_ok: bool) -> None:
    trial = Trial("caption", "captioner", Request("Describe.", decoding=Decoding(100)))
    cut = Answer("{", "length", "truncated", f"no end within {num_tokens} tokens", 900, num_tokens)
    (check,) = judged({"captioner": RehearsalSpec(kind="rehearsal")}, [trial], [cut])
    assert check.is_ok == is_ok


class TestShared:
    """What doctor says, run says too."""

    def test_a_corpus_that_is_missing_or_empty(self, tmp_path: Path) -> None:
        for path in ("nowhere", "bare"):
            (tmp_path / "bare").mkdir(exist_ok=True)
            config = _served(tmp_path, "http://127.0.0.1:9/v1", corpus={"path": path})
            content = yaml.safe_load(config.read_text())
            content["engines"]["captioner"] = {"kind": "rehearsal"}
            config.write_text(yaml.safe_dump(content))
            assert not _checks(config, code=2)["corpus"]["is_ok"]
            assert str(tmp_path / path) in _refused("run", config)

    def test_gpus_that_this_machine_has_not(self, tmp_path: Path) -> None:
        config = write_job(tmp_path, placement={"stages": {"caption": {"gpus": 64}}})
        check = _checks(config, code=2)["placement of caption"]
        assert "64 GPUs" in check["detail"]
        assert check["detail"] in _refused("run", config)

    def test_a_hub_name_is_looked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = pytest.importorskip("huggingface_hub")
        config = write_job(tmp_path, captioner={})
        content = yaml.safe_load(config.read_text())
        content["engines"]["captioner"] = {"kind": "transformers", "model": "nobody/nothing", "revision": "main"}
        config.write_text(yaml.safe_dump(content))

        def none_such(*_: Any, **__: Any) -> None:
            raise hub.errors.RepositoryNotFoundError("404", response=_Response())

        monkeypatch.setattr(hub.HfApi, "model_info", none_such)
        assert "the hub has no model nobody/nothing" in _checks(config, code=2)["engines.captioner (transformers)"]["detail"]
        assert "the hub has no model nobody/nothing" in _refused("run", config)


class _Response:
    headers: dict[str, str] = {}
    request = None
    status_code = 404
