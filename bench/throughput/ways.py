"""Two ways to have the same questions answered by the same engine: our stage with its reading and its commits, and AsyncLLM by itself."""

import asyncio
import contextlib
import io
import itertools
import os
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image as PillowImage

from bench.throughput.inputs import SIZE
from pipeline.corpus.params import CorpusParams
from pipeline.corpus.update import read_rows, update_index
from pipeline.ledger.tables import Ledger
from pipeline.run.blame.asking import UnitAsker
from pipeline.run.inputs import Inputs
from pipeline.storage import Storage
from prompts.loader import Prompt
from schemas.rows import CorpusRow, Region, RegionCaption, RegionCaptionRow, Row, SelectRow
from stages.base import Image, Stage, StageContext
from stages.caption import Caption, CaptionParams
from stages.engines.base import Request
from stages.engines.pixels import shrink
from stages.engines.vllm_async import VllmGenerator
from stages.hard_negative import HardNegativeParams, HardNegatives
from stages.region_caption import RegionCaptioning, RegionCaptionParams

_BOXES = ((60.0, 60.0, 260.0, 220.0), (400.0, 100.0, 640.0, 300.0), (120.0, 420.0, 330.0, 640.0), (640.0, 400.0, 900.0, 640.0))


@dataclass
class Took:
    """What a way took for one part: seconds, processor seconds of this process, answers by key."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    renderers_cpu_s: float = 0.0
    answers: dict[str, str] = field(default_factory=dict)


class Heard:
    """The engine, noting what it answers to whom."""

    def __init__(self, engine: VllmGenerator) -> None:
        self._engine = engine
        self.answers: dict[str, str] = {}

    async def generate(self, requests: Sequence[Request]) -> list[Any]:
        return await self.generate_each(requests)

    async def generate_each(self, requests: Iterable[Request]) -> list[Any]:
        asked: list[Request] = []
        answers = await self._engine.generate_each(asked.append(request) or request for request in requests)
        for request, answer in zip(asked, answers, strict=True):
            self.answers[name_of(request)] = answer.text or str(answer.error)
        return answers

    async def close(self) -> None:
        """The engine is closed by whoever made it."""


class Opening(Heard):
    """An engine that has images read in other processes."""

    async def open(self, *arguments: Any) -> Any:
        return await self._engine.open(*arguments)

    def forget(self, opened: Any) -> None:
        self._engine.forget(opened)


def name_of(request: Request) -> str:
    return f"{'/'.join(request.image_ids)}#{request.seed}"


class Job:
    """One stage over the parts of the bench's corpus, and the questions that it asks there."""

    def __init__(self, name: str, prompt: Prompt, tars: Sequence[Path], work: Path, unit_size: int = 8, in_flight: int = 4) -> None:
        self.name, self.prompt, self.tars, self.work = name, prompt, tars, work
        self.unit_size, self.in_flight = unit_size, in_flight

    def stage(self, generator: Any) -> Stage[Any, Any]:
        context = StageContext("bench", {self.name: self.prompt}, dict.fromkeys(("captioner", "writer"), generator))
        if self.name == "caption":
            return Caption(CaptionParams(attempts=1), context)
        if self.name == "region_caption":
            return RegionCaptioning(RegionCaptionParams(attempts=1, probe_share=0, shown_side_px=224), context)
        return HardNegatives(HardNegativeParams(attempts=1, max_caption_negatives=0), context)

    def units(self, part: int) -> Iterator[tuple[CorpusParams, list[Image]]]:
        params = CorpusParams(path=str(self.tars[part]), unit_size=self.unit_size)
        workdir = Storage(str(self.work / f"{part}"))
        for unit in update_index(params, workdir):
            yield params, [Image(row, upstream=upstream(row, self.name)) for row in read_rows(workdir, unit)]

    async def ours(self, part: int, engine: VllmGenerator) -> Took:
        """The stage as a worker runs it: some units in flight, each read, asked and committed."""
        heard = Opening(engine) if engine.renderers is not None else Heard(engine)
        stage, ledger, gate = self.stage(heard), Ledger(Storage(str(self.work / "out"))), asyncio.Semaphore(self.in_flight)
        units = list(self.units(part))

        async def carry(number: int, params: CorpusParams, images: list[Image]) -> None:
            async with gate:
                rows = await UnitAsker(stage, AsRead(params, images)).rows()
                await asyncio.to_thread(ledger.commit, self.name, "bench", f"{part}-{number}", "0" * 16, rows, stage.row_type)

        began = clock(engine)
        await asyncio.gather(*(carry(number, params, images) for number, (params, images) in enumerate(units)))
        return took(began, engine, heard.answers)

    def requests(self, key: str, image: PillowImage.Image | None) -> list[Request]:
        """The stage's own questions about an image, so that both ways ask the same; pixels are cut here."""
        asked: list[Request] = []

        class Asked:
            async def generate(self, requests: Sequence[Request]) -> list[Any]:
                asked.extend(requests)
                raise _Enough

        row = CorpusRow(key=key, path="", offset=0, size=0, width=SIZE[0], height=SIZE[1])
        stage = self.stage(Asked())
        work = stage.run([Image(row, image, upstream(row, self.name))], 0)
        with contextlib.suppress(_Enough):
            work.send(None)
        return asked

    async def bare(self, part: int, engine: VllmGenerator, texts: Mapping[str, str]) -> Took:
        """AsyncLLM as a user drives it: tars read, images decoded in threads, a bounded number of questions in flight."""
        core, pool, loop, answers = engine._engine, ThreadPoolExecutor(8), asyncio.get_running_loop(), {}  # noqa: SLF001
        gate, numbers = asyncio.Semaphore(int(engine.vllm_config.scheduler_config.max_num_seqs * 1.1) + 1), itertools.count()
        made = {key: self.requests(key, None if self.name == "hard_negative" else BLANK) for key in keys_of(self.tars[part])}

        async def ask(request: Request, shown: PillowImage.Image | None) -> None:
            prompt: Any = {"prompt": texts[request.user]}
            if shown is not None:
                prompt["multi_modal_data"] = {"image": shown}
            name = f"bare-{part}-{next(numbers)}"
            output = [each async for each in core.generate(prompt, engine._sampling(request), name)][-1]  # noqa: SLF001
            answers[name_of(request)] = output.outputs[0].text

        async def ask_about(key: str, content: bytes) -> None:
            async with gate:
                shown: list[Any] = [None] * len(made[key])
                if self.name != "hard_negative":
                    shown = await loop.run_in_executor(pool, self._shown, content, made[key])
                await asyncio.gather(*(ask(request, image) for request, image in zip(made[key], shown, strict=True)))

        began = clock(engine)
        with tarfile.open(self.tars[part]) as tar:
            members = [(member.name.removesuffix(".jpg"), tar.extractfile(member)) for member in tar]
            contents = [(key, file.read()) for key, file in members if file is not None]
        await asyncio.gather(*(ask_about(key, content) for key, content in contents))
        return took(began, engine, answers)

    def _shown(self, content: bytes, made: Sequence[Request]) -> list[PillowImage.Image]:
        with PillowImage.open(io.BytesIO(content)) as opened:
            image = opened.convert("RGB")
        if self.name == "caption":
            return [shrink(image, None)]
        focus = RegionCaptioning(RegionCaptionParams(), StageContext("bench"))._focus  # noqa: SLF001
        return [focus.crop(image, box) for box in _BOXES[: len(made)]]


class _Enough(Exception):
    """What is asked has been seen."""


BLANK = PillowImage.new("RGB", SIZE)


class AsRead(Inputs):
    """A unit's images as the bench has indexed them; pixels are read as in any run."""

    def __init__(self, params: CorpusParams, images: list[Image]) -> None:
        job, task = SimpleNamespace(corpus=params), SimpleNamespace(parts=(), retry=0, item=SimpleNamespace(id="bench"))
        vars(self).update(job=job, task=task, images=images)

    def texts(self, position: int = 0) -> list[Image]:
        return self.images

    def settled(self) -> dict[str, Row]:
        return {}


def upstream(row: CorpusRow, stage: str) -> dict[type[Row], Row]:
    """What is known of every image: four regions, each with an expression."""
    regions = [Region(xyxy=box, phrase="a red thing", head="thing", start=0, end=11, score=0.9) for box in _BOXES]
    rows: dict[type[Row], Row] = {}
    if stage != "caption":
        rows[SelectRow] = SelectRow(key=row.key, regions=regions)
    if stage == "hard_negative":
        captions = [RegionCaption(region=i, xyxy=box, head="thing", short="a red wooden thing") for i, box in enumerate(_BOXES)]
        rows[RegionCaptionRow] = RegionCaptionRow(key=row.key, regions=captions)
    return rows


def keys_of(tar: Path) -> list[str]:
    with tarfile.open(tar) as opened:
        return [member.name.removesuffix(".jpg") for member in opened]


def texts_of(requests: Sequence[Request], tokenizer: Any) -> dict[str, str]:
    """User text -> the prompt that the chat template makes of it, once for all, as a user of the engine does."""
    prompts = {}
    for request in requests:
        parts: Any = [{"type": "image"}, {"type": "text", "text": request.user}] if request.images else request.user
        system = [{"role": "system", "content": request.system}] if request.system else []
        prompts[request.user] = tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False
        )
    return prompts


def clock(engine: VllmGenerator) -> tuple[float, float, float]:
    return time.perf_counter(), time.process_time(), sum(map(cpu_of, engine.renderers.processes if engine.renderers else ()))


def took(began: tuple[float, float, float], engine: VllmGenerator, answers: dict[str, str]) -> Took:
    now = clock(engine)
    return Took(now[0] - began[0], now[1] - began[1], now[2] - began[2], answers)


def cpu_of(process: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
