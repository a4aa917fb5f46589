"""The lines of a file as a stream, however long it is. Knows nothing of what they hold."""

from collections.abc import Iterator
from typing import BinaryIO

_MAX_LINE_BYTES = 16 * 2**20
_CHUNK_BYTES = 2**20


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a binary file, as a stream. A longer line is cut, so that no file can fill the memory, and then is no JSON."""
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > _MAX_LINE_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest
