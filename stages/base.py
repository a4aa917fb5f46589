"""The contract of a stage: images in, one typed row an image out. Knows no paths, no Ray, no engine kinds."""

import random
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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


class Stage(ABC, Generic[ParamsT, RowT]):
    """Base of all unit stages. A subclass states its class variables and writes `run`."""

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
            if typing.get_origin(base) is Stage:
                cls.params_type, cls.row_type = typing.get_args(base)

    def __init__(self, params: ParamsT, context: StageContext) -> None:
        self.params = params
        self.context = context

    @classmethod
    def prompt_names(cls, params: Any) -> dict[str, str]:
        """Task -> version of the prompts that these parameters use."""
        return {}

    @classmethod
    def roles(cls, params: Any) -> tuple[str, ...]:
        """The engines that these parameters use, by their names in the configuration."""
        return (*cls.generator_roles, *cls.detector_roles)

    @abstractmethod
    async def run(self, unit: Sequence[Image], attempt: int) -> list[RowT]:
        """One row for each image, in order. `attempt` counts retries asked for by the user."""

    async def process(self, unit: Sequence[Image], attempt: int = 0) -> list[Row]:
        """`run` on the images that can be run; the others get their problem's row, or `skipped` by their upstream.

        Raises: ConservationError where `run` breaks its contract.
        """
        settled: dict[int, Row] = {}
        for position, image in enumerate(unit):
            row = self._settle(image)
            if row is not None:
                settled[position] = row
        live = [image for position, image in enumerate(unit) if position not in settled]
        fresh = await self.run(live, attempt) if live else []
        expected, returned = [image.key for image in live], [row.key for row in fresh]
        if returned != expected:
            raise ConservationError(f"stage {self.name} returned {len(returned)} rows for {len(expected)} images, or in another order")
        rest = iter(fresh)
        return [settled[position] if position in settled else next(rest) for position in range(len(unit))]

    def _settle(self, image: Image) -> Row | None:
        for row in image.upstream.values():
            if row.status != "ok":
                return self.row_type(key=image.key, status="skipped", reason=skip_reason(row))
        if image.problem is not None:
            problem = image.problem
            return self.row_type(key=image.key, status=problem.status, reason=problem.reason, detail=problem.detail)
        return None


def skip_reason(upstream: Row) -> str:
    """Why an image is skipped: the first stage below a row that is not ok names its status, the others pass that on."""
    return upstream.reason if upstream.status == "skipped" and upstream.reason else f"upstream_{upstream.status}"


def rng(fingerprint: str, key: str, attempt: int) -> random.Random:
    """Randomness that is the same wherever and whenever this image meets this stage."""
    return random.Random(f"{fingerprint}/{key}/{attempt}")


def seed_of(fingerprint: str, key: str, attempt: int) -> int:
    """A seed for an engine, 31 bits."""
    return rng(fingerprint, key, attempt).getrandbits(31)
