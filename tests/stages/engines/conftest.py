"""Engines that start once a session, over one random image-text checkpoint."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.engines.base import Generator
from stages.engines.openai_server import OpenAISpec
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec
from stages.engines.specs import Resources
from stages.engines.transformers_local import TransformersSpec
from stages.engines.vllm_async import VllmGenerator, VllmSpec
from tests.support.tiny_models import save_tiny_idefics3, save_tiny_llama

Run = Callable[[Coroutine[Any, Any, Any]], Any]
NO_FREE_SPACE = {"backend": "xgrammar", "disable_any_whitespace": True}


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Runs a coroutine on the session's one event loop: an engine lives on one loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="session")
def tiny_idefics3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return save_tiny_idefics3(tmp_path_factory.mktemp("idefics3"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def vllm_server(tiny_idefics3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server on loopback; yields its base URL."""
    pytest.importorskip("vllm")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "--model": str(tiny_idefics3),
        "--served-model-name": "tiny",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--dtype": "float32",
        "--max-num-seqs": "8",
        "--generation-config": "vllm",
        "--structured-outputs-config": json.dumps(NO_FREE_SPACE),
    }
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--enforce-eager",
        "--no-enable-chunked-prefill",  # seeded requests kill a CPU engine that splits prompts: stages/engines/vllm_async.py
        *(part for pair in options.items() for part in pair),
    ]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"})
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(f"the server did not start: {log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def vllm_engine(tiny_idefics3: Path, run: Run) -> Iterator[VllmGenerator]:
    """One engine for all tests, with two renderers that start with the first image that is asked about."""
    pytest.importorskip("vllm")
    spec = VllmSpec(kind="vllm", model=str(tiny_idefics3), dtype="float32", enforce_eager=True, max_num_seqs=8)
    engine = VllmGenerator(spec, Resources(renderers=2))
    yield engine
    run(engine.close())


@pytest.fixture(
    scope="session",
    params=["rehearsal", "transformers", pytest.param("vllm", marks=pytest.mark.vllm), pytest.param("openai", marks=pytest.mark.vllm)],
)
def generator(request: pytest.FixtureRequest, run: Run) -> Iterator[Generator]:
    engine = _start(request.param, request)
    yield engine
    if request.param != "vllm":  # which other tests use too
        run(engine.close())


def _start(kind: str, request: pytest.FixtureRequest) -> Generator:
    if kind == "rehearsal":
        return RehearsalGenerator(RehearsalSpec(kind="rehearsal"))
    if kind == "openai":
        from stages.engines.openai_server import OpenAIGenerator

        return OpenAIGenerator(OpenAISpec(kind="openai", model="tiny", base_url=request.getfixturevalue("vllm_server")), Resources())
    model = str(request.getfixturevalue("tiny_idefics3"))
    if kind == "transformers":
        from stages.engines.transformers_local import TransformersGenerator

        return TransformersGenerator(TransformersSpec(kind="transformers", model=model, batch_size=4, threads=1), Resources())
    return request.getfixturevalue("vllm_engine")
