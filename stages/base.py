"""The contract of a stage: images in, one typed row an image out. Knows no paths, no Ray, no engine kinds."""

import random
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from PIL import Image as PillowImage

from prompts.loader import Prompt
from schemas.check import Check
from schemas.rows import CorpusRow, Row
from schemas.stage_json import StageJson
from stages.engines.base import Detector, Generator, Opener
from stages.engines.pixels import Cut, Opened, Picture
from stages.params import StageParams, Surroundings

Scope = Literal["unit", "block", "shard"]
AnyRow = TypeVar("AnyRow", bound=Row)


ParamsT = TypeVar("ParamsT", bound=StageParams)
RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True)
class Image:
    """One image of a unit as a stage sees it: its row of the corpus, and the rows of the stages it reads.

    `pixels` is upright RGB at full size, None where the stage asked for none; `problem` says why there are none though it did.
    `opened` stands in their place where another process has read them.
    `previous` is the stage's own row of before a retry, where only the children that it lost are to be asked about again.
    """

    corpus: CorpusRow
    pixels: PillowImage.Image | None = None
    upstream: Mapping[type[Row], Row] = field(default_factory=dict)
    problem: Row | None = None
    previous: Row | None = None
    opened: Opened | None = None

    @property
    def key(self) -> str:
        return self.corpus.key

    @property
    def width(self) -> int | None:
        seen = self.pixels or self.opened
        return self.corpus.width if seen is None else seen.width

    @property
    def height(self) -> int | None:
        seen = self.pixels or self.opened
        return self.corpus.height if seen is None else seen.height

    @property
    def alt(self) -> str | None:
        return self.corpus.alt

    @property
    def sha256(self) -> str | None:
        return self.corpus.sha256

    def row(self, row_type: type[AnyRow]) -> AnyRow:
        """The upstream row of this type."""
        row = self.upstream[row_type]
        assert isinstance(row, row_type)
        return row

    def optional(self, row_type: type[AnyRow]) -> AnyRow | None:
        """The upstream row of this type, None where the run has no such stage."""
        row = self.upstream.get(row_type)
        assert row is None or isinstance(row, row_type)
        return row

    def before(self, row_type: type[AnyRow]) -> AnyRow | None:
        """The row of before a retry whose children that are not lost stay as they are; None: all is asked."""
        return self.previous if isinstance(self.previous, row_type) else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pixels, for stages that declared that they need them."""
        seen = self.pixels or self.opened
        assert seen is not None, f"stage reads pixels of {self.key} but does not declare it"
        return seen.width, seen.height

    def shown(self, cut: Cut | None = None) -> PillowImage.Image | Picture:
        """What a request is to show: the image, or what is cut of it; made here, or where another process has the pixels."""
        if self.opened is not None:
            return Picture(self.opened, cut)
        return self.rgb if cut is None else cut(self.rgb)

    @property
    def rgb(self) -> PillowImage.Image:
        """The pixels, for stages that declared that they need them."""
        assert self.pixels is not None, f"stage reads pixels of {self.key} but does not declare it"
        return self.pixels


class Sink(Protocol):
    """Where files go. Paths are relative to the data set; a Path names a temporary file to move or upload before returning."""

    def put(self, path: str, content: bytes | Path) -> None: ...


ReadBytes = Callable[[Sequence[CorpusRow]], list[bytes | None]]


@dataclass(frozen=True)
class StageContext:
    """What the worker gives a stage when it is born. `read_bytes` gives an image's source bytes, None where they are gone.

    `descriptions`: stage -> what the fingerprint of each stage before this one hashes.
    """

    fingerprint: str
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    generators: Mapping[str, Generator] = field(default_factory=dict)
    detectors: Mapping[str, Detector] = field(default_factory=dict)
    read_bytes: ReadBytes | None = None
    sink: Sink | None = None
    descriptions: Mapping[str, StageJson] = field(default_factory=dict)


class ConservationError(RuntimeError):
    """A stage did not return one row for each image, in order: a bug, which stops the run."""


class AnyStage(ABC, Generic[ParamsT, RowT]):
    """What all stages state of themselves: `reads` must be among a run's stages, `may_read` is read where it is.

    `gated_by` names the stage whose rows say whether an item may be run at all.
    """

    scope: ClassVar[Scope]
    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[tuple[str, ...]] = ()
    may_read: ClassVar[tuple[str, ...]] = ()
    needs_pixels: ClassVar[bool] = False
    generator_roles: ClassVar[tuple[str, ...]] = ()
    detector_roles: ClassVar[tuple[str, ...]] = ()
    writes_values: ClassVar[bool] = False  # of attribute types: one more of these is another output
    gated_by: ClassVar[str | None] = None
    row_type: ClassVar[type[Row]]
    params_type: ClassVar[type[StageParams]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = typing.get_origin(base)
            if isinstance(origin, type) and issubclass(origin, AnyStage) and origin is not AnyStage:
                cls.params_type, cls.row_type = typing.get_args(base)

    def __init__(self, params: ParamsT, context: StageContext) -> None:
        self.params = params
        self.context = context

    @classmethod
    def reads_among(cls, stages: Collection[str]) -> tuple[str, ...]:
        """The stages that are read in a run that has these."""
        return (*cls.reads, *(name for name in cls.may_read if name in stages))

    @classmethod
    def prompt_names(cls, params: Any) -> dict[str, str]:
        """Task -> version of the prompts that these parameters use."""
        return {}

    @classmethod
    def roles(cls, params: Any) -> tuple[str, ...]:
        """The engines that these parameters use, by their names in the configuration."""
        return (*cls.generator_roles, *cls.detector_roles)

    @classmethod
    def looks_itself(cls, params: Any) -> bool:
        """Whether the stage looks at pixels; else it only shows them (`Image.shown`), and another process may read them."""
        return True

    @property
    def opener(self) -> Opener | None:
        """The engine that has this stage's images read in other processes; None: the worker reads them."""
        if not self.needs_pixels or self.looks_itself(self.params):
            return None
        return next((generator for generator in self.context.generators.values() if isinstance(generator, Opener)), None)

    @classmethod
    def resolved(cls, params: Any, around: Surroundings) -> Any:
        """The parameters as they are hashed: what they leave to the run is filled in."""
        fields = type(params).model_fields
        filled: dict[str, Any] = {}
        if "domain" in fields and "domain" not in params.model_fields_set:
            filled["domain"] = around.domain
        if "allow_unverified" in fields and around.allows_unverified:
            filled["allow_unverified"] = True
        return params.model_copy(update=filled)

    @classmethod
    def problems(cls, params: Any, around: Surroundings) -> Iterator[str]:
        """Why these parameters cannot be run in this run: what is wrong, and what to do. The place is named by the caller."""
        if cls.name in around.computed:
            for upstream in cls.reads:
                if upstream not in around.stages:
                    yield f"stages.{cls.name} reads {upstream}, which is not among the stages"
            for role in cls.roles(params):
                if role not in around.engines:
                    skip = f", or set given.{cls.name}.missing: skip" if cls.name in around.given else ""
                    yield f"stages.{cls.name} needs the engine {role}: add the block engines.{role}{skip}"

    @classmethod
    def prompt_problems(cls, params: Any, prompts: Mapping[str, Prompt]) -> Iterator[str]:
        """Why these parameters cannot be run with these prompts: what is wrong, and what to do."""
        yield from ()

    @classmethod
    def checks(cls, params: Any) -> Iterator[Check]:
        """What must be installed or at hand on this machine beside the engines."""
        yield from ()

    @classmethod
    def objections(cls, params: Any, row: Row) -> list[str] | None:
        """What a row of `gated_by` says against running its item; None: this row does not say, its neighbours do."""
        return []

    @classmethod
    def refusal(cls, num_items: int, objections: Sequence[str]) -> str:
        """What a user is told where items were not run for these objections: which, why, and what to do."""
        return f"{num_items} items of {cls.name} were not run: {', '.join(objections)}"

    @classmethod
    def settled(cls, image: Image) -> Row | None:
        """The row of an image that something before this stage has settled already; None: the stage is to look at it."""
        for row in image.upstream.values():
            if row.status != "ok":
                return cls.row_type(key=image.key, status="skipped", reason=skip_reason(row))
        if image.problem is not None:
            return _passed_on(cls.row_type, image.problem)
        if not image.upstream and image.corpus.status != "ok":
            return _passed_on(cls.row_type, image.corpus)
        return None

    def _live(self, unit: Sequence[Image]) -> list[Image]:
        return [image for image in unit if self.settled(image) is None]

    def _joined(self, unit: Sequence[Image], fresh: Sequence[Row]) -> list[Row]:
        """A row an image: fresh ones for those that could be run, the others' settled.

        Raises: ConservationError where the fresh rows are not one for each of them, in order.
        """
        settled = [self.settled(image) for image in unit]
        expected = [image.key for image, row in zip(unit, settled, strict=True) if row is None]
        if [row.key for row in fresh] != expected:
            raise ConservationError(f"stage {self.name} returned {len(fresh)} rows for {len(expected)} images, or in another order")
        rest = iter(fresh)
        return [next(rest) if row is None else row for row in settled]


class Stage(AnyStage[ParamsT, RowT]):
    """Base of all unit stages. A subclass states its class variables and writes `run`."""

    scope = "unit"

    @abstractmethod
    async def run(self, unit: Sequence[Image], retry: int) -> list[RowT]:
        """One row for each image, in order. `retry` counts retries asked for by the user."""

    async def process(self, unit: Sequence[Image], retry: int = 0) -> list[Row]:
        """`run` on the images that can be run; the others get their problem's row, or `skipped` by their upstream.

        Raises: ConservationError where `run` breaks its contract.
        """
        live = self._live(unit)
        return self._joined(unit, await self.run(live, retry) if live else [])


class BlockStage(AnyStage[ParamsT, RowT]):
    """Base of the barrier stages, which look at all units of a block together. They have no engine and see no pixels.

    What is written of a unit must depend on other units as little as can be: stages below run again where it has changed.
    """

    scope = "block"

    @abstractmethod
    def run(self, block: Iterable[Sequence[Image]]) -> Iterator[list[RowT]]:
        """For each unit, in order, one row for each image, in order.

        `block` reads its units anew each time it is iterated: keep what you need of them, in few bytes, not the images.
        """

    def process(self, block: Iterable[Sequence[Image]]) -> Iterator[list[Row]]:
        """`run` on the images that can be run, unit after unit; the others are skipped by their upstream.

        Raises: ConservationError where `run` breaks its contract.
        """
        fresh = iter(self.run(_LiveUnits(block, self._live)))
        for unit in block:
            rows = next(fresh, None)
            if rows is None:
                raise ConservationError(f"stage {self.name} returned fewer units than the block has")
            yield self._joined(unit, rows)


@dataclass(frozen=True)
class _LiveUnits:
    """The units of a block with the images that can be run."""

    block: Iterable[Sequence[Image]]
    live: Callable[[Sequence[Image]], Sequence[Image]]

    def __iter__(self) -> Iterator[Sequence[Image]]:
        return map(self.live, self.block)


@dataclass(frozen=True)
class Shard:
    """All units of one shard, read one after another. `label` names what is made of it, whatever the retry."""

    number: int
    label: str
    units: Iterable[Sequence[Image]]


class ShardStage(AnyStage[ParamsT, RowT]):
    """Base of the stages that write files of a whole shard beside the ledger, into `context.sink`. They block and have no engine."""

    scope = "shard"

    @abstractmethod
    def run(self, shard: Shard) -> list[Row]:
        """One row for each image of the shard, in order; of one that is settled before, the row that `settled` gives."""

    def process(self, shard: Shard) -> list[Row]:
        """`run`, its rows held against the images.

        Raises: ConservationError where `run` breaks its contract.
        """
        keys: list[str] = []

        def seen() -> Iterator[Sequence[Image]]:
            for unit in shard.units:
                keys.extend(image.key for image in unit)
                yield unit

        rows = self.run(Shard(shard.number, shard.label, seen()))
        if [row.key for row in rows] != keys:
            raise ConservationError(f"stage {self.name} returned {len(rows)} rows for {len(keys)} images, or in another order")
        return rows

    @classmethod
    def settled(cls, image: Image) -> Row | None:
        """An image that the corpus stopped is skipped here too: nothing of it is written."""
        if image.corpus.status != "ok":
            return cls.row_type(key=image.key, status="skipped", reason=skip_reason(image.corpus))
        return super().settled(image)


def _passed_on(row_type: type[Row], row: Row) -> Row:
    return row_type(key=row.key, status=row.status, reason=row.reason, detail=row.detail)


def skip_reason(upstream: Row) -> str:
    """Why an image is skipped: the first stage below a row that is not ok names its status, the others pass that on."""
    return upstream.reason if upstream.status == "skipped" and upstream.reason else f"upstream_{upstream.status}"


def rng(fingerprint: str, key: str, retry: int) -> random.Random:
    """Randomness that is the same wherever and whenever this image meets this stage."""
    return random.Random(f"{fingerprint}/{key}/{retry}")


def seed_of(fingerprint: str, key: str, retry: int) -> int:
    """A seed for an engine, 31 bits."""
    return rng(fingerprint, key, retry).getrandbits(31)
