"""What names an image, a row for each way of matching: how a source says it, and how the corpus does. Reads no file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.corpus.members import file_name_of, place_of
from schemas.dataset import image_key


class IndexedImage(NamedTuple):
    """What may name an image: the columns of its shard's index that do, the shard's number and the row there."""

    key: str
    path: str
    member: str
    shard_number: int
    row: int
    sha256: str | None = None


@dataclass(frozen=True)
class Match:
    """One way of matching. `name_of` and `member` give the name of a given row, `image` that of an image.

    The two are the same where they belong together.

    `name_of` reads a text of the source; `member` takes the tar's name and the key of a sidecar, and what it makes goes through `name_of`.
    `folder` and `image_folder` are the folders that a row names and that an image lies in, outermost first: they tell images of one name
    apart.
    """

    about: str
    image: Callable[[IndexedImage], str]
    name_of: Callable[[str], str] = str
    member: Callable[[str, str], str] = lambda _shard, key: key
    folder: Callable[[str], tuple[str, ...]] = lambda _text: ()
    image_folder: Callable[[IndexedImage], tuple[str, ...]] = lambda _image: ()


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace("\\", "/").split("/") if part not in ("", "."))


def _image_folder(image: IndexedImage) -> tuple[str, ...]:
    """Of a member of a tar or table its name counts as a folder too."""
    place = place_of(image.path, image.member, image.key)
    whole = place if place == image.path else f"{PurePosixPath(image.path).with_suffix('')}/{place}"
    return _parts(whole)[:-1]


MATCHES: Mapping[str, Match] = {
    "key": Match("its key in the corpus", lambda image: image.key),
    "shard_key": Match(
        "`<tar's name>/<key>`",
        lambda image: f"{PurePosixPath(image.path).stem}/{image.key}",
        member=lambda shard, key: f"{shard}/{key}",
    ),
    "file": Match(
        "the image's file name, whatever the folder",
        lambda image: file_name_of(image.member, image.key),
        name_of=lambda text: text.replace("\\", "/").rsplit("/", 1)[-1],
        folder=lambda text: _parts(text)[:-1],
        image_folder=_image_folder,
    ),
    "path": Match(
        "relative to the corpus", lambda image: place_of(image.path, image.member, image.key), name_of=lambda text: text.removeprefix("./")
    ),
    "export": Match(
        "the key that fgdata's export of this corpus gave it",
        lambda image: image_key(image.shard_number, image.row),
        name_of=lambda text: PurePosixPath(text).name.partition(".")[0],
    ),
}
