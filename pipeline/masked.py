"""Credentials in what is written, logged or printed: they are put behind three stars. Knows their shapes and those it was told of."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

STARS = "***"
_LEAST = 8  # of fewer characters a credential is a word like others
_NAME = re.compile(r"(?:^|[_-])(?:tokens?|secrets?|password|passwd|api_?key|access_?key|secret_?key|credentials?|authorization)$", re.I)
_VARIABLE = re.compile(r"(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|CREDENTIALS?)$")
_IN_URL = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]*:)[^\s/@'\"]+(?=@)", re.I)
_IN_QUERY = re.compile(
    r"(?P<before>[?&;](?:[\w.-]*(?:token|secret|password|signature|api_?key|access_?key|credential)|sig|key)=)[^\s&;#'\"]+", re.I
)
_HEADER = re.compile(r"(?P<before>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.I)
_known: set[str] = set()


def keep_secret(content: Any) -> None:
    """Remember the credentials in a configuration's content: values under names of credentials, and passwords in URLs."""
    _known.update(value for value in _secrets(content) if len(value) >= _LEAST)


def has_password(url: str) -> bool:
    """Whether a URL carries a password before its host."""
    return _IN_URL.search(url) is not None


def masked(text: str) -> str:
    """The text without credentials."""
    for value in {*_known, *_of_environment()}:
        if value in text:
            text = text.replace(value, STARS)
    if "://" in text:
        text = _IN_URL.sub(rf"\g<before>{STARS}", text)
    if "=" in text:
        text = _IN_QUERY.sub(rf"\g<before>{STARS}", text)
    return _HEADER.sub(rf"\g<before>{STARS}", text)


def masked_content(content: Any) -> Any:
    """The same of JSON-like content; a text under a name of a credential is masked whole."""
    if isinstance(content, str):
        return masked(content)
    if isinstance(content, Mapping):
        return {name: STARS if _is_secret(name, value) else masked_content(value) for name, value in content.items()}
    if isinstance(content, Sequence):
        return [masked_content(part) for part in content]
    return content


class MaskingStream:
    """A text stream that masks what is written to it, a call at a time; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it without credentials."""
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write them without credentials."""
        self._stream.writelines(map(masked, lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def mask_streams() -> None:
    """From now on this process prints no credential that Python writes: tracebacks and logs too."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, MaskingStream):
            setattr(sys, name, MaskingStream(stream))


def _is_secret(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, str) and bool(value) and _NAME.search(name) is not None


def _secrets(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield from (match.group()[len(match["before"]) :] for match in [*_IN_URL.finditer(content), *_IN_QUERY.finditer(content)])
    elif isinstance(content, Mapping):
        for name, value in content.items():
            if _is_secret(name, value):
                yield value
            else:
                yield from _secrets(value)
    elif isinstance(content, Sequence):
        for part in content:
            yield from _secrets(part)


def _of_environment() -> Iterator[str]:
    return (value for name, value in os.environ.items() if len(value) >= _LEAST and _VARIABLE.search(name))
