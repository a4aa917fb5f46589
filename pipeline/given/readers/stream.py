"""JSON files larger than memory, item by item, as Python's json would read them: with a byte order mark, NaN and numbers of any length."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ijson

from pipeline.given.source import SourceFile

JSON_ERRORS = (ijson.JSONError, UnicodeDecodeError)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# What JSON has no number for, and numbers that no float holds, are read as one that is too large: whoever needs a finite one refuses it.
_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?\b(?:NaN|Infinity)\b|[0-9]{300,}+', re.DOTALL)
_TOO_LARGE = b"1e999999"
_WORD = re.compile(rb"[\w.+-]*\Z")
_BOM = b"\xef\xbb\xbf"
_CHUNK_BYTES = 2**18
_SHOWN = 6


def items(source: SourceFile, prefix: str) -> Iterator[Any]:
    """The values at a place such as `images.item`; numbers are int or float.

    Raises: one of JSON_ERRORS.
    """
    with source.open() as file:
        for item in ijson.items(_Tolerant(file), prefix):
            yield _floats(item)


def shape(source: SourceFile) -> tuple[str, frozenset[str]]:
    """What the top of a JSON file is, in words, and the names of the arrays that stand in an object there.

    Raises: one of JSON_ERRORS.
    """
    keys: list[str] = []
    arrays: set[str] = set()
    inner: list[str] = []
    with source.open() as file:
        top = ""
        for prefix, event, value in ijson.parse(_Tolerant(file)):
            top = top or event
            if prefix == "" and event == "map_key":
                keys.append(value)
            elif event == "start_array" and prefix in keys:
                arrays.add(prefix)
            elif top == "start_array" and prefix == "item" and event == "map_key":
                inner.append(value)
            elif top == "start_array" and prefix == "item" and event in ("end_map", "string", "number", "null", "boolean"):
                break
    if top == "start_map":
        return f"an object with {_listed(keys)}", frozenset(arrays)
    if top == "start_array":
        return f"an array of objects with {_listed(inner)}" if inner else "an array", frozenset()
    return "a single value", frozenset()


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:_SHOWN])}{' and more' if len(names) > _SHOWN else ''}" if names else "no keys"


def _floats(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _floats(inner) for key, inner in value.items()}
    return [_floats(inner) for inner in value] if isinstance(value, list) else value


class _Tolerant:
    """A binary file whose numbers a strict JSON parser takes. Holds a string that goes on behind the chunk, and no more."""

    def __init__(self, file: Any) -> None:
        self._file, self._rest, self._is_begun = file, b"", False

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        while True:
            chunk = self._file.read(max(size, _CHUNK_BYTES))
            read = self._rest + chunk
            if not self._is_begun:
                read, self._is_begun = read.removeprefix(_BOM), True
            cut = self._complete(read) if chunk else len(read)
            self._rest = read[cut:]
            if cut or not chunk:
                return _NUMBER.sub(lambda match: match[0] if match[0][:1] == b'"' else _TOO_LARGE, read[:cut])

    def _complete(self, read: bytes) -> int:
        """Up to where no string and no word goes on."""
        end = 0
        for string in _STRING.finditer(read):
            end = string.end()
        opened = read.find(b'"', end)
        if opened >= 0:
            return opened
        word = _WORD.search(read, end)
        return word.start() if word else len(read)
