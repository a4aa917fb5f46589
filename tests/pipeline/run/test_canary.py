"""A credential that stands everywhere a credential can stand is found nowhere: workdir, data set, report, Ray's logs, terminal."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.driver import ROOT, command
from tests.support.rehearsal_job import write_job

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

CANARY = "kanari7f3b9c21"


def _output(*arguments: object, code: int = 0) -> str:
    keys = dict.fromkeys(("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN"), CANARY)
    answer = subprocess.run(command(*arguments), cwd=ROOT, env={**os.environ, **keys}, capture_output=True, text=True, timeout=300)
    assert answer.returncode == code, answer.stderr
    return answer.stdout + answer.stderr


def _files_with(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_a_credential_is_nowhere(tmp_path: Path) -> None:
    config = write_job(tmp_path)
    outputs = [_output("run", config), _output("status", config), _output("report", config, "--out", tmp_path / "report", "--sample", 3)]
    logs = re.search(r"Ray's logs: (\S+)", outputs[0])
    assert logs is not None
    assert _files_with(tmp_path / "work") + _files_with(tmp_path / "dataset") + _files_with(tmp_path / "report") == []
    assert _files_with(Path(logs[1])) == []
    assert CANARY not in "".join(outputs)


def test_passwords_of_urls_and_arguments_are_masked_in_what_is_said(tmp_path: Path) -> None:
    server = {"kind": "openai", "model": "m", "base_url": f"http://user:{CANARY}@127.0.0.1:9/v1"}
    engines = {"captioner": server, "detector": {"kind": "rehearsal-detector"}}
    stages = {"caption": {"prompt": "demo"}}
    config = write_job(tmp_path, engines=engines, stages=stages, export=None, placement={"patience_s": 0})
    for words in (("plan", config), ("doctor", config), ("run", config)):
        answer = subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert CANARY not in answer.stdout + answer.stderr, words
    assert _files_with(tmp_path / "work") == []


def test_arguments_of_an_engine_are_masked_in_stage_json(tmp_path: Path) -> None:
    vllm = {"kind": "vllm", "model": "org/name", "revision": "abc", "engine_args": {"hf_token": CANARY, "tokenizer": "org/words"}}
    engines = {"captioner": vllm, "detector": {"kind": "rehearsal-detector"}}
    config = write_job(tmp_path, engines=engines, stages={"caption": {"prompt": "demo"}}, export=None)
    from pipeline.api import open_job

    job = open_job(config)
    for node in job.graph:
        job.ledger.declare(node.description)
    (written,) = (tmp_path / "work").rglob("stage.json")
    assert json.loads(written.read_text())["engines"]["captioner"]["engine_args"] == {"hf_token": "***", "tokenizer": "org/words"}


@pytest.mark.parametrize("block", ["workdir", "corpus", "export_to"])
def test_a_place_with_a_password_is_refused_without_saying_it(tmp_path: Path, block: str) -> None:
    place = f"s3://key:{CANARY}@bucket/images"
    blocks = {"workdir": place, "corpus": {"path": place}, "export_to": place}
    output = _output("plan", write_job(tmp_path, **{block: blocks[block]}), code=2)
    assert "holds a password" in output
    assert CANARY not in output
