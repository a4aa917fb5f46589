"""The files of a given source, from a listing alone; how each is called and which version it is."""

import re
from pathlib import Path, PurePosixPath

from fsspec.utils import glob_translate

from pipeline.corpus.params import expand_braces, split_path
from pipeline.given.params import GivenParams
from pipeline.storage import Entry, Storage

_SUFFIXES = {
    "webdataset-json": (".tar",),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet",),
    "coco": (".json",),
    "finehard": (".json",),
}


class GivenError(ValueError):
    """A given source is not there or cannot be read at all; the message says what, where and what to do."""


def source_storage(params: GivenParams) -> Storage:
    """The storage whose paths `source_files` lists."""
    return Storage(_split(params)[0])


def source_files(stage: str, params: GivenParams) -> list[Entry]:
    """The files of the source, by path.

    Raises: GivenError where there is none.
    """
    root, pattern = _split(params)
    suffixes = _SUFFIXES[params.format]
    listing = [entry for entry in Storage(root).walk() if not any(part.startswith(".") for part in entry.path.split("/"))]
    patterns = [re.compile(glob_translate(item)) for item in expand_braces(pattern)] if pattern else []
    found = [entry for entry in listing if any(item.match(entry.path) for item in patterns)] if pattern else listing
    chosen = [entry for entry in found if PurePosixPath(entry.path).suffix.lower() in suffixes]
    if not chosen:
        raise GivenError(f"given.{stage}.path: {params.path}: no file that ends in {' or '.join(suffixes)}: correct path or format")
    return chosen


def _split(params: GivenParams) -> tuple[str, str | None]:
    """The folder, and the pattern or name below it; null: all of the folder."""
    is_file = Path(params.path).is_file() if "://" not in params.path else PurePosixPath(params.path).suffix != ""
    if is_file and not re.search(r"[*?\[{]", params.path):
        folder, _, name = params.path.rpartition("/")
        return folder or "/", name
    return split_path(params.path)
