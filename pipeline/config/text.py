"""YAML as users write it: a key that stands twice is refused, and of each key its line is known. Knows no key."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.model import ConfigError

_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|(\w+))")
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Written:
    """What a YAML file holds, and on which line each key stands, by its dotted place."""

    content: Any
    lines: Mapping[str, int] = field(default_factory=dict)

    def where(self, message: str) -> str:
        """` line N` of the place that a message begins with or names; nothing where it names none."""
        for word in re.findall(r"[\w./-]+", message):
            place = word.rstrip(".")
            while place:
                if place in self.lines and ("." in word or place == word):
                    return f" line {self.lines[place]}"
                place = place.rpartition(".")[0]
        return ""


def read_yaml(path: Path, missing: str) -> Written:
    """The one document of a file.

    Raises: ConfigError where it is not there (`missing` says what to do), is no YAML, or a key stands twice.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        lines: dict[str, int] = {}
        _number(node, "", lines, path)
        return Written(loader.construct_document(node) if node is not None else None, lines)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; {missing}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    except ConfigError:
        raise
    except ValueError as error:  # a date such as 2024-13-01, a number without digits
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}; put the text in quotes") from error


def expanded(place: str, folder: Path, where: str) -> str:
    """An absolute path or a URL: relative to the folder, the environment's variables and `~` filled in. What exists is taken literally.

    Raises: ConfigError where it is no text, is empty, holds what no path can, or a variable or a home that is not there.
    """
    if not isinstance(place, str):
        raise ConfigError(f"{where} must be a text, not {place!r}"[:300])
    if not place.strip():
        raise ConfigError(f"{where} is empty: name a place")
    if (unfit := _UNFIT.search(place)) is not None:
        raise ConfigError(f"{where} is {place!r}: {unfit.group()!r} cannot stand in a path")
    try:
        if not _exists(folder / place):
            place = _VARIABLE.sub(lambda match: _variable(match, where, place), place)
        return place if "://" in place else str((folder / Path(place).expanduser()).resolve())
    except (OSError, RuntimeError) as error:  # a name too long, a circle of links, ~nobody
        raise ConfigError(f"{where} is '{place[:200]}': {str(error).rstrip('.')}; correct the path") from error


def _exists(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return True


def _variable(match: re.Match[str], where: str, place: str) -> str:
    name = match[1] or match[2] or ""
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"{where} is '{place}': the environment variable {name} is {'empty' if value == '' else 'not set'}")
    return value


def _number(node: yaml.Node | None, place: str, lines: dict[str, int], path: Path) -> None:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _number(item, f"{place}.{number}", lines, path)
    if not isinstance(node, yaml.MappingNode) or (place and f"{place}." in lines):
        return
    seen: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        inner = f"{place}.{key.value}" if place else str(key.value)
        if name in seen:
            raise ConfigError(f"{path} line {line}: the key {inner} stands on line {seen[name]} too: leave one of them out")
        seen[name] = lines[inner] = line
        _number(value, inner, lines, path)
