"""The files of an exported data set, read as they lie, local or s3://: the manifest, and the images of one tar. The trainer and
`fgdata.dataset` read through here; knows neither, nor pixels."""

import tarfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fsspec.core import url_to_fs
from pydantic import ValidationError

from schemas.dataset import ExportRecord, Manifest

_BLOCK_BYTES = 4 * 2**20
_MANIFEST = "manifest.json"


class ExportedError(ValueError):
    """What lies there is no exported data set, or a record of it is of no known form; the message says where and what to do."""


class ExportedImage(NamedTuple):
    """Place in its tar, the image as the source had it, None where the corpus held no pixels, and what was said of it."""

    number: int
    data: bytes | None
    record: ExportRecord


def read_manifest(root: str) -> Manifest:
    """What the data set at a folder or s3:// location holds.

    Raises: ExportedError.
    """
    path = f"{root}/{_MANIFEST}"
    try:
        filesystem, inner = url_to_fs(path)
        content = filesystem.cat_file(inner)
    except (OSError, ValueError, ImportError) as error:
        raise ExportedError(f"{path}: {type(error).__name__}: no exported data set there; `fgdata export` writes one") from error
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ExportedError(f"{path}: {_first(error)}; written by another version?") from error


def open_tar(path: str) -> Any:
    """A tar opened for reading from front to back: a binary file that seeks.

    Raises: OSError.
    """
    filesystem, inner = url_to_fs(path)
    if type(filesystem).__name__ == "LocalFileSystem":
        return open(inner, "rb")
    return filesystem.open(inner, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")


def images_of(file: Any, path: str, is_wanted: Callable[[int, str], bool]) -> Iterator[ExportedImage]:
    """The images of an opened tar whose number and name are wanted, in its order: an image, if there is one, then its json.

    Of the others the headers alone are read. `path` names the tar in errors.

    Raises: OSError, tarfile.TarError, EOFError where it cannot be read on; ExportedError where a record is of no known form.
    """
    number, last, data = 0, "", b""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            name, _, suffix = member.name.rpartition(".")
            if suffix != "json":
                last, data = name, _content(file, member) if is_wanted(number, name) else b""
                continue
            if is_wanted(number, name):
                yield ExportedImage(number, data if last == name else None, _record(file, member, path))
            number += 1
            tar.members.clear()  # type: ignore[attr-defined]  # in no stub; else all headers stay in memory


def _content(file: Any, member: tarfile.TarInfo) -> bytes:
    """A member's bytes, straight from the file: tarfile's own reader asks for them in small pieces."""
    file.seek(member.offset_data)
    content: bytes = file.read(member.size)
    if len(content) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _record(file: Any, member: tarfile.TarInfo, path: str) -> ExportRecord:
    try:
        return ExportRecord.model_validate_json(_content(file, member))
    except ValidationError as error:
        raise ExportedError(f"{path}: {member.name}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
