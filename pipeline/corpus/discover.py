"""Which shards a corpus has now, and what else lies there: names and versions from listings alone; no image is opened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.corpus.formats.base import ShardFile, reader_of
from pipeline.corpus.formats.table import FORMATS, GUESSED, Format
from pipeline.corpus.listed.account import LeftOut, left_out
from pipeline.corpus.listed.img2dataset import finished_shards, is_own, only_finished
from pipeline.corpus.listed.listing import Listing, list_files
from pipeline.corpus.listed.walk import Link
from pipeline.corpus.names import SIDECAR_SUFFIXES, suffix_of, why_no_image
from pipeline.corpus.params import CorpusError, CorpusParams, corpus_storage
from pipeline.storage import Entry, Storage

LinkCheck = Callable[[Sequence[Link]], None]


@dataclass(frozen=True)
class Listed:
    """The shards that are there now, by location; of all files that `corpus.path` names how many there are, and what no shard takes."""

    shards: list[ShardFile]
    files: int
    sidecars: int
    left_out: tuple[LeftOut, ...]


def discover(params: CorpusParams) -> list[ShardFile]:
    """The shards that are there now, by location.

    Raises: CorpusError where the path does not exist, holds no images, or holds a mixture that `format` must settle.
    """
    return find(params).shards


def find(params: CorpusParams, num_folder_shards: int | None = None, check: LinkCheck | None = None) -> Listed:
    """What is there now. `num_folder_shards`: into how many shards the files of a folder were grouped before.

    `check` is asked first whether the links below the folder may lead where they do. Raises: as `discover`, and as `check`.
    """
    storage = corpus_storage(params)
    listing = list_files(params.path, storage)
    if check is not None:
        check(listing.links)
    if not listing.files:
        raise CorpusError(_missing(params, storage))
    asked = FORMATS.get(params.format)
    corpus_format = asked or _guessed(params, storage, listing)
    finished = finished_shards(listing)
    taken = only_finished(params, corpus_format, listing, finished) if finished and asked is None else listing
    if corpus_format.grows and params.folder_shards is None:
        params = params.model_copy(update={"folder_shards": num_folder_shards})
    shards = reader_of(corpus_format).list_shards(corpus_format, params, taken)
    if not shards and finished:
        choices = _or([each.name for each in GUESSED])
        raise CorpusError(f"{params.path}: none of the shards has its img2dataset _stats.json yet: wait, or set corpus.format to {choices}")
    if not shards:
        raise CorpusError(_nothing(params, f"no {corpus_format.wanted}", listing))
    return _accounted(corpus_format, shards, listing, finished)


def _accounted(corpus_format: Format, shards: list[ShardFile], listing: Listing, finished: set[str]) -> Listed:
    """What of the listing is in no shard, and why."""
    images = {file.path for shard in shards for file in shard.files} or {shard.location for shard in shards}
    sidecars = {path for shard in shards for file in shard.files for path in file.sidecars}
    others = [entry for entry in listing.chosen if entry.path not in images and entry.path not in sidecars]
    places = [(entry.path, _why(corpus_format, entry, finished)) for entry in others]
    num_files = len(images) + len(sidecars) + len(others) + len(listing.unread)
    return Listed(shards, num_files, len(sidecars), left_out([*places, *listing.unread]))


def _why(corpus_format: Format, entry: Entry, finished: set[str]) -> str:
    """The reason for which a file is left out: a word of `account.REASONS`."""
    if finished and is_own(entry.path, finished):
        return "metadata"
    if corpus_format.owns(entry.path):
        return "unfinished"
    if any(each.owns(entry.path) for each in FORMATS.values()):
        return "other_format"
    if suffix_of(entry.path) in SIDECAR_SUFFIXES:
        return "lone_sidecar" if corpus_format.grows else "no_image"
    return why_no_image(entry.path)


def _guessed(params: CorpusParams, storage: Storage, listing: Listing) -> Format:
    """The one format whose files hold images, by their names or, where these do not say it, by a look; else the first that has files."""
    files = {each.name: [entry for entry in listing.chosen if each.owns(entry.path)] for each in FORMATS.values()}
    present = [each for each in GUESSED if files[each.name]]
    if not present:
        raise CorpusError(_nothing(params, f"no {_or([each.noun for each in GUESSED])}", listing))
    by_name, by_look = [], []
    for each in present:
        look = reader_of(each).holds_images
        if look is None:
            by_name.append(each)
        elif not any(files[name] for name in each.metadata_of) and look(params, storage, files[each.name]):
            by_look.append(each)
    rivals = [*by_name, *by_look]
    if len(rivals) > 1:
        nouns = [each.noun for each in by_name] + [f"{each.noun} with images" for each in by_look]
        names = _or([each.name for each in rivals[:2]])
        raise CorpusError(f"{params.path}: holds {' and '.join(nouns[:2])}: set corpus.format to {names}")
    return (rivals or present)[0]


def _missing(params: CorpusParams, storage: Storage) -> str:
    where = "the bucket and prefix, and AWS_ENDPOINT_URL" if "://" in params.path else "corpus.path"
    state = "is an empty folder: put images there or correct" if storage.exists("") else "does not exist: correct"
    return f"{params.path}: {state} {where}"


def _nothing(params: CorpusParams, missing: str, listing: Listing) -> str:
    for each in FORMATS.values():
        if any(entry.path.lower().endswith(each.compressed) for entry in listing.chosen):
            ending = " or ".join(f".{suffix}" for suffix in sorted(each.suffixes))
            return f"{params.path}: holds compressed {each.noun}, which cannot be read by range: decompress them to {ending}"
    return f"{params.path}: {missing} among {len(listing.chosen)} files: correct corpus.path or corpus.format"


def _or(words: list[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
