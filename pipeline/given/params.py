"""The configuration's block `given`: which stages are given, where their rows lie and how they are read. Opens nothing."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from pipeline.corpus.params import digest
from pipeline.given.formats import FORMATS, BoxForm
from pipeline.given.names import MATCHES
from schemas.hashed import hashed

IMPORTER_VERSION = 1  # of what becomes a row: pipeline/given/rows and checks.py. In the fingerprint
READER_VERSION = 1  # of what is read of a source file: names and projected content. In the place of the index


def _one_of(table: Mapping[str, object], name: object) -> object:
    """Raises: PydanticKnownError where the table has no such row; it names those that it has."""
    if not isinstance(name, str) or name not in table:
        *others, last = map(repr, table)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})
    return name


class GivenParams(BaseModel):
    """The YAML block `given.<stage>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[str, BeforeValidator(partial(_one_of, FORMATS))] = Field(
        description="; ".join(f"{name}: {row.about}" for name, row in FORMATS.items()) + "."
    )
    path: str = Field(description="A file, a folder, a glob, or any of these under s3://. Never hashed: what it holds is.")
    fields: Mapping[str, str] = Field(
        default_factory=dict,
        description="What the source calls our fields, where it does not call them so: `{long: caption, key: id}`. A dot reaches inside.",
    )
    match: Annotated[str, BeforeValidator(partial(_one_of, MATCHES))] | None = Field(
        None,
        description=f"What names the image. {'; '.join(f'{name}: {row.about}' for name, row in MATCHES.items())}. Null: the format's own "
        f"({', '.join(f'{name}: {row.match}' for name, row in FORMATS.items())}).",
    )
    missing: Literal["compute", "skip"] = Field(
        "compute", description="Images without a given row: the stage's own engine is asked, or they are `skipped` as `not_given`."
    )
    boxes: BoxForm | None = Field(
        None,
        description="xyxy or xywh in pixels, or normalised xyxy (shares of the sides). Null: the format's own "
        f"({', '.join(f'{name}: {row.boxes}' for name, row in FORMATS.items() if row.boxes)}), else xyxy. "
        "A box that can only be of another convention is refused.",
    )
    orientation: Literal["upright", "stored"] = Field(
        "upright", description="Boxes are of the image as EXIF turns it, or of the pixels as they are stored: then they are turned with it."
    )
    tolerance_px: float = Field(
        0.01, ge=0, le=4, description="A box that leaves the frame by no more is cut at the frame: rounding, not an error."
    )
    max_regions: int = Field(1000, ge=1, description="A row with more boxes or regions is refused as `too_many_regions`.")

    @model_validator(mode="after")
    def _agrees(self) -> "GivenParams":
        fixed = FORMATS[self.format].boxes
        if fixed is not None and self.boxes not in (None, fixed):
            raise ValueError(f"boxes of the format {self.format} are {fixed}: leave `boxes` out")
        return self

    @property
    def convention(self) -> BoxForm:
        """What the four numbers of a box are."""
        return self.boxes or FORMATS[self.format].boxes or "xyxy"

    @property
    def matched_by(self) -> str:
        """What names the image: a row of names.MATCHES."""
        return self.match or FORMATS[self.format].match

    def source_name(self, field: str) -> str:
        """What the source calls a field of ours."""
        return self.fields.get(field, field)

    def misfit(self, stage: str) -> str | None:
        """Why a source of this format cannot be given to this stage; None where it can."""
        form = FORMATS[self.format]
        if form.stages is None or stage in form.stages:
            return None
        return f"format is {self.format}, which holds {form.holds}: give it to {' or '.join(form.stages)}"

    def hashed(self) -> dict[str, Any]:
        """What decides a given row beside the source's content; a part of the stage's fingerprint."""
        return {
            "importer": [IMPORTER_VERSION, READER_VERSION, *self._format_version],
            **hashed(self, without={"path", "match", "boxes"}),
            "match": self.matched_by,
            "boxes": self.convention,
        }

    def reading_digest(self, stage: str) -> str:
        """What decides the content that is read of a source file."""
        fields = dict(sorted(self.fields.items()))
        return digest([READER_VERSION, stage, self.format, fields, self.matched_by, *self._format_version])

    @property
    def _format_version(self) -> list[int]:
        """The version of the format's own reader, where it has risen: the first leaves all names as they were."""
        version = FORMATS[self.format].version
        return [version] if version > 1 else []
