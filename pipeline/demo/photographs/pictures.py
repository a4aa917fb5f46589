"""Ten photographs that installed packages carry, whose they are, and what a reader said of them. Nothing is downloaded or copied here."""

import importlib.util
import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from pipeline.config.model import ConfigError
from schemas.boxes import Box
from schemas.rows import Attribute

ANSWERS = Path(__file__).with_name("answers.jsonl")
# Package as it is imported -> as it is installed.
_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn"}
# As the packages' own documentation says.
LICENCES = {
    "astronaut": "NASA, public domain",
    "coffee": "Rachel Michetti, CC0",
    "chelsea": "Stefan van der Walt, CC0",
    "rocket": "SpaceX, public domain",
    "camera": "Lav Varshney, CC0",
    "coins": "Brooklyn Museum, no known copyright restrictions",
    "clock_motion": "Stefan van der Walt, public domain",
    "motorcycle_left": "Middlebury 2014 stereo benchmark (Nesic and others); no licence is stated",
    "china": "CC BY 2.0, as scikit-learn's images/README.txt attributes it",
    "flower": "CC BY 2.0, as scikit-learn's images/README.txt attributes it",
}


class ReadValues(BaseModel):
    """What the reader says is true of a region in one type of values, what is plainly not, and what cannot be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()


class ReadRegion(BaseModel):
    """A box, the caption's phrase for it, and the answers to all questions about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    box: Box = Field(description="xyxy, pixels.")
    noun: str
    phrase: str
    start: int
    short: str
    long: str
    there: bool
    attributes: tuple[Attribute, ...]
    edits: tuple[dict[str, str], ...]
    values: dict[str, ReadValues] = Field(default_factory=dict, description="By type of values; `text`: of whole phrases.")
    unnatural: tuple[str, ...] = Field((), description="New values of accepted edits that read as nobody would write them.")


class NamedPhrase(NamedTuple):
    """A phrase of the long caption, its noun, and words around it that stand in the caption once."""

    text: str
    noun: str
    within: str


class Picture(BaseModel):
    """One photograph and all answers about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    package: str
    file: str
    long: str
    short: str
    phrases: tuple[NamedPhrase, ...]
    regions: tuple[ReadRegion, ...]

    @property
    def path(self) -> Path:
        """Where the installed package has it.

        Raises: ConfigError where the package or the file is missing.
        """
        name = _PACKAGES[self.package]
        spec = importlib.util.find_spec(self.package)
        folder = None if spec is None or not spec.submodule_search_locations else Path(next(iter(spec.submodule_search_locations)))
        if folder is None:
            raise ConfigError(f"the photographs need the package {name}: pip install {name}")
        path = folder.parent / self.file
        if not path.is_file():
            raise ConfigError(f"{path} is missing: this version of {name} does not carry {Path(self.file).name}; pip install -U {name}")
        return path


@lru_cache
def pictures(package: str | None = None) -> tuple[Picture, ...]:
    """All photographs, or those of one package."""
    read = [Picture.model_validate_json(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    return tuple(picture for picture in read if package in (None, picture.package))


def write_photographs(folder: Path, chosen: tuple[Picture, ...]) -> None:
    """A corpus of these photographs in `folder`/corpus, and beside it boxes.jsonl with the boxes, for `given`."""
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    lines = []
    for picture in chosen:
        shutil.copyfile(picture.path, folder / "corpus" / f"{picture.key}{picture.path.suffix}")
        lines.append(json.dumps({"key": picture.key, "boxes": [_box(region) for region in picture.regions]}))
    (folder / "boxes.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _box(region: ReadRegion) -> dict[str, Any]:
    phrase, start = region.phrase, region.start
    return {"bbox": list(region.box), "phrase": phrase, "start": start, "end": start + len(phrase), "head": region.noun}
