"""What the configuration says of a corpus, and the root that its locations are relative to. Lists nothing, reads nothing."""

import hashlib
import json
import re
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.corpus.formats.table import CHOICES, FORMATS
from pipeline.corpus.listed.places import locate
from pipeline.storage import Storage

BLOCK_IMAGES = 50_000
_ABOUT_FORMATS = " ".join(f"{row.name}: {row.about}" for row in FORMATS.values() if row.about)
_READING = ("format", "image_column", "key_column", "alt_column", "alt_field", "max_pixels_limit")


# mypy knows no Literal that is computed.
if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[CHOICES]


class CorpusError(ValueError):
    """The corpus is not there, is empty or is not understood; the message says what, where and what to do."""


class CorpusParams(BaseModel):
    """The YAML block `corpus`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        description="Where the images lie: a folder, a file, a glob (`shards/*.tar`, `{00000..00123}.tar`), or any of these under s3://."
    )
    format: FormatName = Field(
        "auto",
        description="auto looks: tars, else image files, else Parquet; img2dataset where `NNNNN_stats.json` files lie beside them, "
        "and then shards without theirs are left alone, because they are still being written. " + _ABOUT_FORMATS,
    )
    unit_size: int = Field(
        64, ge=1, description="Images in a unit at most: what is scheduled, committed and resumed. Holds for new shards only."
    )
    block_images: int = Field(
        BLOCK_IMAGES,
        ge=1,
        description="Images in a block at most: whole shards that the stages mine and balance look at together. Recorded in "
        "`blocks/<n>.json` and hashed into nothing: it holds for blocks that are sealed from now on.",
    )
    folder_shards: int | None = Field(
        None,
        ge=1,
        le=9999,
        description="Into how many shards the files of a folder are grouped, by digest of their name. null: one for about 4,000 images "
        "when the folder is first indexed, and then that number for ever. Changing it makes new units.",
    )
    image_column: str | None = Field(
        None, description="Parquet column of the encoded bytes, or of structs with a field `bytes`; null: found by name."
    )
    key_column: str | None = Field(
        None,
        description="Parquet column, or field of a text corpus, that holds the key; null: key or __key__, else the row number.",
    )
    alt_column: str | None = Field(None, description="Parquet column of the alt text; null: caption, alt or text where there is one.")
    alt_field: str = Field(
        "caption", description="Field of a .json sidecar that holds the alt text; a .txt sidecar is used where it is absent."
    )
    duplicates: Literal["keep", "filter"] = Field(
        "keep", description="What becomes of an image whose bytes came before: kept and named in duplicate_of, or filtered (`duplicate`)."
    )
    benchmark_hashes: str | None = Field(
        None,
        description="A list of perceptual hashes, a line each as imagehash prints its phash (`fgdata hashes` writes one): images that "
        "resemble one are filtered (`resembles_benchmark`). Indexing decodes every image then. A changed list is compared with the hashes "
        "that the index holds; units in which no image's status changes are left alone.",
    )
    benchmark_max_distance: int = Field(4, ge=0, le=64, description="Bits of 64 that may differ where an image resembles one of the list.")
    near_duplicates: Literal["keep", "filter"] = Field(
        "keep",
        description="filter: an image whose perceptual hash is near that of one that came before and stays is filtered (`near_duplicate`). "
        "Indexing decodes every image then; so setting it reads an indexed corpus once more.",
    )
    near_duplicate_distance: int = Field(3, ge=0, le=3, description="Bits of 64 that may differ between near-duplicates.")
    min_side_px: int | None = Field(None, ge=1, description="Images whose shorter side has fewer pixels are filtered (`too_small`).")
    max_aspect_ratio: float | None = Field(
        None, ge=1, description="Images whose longer side is more than so many times the shorter are filtered (`too_elongated`)."
    )
    min_megapixels: float | None = Field(None, gt=0, description="Images with fewer million pixels are filtered (`too_few_pixels`).")
    max_megapixels: float | None = Field(None, gt=0, description="Images with more million pixels are filtered (`too_many_pixels`).")
    max_pixels_limit: int = Field(
        178_956_970,
        ge=1,
        description="Images with more pixels fail as `too_large` before they are decoded (decompression bombs); "
        "TIFF and GIF already above 89,478,485.",
    )

    def reading_digest(self) -> str:
        """Digest of the parameters that decide what an index says of a shard; where it changed, the shard is read again."""
        return self._reading(with_hashes=self.needs_hashes)

    @property
    def needs_hashes(self) -> bool:
        """Whether indexing takes a perceptual hash of each image."""
        return self.benchmark_hashes is not None or self.near_duplicates == "filter"

    def is_reading(self, reading: str) -> bool:
        """Whether an index of this reading says all that is asked for; perceptual hashes may be there that nothing asks for."""
        return reading in (self.reading_digest(), self._reading(with_hashes=True))

    def _reading(self, *, with_hashes: bool) -> str:
        return digest({**{name: getattr(self, name) for name in _READING}, **({"phash": True} if with_hashes else {})})


def digest(content: object) -> str:
    """20 hexadecimal digits of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:20]


def expand_braces(pattern: str) -> list[str]:
    """The patterns that WebDataset's braces stand for: `{00000..00123}` and `{a,b}`."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", braces[1])
    if numbers:
        width = len(numbers[1]) if numbers[1].startswith("0") else 0
        choices = [str(number).zfill(width) for number in range(int(numbers[1]), int(numbers[2]) + 1)]
    else:
        choices = braces[1].split(",")
    tails = expand_braces(pattern[braces.end() :])
    return [f"{pattern[: braces.start()]}{choice}{tail}" for choice in choices for tail in tails]


def corpus_storage(params: CorpusParams) -> Storage:
    """The storage whose paths are the locations that the index holds."""
    return Storage(locate(params.path).folder)
