"""Inputs and outputs never meet: no place that is written lies in, around or at one that is read, nor at another that is written."""

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.config.model import Config, ConfigError
from pipeline.corpus.listed.listing import list_files
from pipeline.corpus.listed.places import locate
from pipeline.corpus.listed.walk import Link
from pipeline.corpus.params import expand_braces
from pipeline.storage import Storage
from schemas.names import storable

_MAGIC = re.compile(r"[*?\[]")
_LOCAL = ("file", "local")
_ONE_STORE = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}


@dataclass(frozen=True)
class _Place:
    """A folder or file, and what of it is meant: the parts of a pattern below it; none where all of it is. `store`: "" if local."""

    store: str
    parts: tuple[str, ...]
    pattern: tuple[str, ...] = ()


def check_apart(read: Mapping[str, str], written: Mapping[str, str]) -> None:
    """Compare absolute paths or URLs, by the names that messages call them. Links and mounts are looked through.

    Raises: ConfigError with the first two that meet.
    """
    names = list(written)
    for position, name in enumerate(names):
        others = {**read, **{other: written[other] for other in names[:position]}}
        for other, place in others.items():
            relation = _relation(written[name], place)
            if relation is not None:
                meets = f"{name} is {written[name]}, {relation} {other}, {place}"
                raise ConfigError(f"{meets}: what is written needs a folder of its own, beside what is read")


def check_links(name: str, links: Iterable[Link], written: Mapping[str, str]) -> None:
    """Compare what the links below a place that is read lead to, at whatever depth a listing found them, with what is written.

    Raises: ConfigError with the first link that leads into, around or at an output.
    """
    outs = {other: _places(place, may_be_pattern=False) for other, place in written.items()}
    for link in links:
        target = _Place("", Path(link.target).parts)
        for other, places in outs.items():
            relations = (_meets(target, out) for out in places if link.is_folder or _below(target, out) is not None)
            relation = next((relation for relation in relations if relation is not None), None)
            if relation is not None:
                leads = f"{name}: the link {link.path} leads to {link.target}, {relation} {other}, {written[other]}"
                raise ConfigError(f"{leads}: what is written needs a folder of its own; remove the link, or write elsewhere")


def check_beside(config: Config, out: Path) -> None:
    """What a command writes beside a run: apart from all that the run reads and writes, links at any depth looked through.

    Raises: ConfigError.
    """
    written = {"--out": str(out.absolute())}
    check_apart({**places_read(config), **places_written(config)}, written)
    for name, place in places_read(config).items():
        storage = Storage(locate(place).folder)
        if storage.local_root is not None:  # elsewhere there are no links
            check_links(name, list_files(place, storage, name).links, written)


def check_folders(written: Mapping[str, str]) -> None:
    """Raises: ConfigError where a file lies at a place that is to be a folder, or above it."""
    for name, place in written.items():
        protocol, mark, rest = place.partition("://")
        if mark and protocol not in _LOCAL:
            continue
        path = Path(rest if mark else place)
        there = next((each for each in (path, *path.parents) if each.exists()), path)
        if there.exists() and not there.is_dir():
            raise ConfigError(f"{name} is {place}, and {there} is a file: name a folder")


def check_output(out: Path, read: Mapping[str, str], is_own: Callable[[bytes], bool], kind: str) -> None:
    """What a command writes to one file beside a run: apart from what is read, and in place of nothing but an earlier one of its kind.

    `what` names the kind.

    Raises: ConfigError.
    """
    check_apart(read, {"--out": str(out.absolute())})
    try:
        content = out.read_bytes() if out.exists() else None
    except OSError as error:
        raise ConfigError(f"--out is {out}, which cannot be read: {error.strerror}; name a file") from error
    if content is not None and not is_own(content):
        raise ConfigError(f"--out is {out}, a file that is no {kind}: it is left as it is; choose another name, or remove it")


def write_output(out: Path, text: str) -> None:
    """Write it all or nothing, its folder too.

    Raises: ConfigError where it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        Storage(str(out.parent)).write(storable(out.name), text.encode())
    except OSError as error:
        raise ConfigError(f"--out is {out}, which cannot be written: {error.strerror}; name another file") from error


def places_read(config: Config) -> dict[str, str]:
    """What a run reads, by the names of the configuration's keys."""
    return {"corpus.path": config.corpus.path, **{f"given.{name}.path": given.path for name, given in config.given.items()}}


def places_written(config: Config) -> dict[str, str]:
    """What a run writes."""
    return {"workdir": config.workdir, **({"export_to": config.export_to} if config.export_to else {})}


def _relation(written: str, other: str) -> str | None:
    """How a place that is written stands to another one; None where they are apart."""
    relation = None
    for out in _places(written, may_be_pattern=False):
        for place in _places(other, may_be_pattern=True):
            relation = relation or _meets(out, place) or next((way for each in _linked(place) if (way := _meets(out, each))), None)
            relation = relation or next((way for each in _linked(out) if (way := _meets(each, place))), None)
    return relation


def _meets(out: _Place, other: _Place) -> str | None:
    if out.store != other.store:
        return None
    if (below := _below(out, other)) is not None:
        if not other.pattern:
            return "inside" if below else "the same as"
        return "inside" if _may_hold(other.pattern, below) else None
    return "around" if _below(other, out) is not None else None


def _may_hold(pattern: tuple[str, ...], below: tuple[str, ...]) -> bool:
    """Whether a file that the pattern names could lie in this folder, both relative to one root."""
    for position, part in enumerate(pattern):
        if part == "**" or position == len(below):
            return True
        if not fnmatch.fnmatchcase(below[position], part):
            return False
    return False


def _below(inner: _Place, outer: _Place) -> tuple[str, ...] | None:
    """The parts of a place below another one that holds it; None where it does not."""
    size = len(outer.parts)
    if inner.parts[:size] == outer.parts:
        return inner.parts[size:]
    if inner.store or (root := _identity(outer.parts)) is None:
        return None
    for end in range(len(inner.parts), 0, -1):  # a mount, or a file system that ignores case
        if _identity(inner.parts[:end]) == root:
            return inner.parts[end:]
    return None


def _identity(parts: tuple[str, ...]) -> tuple[int, int] | None:
    try:
        status = Path(*parts).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _places(path: str, *, may_be_pattern: bool) -> list[_Place]:
    protocol, mark, rest = path.partition("://")
    if mark and protocol not in _LOCAL:
        store = _ONE_STORE.get(protocol, protocol)
        items = expand_braces(rest) if may_be_pattern else [rest]
        places = [_split(store, tuple(part for part in item.split("/") if part)) for item in items]
        return places if may_be_pattern else [_Place(store, place.parts + place.pattern) for place in places]
    local = rest if mark else path
    if not may_be_pattern or Path(local).exists() or not re.search(r"[*?\[{]", local):
        return [_Place("", Path(local).resolve().parts)]
    split = [_split("", PurePosixPath(item).parts) for item in expand_braces(local)]
    return [_Place("", Path(*place.parts).resolve().parts, place.pattern) for place in split]


def _split(store: str, parts: tuple[str, ...]) -> _Place:
    first = next((number for number, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    return _Place(store, parts[:first], parts[first:])


def _linked(place: _Place) -> Iterator[_Place]:
    """Where links directly below a local folder lead; those to a folder above it are not followed by a listing either.

    Deeper ones are found as the folder is listed: `check_links`.
    """
    if place.store or place.pattern or not place.parts:
        return
    try:
        with os.scandir(Path(*place.parts)) as entries:
            links = [entry.path for entry in entries if entry.is_symlink()]
    except OSError:
        return
    targets = {Path(os.path.realpath(link)) for link in links}  # resolve() raises where a link leads to itself
    whole = Path(*place.parts).resolve()
    targets -= {whole, *whole.parents}
    yield from (_Place("", target.parts) for target in sorted(targets))
