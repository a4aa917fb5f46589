"""The configuration's block `given`: which stages are given, where their rows lie and how they are read. Opens nothing."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.corpus.params import digest

IMPORTER_VERSION = 1  # of what becomes a row: pipeline/given/*_rows.py and checks.py. In the fingerprint
READER_VERSION = 1  # of what is read of a source file: names and projected content. In the place of the index
GIVABLE = ("caption", "ground", "region_caption", "hard_negative")
Format = Literal["webdataset-json", "jsonl", "parquet", "coco", "finehard"]
Match = Literal["key", "shard_key", "file", "path", "export"]
Boxes = Literal["xyxy", "xywh", "normalised"]

# The names by which our importers know fields; `fields` says what the source calls them.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "caption": ("key", "long", "short"),
    "ground": ("key", "width", "height", "boxes", "bbox", "phrase", "start", "end", "head", "score", "refused"),
    "region_caption": ("key", "width", "height", "regions", "region", "bbox", "head", "short", "long", "attributes"),
    "hard_negative": ("key", "width", "height", "regions", "region", "bbox", "positive", "negatives"),
}
_FIXED_BOXES: Mapping[str, Boxes] = {"coco": "xywh", "finehard": "normalised"}
_MATCH: Mapping[str, Match] = {"coco": "file", "finehard": "file"}


class GivenParams(BaseModel):
    """The YAML block `given.<stage>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format = Field(
        description="webdataset-json: the .json sidecars in tars; jsonl: one object a line; parquet; coco: annotations json (ground "
        "alone); finehard: the array that FG-CLIP's trainer reads."
    )
    path: str = Field(description="A file, a folder, a glob, or any of these under s3://. Never hashed: what it holds is.")
    fields: Mapping[str, str] = Field(
        default_factory=dict,
        description="What the source calls our fields, where it does not call them so: `{long: caption, key: id}`. A dot reaches inside.",
    )
    match: Match | None = Field(
        None,
        description="What names the image: its key in the corpus; shard_key: `<tar's name>/<key>`; file: the image's file name, whatever "
        "the folder; path: relative to the corpus; export: the key that fgdata's export of this corpus gave it. Null: file for coco and "
        "finehard, else key.",
    )
    missing: Literal["compute", "skip"] = Field(
        "compute", description="Images without a given row: the stage's own engine is asked, or they are `skipped` as `not_given`."
    )
    boxes: Boxes | None = Field(
        None,
        description="xyxy or xywh in pixels, or normalised xyxy (shares of the sides). Null: xyxy; coco has xywh, finehard normalised. "
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
        fixed = _FIXED_BOXES.get(self.format)
        if fixed is not None and self.boxes not in (None, fixed):
            raise ValueError(f"boxes of the format {self.format} are {fixed}: leave `boxes` out")
        return self

    @property
    def convention(self) -> Boxes:
        """What the four numbers of a box are."""
        return self.boxes or _FIXED_BOXES.get(self.format, "xyxy")

    @property
    def matched_by(self) -> Match:
        """What names the image."""
        return self.match or _MATCH.get(self.format, "key")

    def source_name(self, field: str) -> str:
        """What the source calls a field of ours."""
        return self.fields.get(field, field)

    def hashed(self) -> dict[str, Any]:
        """What decides a given row beside the source's content; a part of the stage's fingerprint."""
        return {
            "importer": [IMPORTER_VERSION, READER_VERSION],
            **self.model_dump(mode="json", exclude={"path", "match", "boxes"}),
            "match": self.matched_by,
            "boxes": self.convention,
        }

    def reading_digest(self, stage: str) -> str:
        """What decides the content that is read of a source file."""
        return digest([READER_VERSION, stage, self.format, dict(sorted(self.fields.items())), self.matched_by])
