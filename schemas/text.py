"""Texts that can be stored and printed: what UTF-8 cannot hold, NUL and control characters are found, or left out; and their sentences."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

# Lone surrogates, which JSON can hold and UTF-8 cannot, and controls but tab, line feed, carriage return and next line.
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")

_SENTENCE_END = re.compile(r"[。！？]+|[.!?]+[\"')\]]*(?=\s)|\n")


def sentences(text: str) -> list[str]:
    """The text cut at line ends and after each mark that ends a sentence, Chinese and Japanese ones too."""
    ends = [0, *(end.end() for end in _SENTENCE_END.finditer(text)), len(text)]
    parts = (text[start:end].strip() for start, end in itertools.pairwise(ends))
    return [part for part in parts if part]


def cleaned(text: str) -> tuple[str, str | None]:
    """The text without such characters, and what was left out; None where nothing was."""
    unfit = UNFIT.findall(text)
    if not unfit:
        return text, None
    kinds = ", ".join(sorted({_named(character) for character in unfit})[:4])
    return UNFIT.sub("", text).strip(), f"{len(unfit)} character{'s' if len(unfit) > 1 else ''} left out: {kinds}"


def unfit_in(content: Any) -> str | None:
    """Of anything that JSON can hold the first such character in a text or a key, by name; None where there is none."""
    if isinstance(content, str):
        unfit = UNFIT.search(content)
        return _named(unfit.group()) if unfit else None
    parts = [*content.keys(), *content.values()] if isinstance(content, Mapping) else content if isinstance(content, list | tuple) else []
    return next((name for part in parts if (name := unfit_in(part)) is not None), None)


def storable(content: Any) -> Any:
    """The same with what UTF-8 cannot hold as escapes: the last guard of a table, for texts that nobody has cleaned."""
    if isinstance(content, str):
        return content.encode("utf-8", "backslashreplace").decode()
    if isinstance(content, Mapping):
        return {storable(key): storable(value) for key, value in content.items()}
    return [storable(part) for part in content] if isinstance(content, list | tuple) else content


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"
