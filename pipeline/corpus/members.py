"""The members of one shard as index rows, whatever its format, and what an indexed image is called. Cuts no units."""

from collections.abc import Iterator
from dataclasses import replace

from pipeline.corpus.formats.base import Read, ShardFile, reader_of
from pipeline.corpus.formats.table import FORMATS, format_of
from pipeline.corpus.listed.account import Members
from pipeline.corpus.params import CorpusParams, corpus_storage
from schemas.rows import CorpusRow


def read_members(params: CorpusParams, shard: ShardFile, skip: set[str]) -> Read:
    """A row for every image of the shard in its own order, units not yet cut, and what else is there.

    Files of a folder whose path is in `skip` are not read.

    Raises: CorpusError where a Parquet shard has no image column. A broken image or a cut tar is a row, never an error.
    """
    wanted = replace(shard, files=tuple(file for file in shard.files if file.path not in skip))
    members = reader_of(FORMATS[shard.format]).read_members(params, corpus_storage(params), wanted)
    return members if isinstance(members, Read) else Read(members, Members(len(members)))


def unique_keys(rows: list[CorpusRow], taken: set[str]) -> Iterator[CorpusRow]:
    """The rows with one key each: a second one of a name is failed `duplicate_key`, its key suffixed #2, #3."""
    for row in rows:
        key, count = row.key, 1
        while key in taken:
            count += 1
            key = f"{row.key}#{count}"
        taken.add(key)
        if count == 1:
            yield row
        else:
            detail = f"key {row.key!r} came before in this shard"
            yield row.model_copy(update={"key": key, "status": "failed", "reason": "duplicate_key", "detail": detail})


def place_of(path: str, member: str, key: str) -> str:
    """Where an indexed image lies in its corpus: its own file's path, else its name in its shard, else its key."""
    return path if format_of(path).grows else member or key


def file_name_of(member: str, key: str) -> str:
    """The file's name of an indexed image, less its folders; its key where it has none."""
    return (member or key).rsplit("/", 1)[-1]
