"""What grows with a block: its stages run on nested parts of the sample, and the questions that stages below them would ask then.

Each image of the first quarter is compared with itself in a block of a quarter, half and all of the sample. Asks no engine.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.api import Job
from pipeline.config.graph import Node
from pipeline.config.registry import STAGES
from pipeline.corpus.images import load_images
from pipeline.corpus.store import read_rows
from pipeline.ledger.state import State
from pipeline.ledger.tables import encode
from schemas.rows import CorpusRow, Row
from stages.base import BlockStage, Image, Stage, StageContext
from stages.engines.base import Answer, Request

_PARTS = (4, 2, 1)
_LEAST_IMAGES = 16
_MOST_DECAY = 0.5
_LEAST_S = 0.05  # what is faster says nothing of how it grows


@dataclass
class Growth:
    """Of one stage, for a quarter, half and all of the sample: what the first quarter's images came to, and its own seconds."""

    sizes: list[int] = field(default_factory=list)
    amounts: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def factor(self, num_images: float) -> tuple[float, float, float]:
        """How much more an image comes to in a block of so many images than in the sample; with bounds.

        Each doubling adds at most half of what the one before did, since groups are full at some size; less where the second measured
        one did. The bounds: nothing more, all the same.
        """
        if len(self.amounts) < len(_PARTS) or min(self.amounts) <= 0 or num_images <= self.sizes[-1]:
            return 1.0, 1.0, 1.0
        first, second = (self.amounts[i + 1] / self.amounts[i] - 1 for i in (0, 1))
        decay = min(_MOST_DECAY, max(0.0, second / first)) if first > 0 else 0.0
        doublings, value = math.log2(num_images / self.sizes[-1]), 1.0
        for turn in range(math.ceil(doublings)):
            value *= (1 + max(0.0, second) * decay ** (turn + 1)) ** min(1.0, doublings - turn)
        return value, 1.0, max(value, (1 + max(0.0, second)) ** doublings)

    @property
    def exponent(self) -> tuple[float, float, float]:
        """The power of the images that the seconds grow with, from 1 to 2, over both doublings; with bounds: 1, and the steeper doubling.

        Small blocks scatter: balance was seen to take less for two dozen images than for one dozen.
        """
        if len(self.seconds) < len(_PARTS) or self.seconds[1] < _LEAST_S:
            return 1.0, 1.0, 1.0
        steps = [math.log2(later / max(earlier, 1e-9)) for earlier, later in itertools.pairwise(self.seconds)]
        value, high = (min(2.0, max(1.0, power)) for power in (sum(steps) / len(steps), max(steps)))
        return value, 1.0, high


def growths(job: Job, state: State) -> dict[str, Growth]:
    """Stage -> growth, of the block stages and of those below them that ask a generator; empty where the sample is too small."""
    below = _below_blocks(state.graph)
    nested = {node.name: Growth() for node in state.graph if node.scope == "block" or node.name in below}
    images = _Images(job, state)
    if not nested or len(images.corpus) < _LEAST_IMAGES:
        return {}
    quarter = len(images.corpus) // _PARTS[0]
    for part in _PARTS:
        size = len(images.corpus) // part
        rows = {name: of_stage[:size] for name, of_stage in images.rows.items()}
        for node in state.graph:
            if node.name not in nested:
                continue
            growth, given = nested[node.name], images.of(node, rows, size)
            growth.sizes.append(size)
            if node.scope == "block":
                started = time.process_time()
                rows[node.name] = _block_rows(job, node, given)
                growth.seconds.append(time.process_time() - started)
                growth.amounts.append(_num_bytes(node, rows[node.name][:quarter]) / quarter)
            else:
                growth.amounts.append(_num_questions(job, node, given[:quarter]) / quarter)
    return nested


def _below_blocks(graph: Sequence[Node]) -> set[str]:
    below: set[str] = set()
    for node in graph:
        if node.scope == "unit" and any(other.name in node.reads and (other.scope == "block" or other.name in below) for other in graph):
            below.add(node.name)
    return {node.name for node in graph if node.name in below and node.stage.generator_roles}


class _Images:
    """The sample's images and all rows that the run wrote of them."""

    def __init__(self, job: Job, state: State) -> None:
        units = [unit for item in state.items(state.graph[0].name) for unit in item.units]
        self.corpus: list[CorpusRow] = [row for unit in units for row in read_rows(state.ledger.workdir, unit)]
        self.rows: dict[str, list[Row]] = {}
        for node in state.graph:
            if node.scope != "shard":
                tables = state.tables_of(node.name, units)
                self.rows[node.name] = [row for table in tables for row in state.ledger.read(table, node.row_type)]

    def of(self, node: Node, rows: Mapping[str, Sequence[Row]], size: int) -> list[Image]:
        """The first images with the rows of what the stage reads."""
        return [
            Image(self.corpus[i], upstream={type(rows[name][i]): rows[name][i] for name in node.reads if len(rows[name]) > i})
            for i in range(size)
        ]


def _block_rows(job: Job, node: Node, images: Sequence[Image]) -> list[Row]:
    stage = STAGES[node.name](job.config.stages[node.name], StageContext(fingerprint=node.fingerprint))
    assert isinstance(stage, BlockStage), "its scope says so"
    return [row for rows in stage.process([images]) for row in rows]


def _num_bytes(node: Node, rows: Sequence[Row]) -> int:
    """As they are stored: texts that a group's members share take little room."""
    return len(encode(rows, node.row_type)) - len(encode([], node.row_type))


def _num_questions(job: Job, node: Node, images: Sequence[Image]) -> int:
    counter = _Counter()
    generators = dict.fromkeys(job.config.specs(node.name), counter)
    context = StageContext(fingerprint=node.fingerprint, prompts=node.prompts, generators=generators)
    stage = STAGES[node.name](job.config.stages[node.name], context)
    assert isinstance(stage, Stage), "its scope says so"
    live = [image for image in images if all(row.status == "ok" for row in image.upstream.values())]
    loaded = load_images(job.config.corpus, [image.corpus for image in live])
    shown = [
        Image(image.corpus, upstream=image.upstream, pixels=each.image)
        for image, each in zip(live, loaded, strict=True)
        if each.image is not None
    ]
    asyncio.run(stage.run(shown, 0))
    return counter.num


class _Counter:
    """A generator that counts what it is asked and answers nothing."""

    def __init__(self) -> None:
        self.num = 0

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        self.num += len(requests)
        return [Answer(error="bad_request", detail="counted") for _ in requests]

    async def close(self) -> None:
        """Nothing is held."""
