"""Importer of the .json sidecars in WebDataset tars. Reads no image."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from pipeline.corpus.names import split_key
from pipeline.given.readers.jsonl import parse_object
from pipeline.given.source import Raw, SourceFile

_MAX_BYTES = 16 * 2**20


def read_webdataset(source: SourceFile) -> Iterator[Raw]:
    """A record for each member `<key>.json`, named by its key; where the tar cannot be read on, one that says so."""
    shard = PurePosixPath(source.path).stem
    end = 0
    try:
        with source.open() as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # typeshed omits it; else it keeps every header of the shard
                end = member.offset_data
                names = split_key(member.name)
                if not member.isreg() or names is None or names[1] != "json":
                    continue
                key, place = names[0], f"{source.path}:{member.name}"
                name = source.match.member(shard, key)
                if member.size > _MAX_BYTES:
                    yield Raw(place, name=name, reason="malformed_json", detail=f"{member.size} bytes are no sidecar")
                    continue
                content = tar.extractfile(member)
                assert content is not None, "a regular member has content"
                raw = parse_object(content.read(), place)
                yield Raw(place, raw.record, name, raw.reason, raw.detail)
    except tarfile.TarError as error:
        yield Raw(source.path, reason="truncated_shard", detail=f"cannot be read beyond byte {end}: {error}")
