"""A vLLM engine whose images are read and rendered by other processes: the same answers, whoever dies."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.api import open_job
from pipeline.corpus.images import load_images
from pipeline.corpus.update import read_rows
from pipeline.run.blame.asking import UnitAsker
from pipeline.run.inputs import Inputs
from pipeline.run.runner import Runner
from pipeline.run.watch.progress import Silent
from prompts.loader import load_prompt
from schemas.rows import Row
from stages.base import StageContext
from stages.caption import Caption, CaptionParams
from stages.engines.base import Decoding, Request
from stages.engines.pixels import Opened, Picture
from stages.engines.rendering.renderer import Manner, Renderer, RenderJob
from stages.engines.vllm_async import VllmGenerator
from stages.regions.focus import FocalCut, Focus
from tests.support.listeners import listeners

pytestmark = pytest.mark.vllm
Run = Callable[[Coroutine[Any, Any, Any]], Any]
FEW = Decoding(max_tokens=12)
CUT = FocalCut(Focus(), (20.0, 20.0, 60.0, 50.0))


@pytest.fixture(scope="module")
def engine(vllm_engine: VllmGenerator, run: Run) -> VllmGenerator:
    run(_ready(vllm_engine))
    return vllm_engine


async def _ready(engine: VllmGenerator) -> None:
    assert engine.renderers is not None
    await engine.renderers.ready()
    assert len(engine.renderers.processes) == 2


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, tiny_idefics3: Path) -> Any:
    """A run of the stage caption over seven images, one of them broken."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "images").mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(noise).resize((160, 120 + number)).save(folder / "images" / f"{number}.jpg")
    whole = (folder / "images" / "0.jpg").read_bytes()
    (folder / "images" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    content = {
        "workdir": "work",
        "corpus": {"path": "images"},
        "engines": {"captioner": {"kind": "vllm", "model": str(tiny_idefics3)}},
        "stages": {"caption": {"attempts": 1}},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    return open_job(folder / "run.yaml")


@contextlib.contextmanager
def rendered_inside(engine: VllmGenerator) -> Iterator[None]:
    renderers, engine.renderers = engine.renderers, None
    try:
        yield
    finally:
        engine.renderers = renderers


def opened_of(job: Any, engine: VllmGenerator, run: Run) -> list[Opened | Row]:
    unit = job.state().items("caption")[0].units[0]
    rows = read_rows(job.ledger.workdir, unit)
    opened = run(engine.open(partial(load_images, job.config.corpus), rows, [row.sha256 or "" for row in rows]))
    assert opened is not None
    return opened


def captions(job: Any, engine: VllmGenerator, run: Run) -> list[Row]:
    node, state = job.graph[0], job.state()
    runner = Runner(job.config, state, ("", b""), Silent())
    task = runner.task(node, state.items("caption")[0])
    stage = Caption(
        CaptionParams(attempts=1), StageContext("0", {"caption": load_prompt("caption", "v1")}, generators={"captioner": engine})
    )
    return run(UnitAsker(stage, Inputs(runner._job(node), task, job.ledger)).rows())


def questions(*shown: Image.Image | Picture, temperature: float = 0.0) -> list[Request]:
    decoding = Decoding(max_tokens=12, temperature=temperature)
    return [Request(f"What {i % 3}?", "Be brief.", (picture,), (str(i),), decoding=decoding, seed=i) for i, picture in enumerate(shown)]


def test_answers_are_those_of_an_engine_that_renders_itself(engine: VllmGenerator, job: Any, run: Run) -> None:
    opened = [image for image in opened_of(job, engine, run) if isinstance(image, Opened)]
    pictures = [Picture(image, cut) for image in opened for cut in (None, CUT)]
    plain = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (90, 120, 3), np.uint8)) for i in range(4)]
    for temperature in (0.0, 1.0):
        asked = [*questions(*pictures, *plain, temperature=temperature), Request("No image.", decoding=FEW)]
        outside = run(engine.generate(asked))
        with rendered_inside(engine):
            assert run(engine.generate(asked)) == outside
        assert len({answer.text for answer in outside}) > len(asked) // 2
    engine.forget(opened)


def test_a_stage_writes_the_same_rows_and_names_a_broken_image_alike(engine: VllmGenerator, job: Any, run: Run) -> None:
    outside = captions(job, engine, run)
    with rendered_inside(engine):
        assert captions(job, engine, run) == outside
    assert [row.reason for row in outside if row.key.startswith("cut")] == ["truncated_image"]


def test_a_renderer_that_is_killed_costs_no_answer_and_is_replaced(engine: VllmGenerator, job: Any, run: Run) -> None:
    plain = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (400, 500, 3), np.uint8)) for i in range(40)]
    opened = [image for image in opened_of(job, engine, run) if isinstance(image, Opened)]
    asked = questions(*plain, *map(Picture, opened))
    expected = run(engine.generate(asked))
    assert engine.renderers is not None
    first, _ = engine.renderers.processes

    async def killed() -> Any:
        answers = engine.generate(asked)
        os.kill(first, signal.SIGKILL)
        return await answers

    assert run(killed()) == expected
    run(_ready(engine))
    assert first not in engine.renderers.processes


def test_a_question_that_no_renderer_can_take_is_an_error_of_its_own(engine: VllmGenerator, run: Run) -> None:
    fine, too_long = questions(Image.new("RGB", (64, 64)))[0], Request("word " * 4000, images=(Image.new("RGB", (64, 64)),))
    answers = run(engine.generate([fine, too_long]))
    assert [answer.error for answer in answers] == ["truncated", "context_window"]


def test_a_picture_of_many_questions_is_rendered_once(engine: VllmGenerator, job: Any, run: Run) -> None:
    import copy

    renderer = Renderer(copy.deepcopy(engine.vllm_config), Manner(), rank=0)
    first, second, *_ = opened_of(job, engine, run)
    assert isinstance(first, Opened)
    assert isinstance(second, Opened)
    shown = [Picture(first, CUT), Picture(second, CUT), Picture(first)]
    inputs = [renderer.render(RenderJob(f"Question {i}?", None, (picture,))) for i in range(5) for picture in shown]
    assert renderer.num_found_again == 12
    assert len({tuple(rendered["mm_hashes"]["image"]) for rendered in inputs}) == 3


def test_renderers_listen_nowhere(engine: VllmGenerator) -> None:
    assert engine.renderers is not None
    assert listeners(engine.renderers.processes) == []


_ORPHAN = """
import asyncio, sys, time
def main():
    from vllm.engine.arg_utils import AsyncEngineArgs
    from stages.engines.rendering.pool import Renderers
    from stages.engines.rendering.renderer import Manner
    async def start():
        config = AsyncEngineArgs(model=sys.argv[1], dtype="float32", enforce_eager=True).create_engine_config()
        renderers = Renderers(config, Manner(), 1)
        await renderers.ready()
        print("pids", *renderers.processes, flush=True)
        time.sleep(600)
    asyncio.run(start())
if __name__ == "__main__":
    main()
"""


def test_renderers_end_with_their_parent_however_it_ends(tiny_idefics3: Path, tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(_ORPHAN)
    root = str(Path(__file__).parents[4])
    command = [sys.executable, str(script), str(tiny_idefics3)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": root}) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("pids"))
        process.kill()
    (renderer,) = map(int, line.split()[1:])
    until = time.monotonic() + 20
    while Path(f"/proc/{renderer}/cmdline").exists() and Path(f"/proc/{renderer}/cmdline").read_bytes() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{renderer}/cmdline").exists() or not Path(f"/proc/{renderer}/cmdline").read_bytes()
