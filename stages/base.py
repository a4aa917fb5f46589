"""The contract of a stage: images in, one typed row an image out. Knows no paths, no Ray, no engine kinds."""

import random
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict

from prompts.loader import Prompt
from schemas.rows import Row
from stages.engines.base import Detector, Generator

AnyRow = TypeVar("AnyRow", bound=Row)


class StageParams(BaseModel):
    """Base of a stage's parameters: the YAML block `stages.<name>`; all of it is hashed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ParamsT = TypeVar("ParamsT", bound=StageParams)
RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True)
class Image:
    """One image of a unit as a stage sees it, with the rows of the stages it reads.

    `pixels` is upright RGB at full size, None where the stage asked for none.
    """

    key: str
    width: int | None = None
    height: int | None = None
    alt: str | None = None
    sha256: str | None = None
    pixels: PillowImage.Image | None = None
    upstream: Mapping[type[Row], Row] = field(default_factory=dict)
    problem: Row | None = None

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

    @property
    def rgb(self) -> PillowImage.Image:
        """The pixels, for stages that declared that they need them."""
        assert self.pixels is not None, f"stage reads pixels of {self.key} but does not declare it"
        return self.pixels


@dataclass(frozen=True)
class StageContext:
    """What the worker gives a stage when it is born."""

    fingerprint: str
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    generators: Mapping[str, Generator] = field(default_factory=dict)
    detectors: Mapping[str, Detector] = field(default_factory=dict)


class ConservationError(RuntimeError):
    """A stage did not return one row for each image, in order: a bug, which stops the run."""


class AnyStage(ABC, Generic[ParamsT, RowT]):
    """What all stages state of themselves: `reads` must be among a run's stages, `may_read` is read where it is."""

    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[tuple[str, ...]] = ()
    may_read: ClassVar[tuple[str, ...]] = ()
    needs_pixels: ClassVar[bool] = False
    generator_roles: ClassVar[tuple[str, ...]] = ()
    detector_roles: ClassVar[tuple[str, ...]] = ()
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

    def _live(self, unit: Sequence[Image]) -> list[Image]:
        return [image for image in unit if self._settle(image) is None]

    def _joined(self, unit: Sequence[Image], fresh: Sequence[Row]) -> list[Row]:
        """A row an image: fresh ones for those that could be run, the others' settled.

        Raises: ConservationError where the fresh rows are not one for each of them, in order.
        """
        settled = [self._settle(image) for image in unit]
        expected = [image.key for image, row in zip(unit, settled, strict=True) if row is None]
        if [row.key for row in fresh] != expected:
            raise ConservationError(f"stage {self.name} returned {len(fresh)} rows for {len(expected)} images, or in another order")
        rest = iter(fresh)
        return [next(rest) if row is None else row for row in settled]

    def _settle(self, image: Image) -> Row | None:
        for row in image.upstream.values():
            if row.status != "ok":
                return self.row_type(key=image.key, status="skipped", reason=skip_reason(row))
        if image.problem is not None:
            problem = image.problem
            return self.row_type(key=image.key, status=problem.status, reason=problem.reason, detail=problem.detail)
        return None


class Stage(AnyStage[ParamsT, RowT]):
    """Base of all unit stages. A subclass states its class variables and writes `run`."""

    @abstractmethod
    async def run(self, unit: Sequence[Image], attempt: int) -> list[RowT]:
        """One row for each image, in order. `attempt` counts retries asked for by the user."""

    async def process(self, unit: Sequence[Image], attempt: int = 0) -> list[Row]:
        """`run` on the images that can be run; the others get their problem's row, or `skipped` by their upstream.

        Raises: ConservationError where `run` breaks its contract.
        """
        live = self._live(unit)
        return self._joined(unit, await self.run(live, attempt) if live else [])


class BlockStage(AnyStage[ParamsT, RowT]):
    """Base of the barrier stages, which look at all units of a block together. They have no engine and see no pixels.

    What is written of a unit must depend on other units as little as can be: stages below run again where it has changed.
    """

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


def skip_reason(upstream: Row) -> str:
    """Why an image is skipped: the first stage below a row that is not ok names its status, the others pass that on."""
    return upstream.reason if upstream.status == "skipped" and upstream.reason else f"upstream_{upstream.status}"


def rng(fingerprint: str, key: str, attempt: int) -> random.Random:
    """Randomness that is the same wherever and whenever this image meets this stage."""
    return random.Random(f"{fingerprint}/{key}/{attempt}")


def seed_of(fingerprint: str, key: str, attempt: int) -> int:
    """A seed for an engine, 31 bits."""
    return rng(fingerprint, key, attempt).getrandbits(31)
