"""The rule for a corpus that img2dataset is writing: of whatever format it is, only its finished shards are taken."""

import logging
import re
from dataclasses import replace

from pipeline.corpus.formats.table import Format
from pipeline.corpus.listed.listing import Listing
from pipeline.corpus.params import CorpusParams

_log = logging.getLogger(__name__)


def finished_shards(listing: Listing) -> set[str]:
    """What has its `NNNNN_stats.json`: the paths before it. Empty where img2dataset has finished nothing, or did not write this."""
    matches = (re.fullmatch(r"((?:.*/)?\d+)_stats\.json", entry.path) for entry in listing.files)
    return {match[1] for match in matches if match}


def is_own(path: str, finished: set[str]) -> bool:
    """Whether a file is img2dataset's own table or statistics of a finished shard, and no shard itself."""
    stem, _, end = path.rpartition("_stats.json")
    return (stem in finished and not end) or (path.endswith(".parquet") and path.removesuffix(".parquet") in finished)


def only_finished(params: CorpusParams, corpus_format: Format, listing: Listing, finished: set[str]) -> Listing:
    """The listing with no chosen file but those of finished shards: a file, or where the format grows a folder, a shard."""
    end = "/" if corpus_format.grows else "."
    stems = {entry: entry.path.rpartition(end)[0] for entry in listing.chosen if corpus_format.owns(entry.path)}
    unfinished = set(stems.values()) - finished
    if unfinished:
        _log.warning("corpus %s: %d shards have no _stats.json yet and are left for a later run", params.path, len(unfinished))
    return replace(listing, chosen=tuple(entry for entry, stem in stems.items() if stem in finished))
