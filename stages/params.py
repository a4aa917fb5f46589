"""What a stage is told, and what it may know of the run around it before anything is hashed. Knows no stage."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from schemas.hashed import hashed
from stages.engines.specs import Spec
from stages.words.domain import ANY_DOMAIN, Domain


class StageParams(BaseModel):
    """Base of a stage's parameters: the YAML block `stages.<name>`; all of it is hashed. See schemas/hashed.py for adding a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Blocks of this block that may stand in files of their own: in their place stands the file's name.
    in_files: ClassVar[tuple[str, ...]] = ()

    def hashed(self) -> dict[str, Any]:
        """What enters a fingerprint."""
        return hashed(self)


@dataclass(frozen=True)
class Surroundings:
    """The run around a stage: its stages with their parameters as written, its engines by role, and what is said once for all.

    `computed` names the stages that run at all; the rows of the others are given. `given` names those that have given rows.
    """

    stages: Mapping[str, StageParams]
    computed: Collection[str] = ()
    engines: Mapping[str, Spec] = field(default_factory=dict)
    domain: Domain = ANY_DOMAIN
    allows_unverified: bool = False
    export_to: str | None = None
    given: Collection[str] = ()
