"""Importer of the .json sidecars in WebDataset tars. Reads no image."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from pipeline.corpus.members import split_key
from pipeline.given.params import GivenParams
from pipeline.given.readers.jsonl import parse_object
from pipeline.given.records import Raw
from pipeline.storage import Entry, Storage

_MAX_BYTES = 16 * 2**20


def read_webdataset(storage: Storage, entry: Entry, params: GivenParams) -> Iterator[Raw]:
    """A record for each member `<key>.json`, named by its key; where the tar cannot be read on, one that says so."""
    shard = PurePosixPath(entry.path).stem
    end = 0
    try:
        with storage.open(entry.path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # typeshed omits it; else it keeps every header of the shard
                end = member.offset_data
                names = split_key(member.name)
                if not member.isreg() or names is None or names[1] != "json":
                    continue
                key, place = names[0], f"{entry.path}:{member.name}"
                name = f"{shard}/{key}" if params.matched_by == "shard_key" else key
                if member.size > _MAX_BYTES:
                    yield Raw(place, name=name, reason="malformed_json", detail=f"{member.size} bytes are no sidecar")
                    continue
                content = tar.extractfile(member)
                assert content is not None, "a regular member has content"
                raw = parse_object(content.read(), place)
                yield Raw(place, raw.record, name, raw.reason, raw.detail)
    except tarfile.TarError as error:
        yield Raw(entry.path, reason="truncated_shard", detail=f"cannot be read beyond byte {end}: {error}")
