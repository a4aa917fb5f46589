"""What two runs were told differently, stage by stage, read off what their fingerprints hash."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.masked import masked_content
from pipeline.report.run_tables import RunTables

SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Difference:
    """One setting that differs; None: the run has no such thing."""

    stage: str
    setting: str
    left: str | None
    right: str | None


def differences(left: RunTables, right: RunTables) -> list[Difference]:
    """Settings that differ, in run order; what differs only because something upstream does is left out."""
    rows = []
    for stage in dict.fromkeys([*left.stages, *right.stages]):
        sides = [dict(_settings(run, stage)) for run in (left, right)]
        for setting in sorted({*sides[0], *sides[1]}):
            values = [side.get(setting) for side in sides]
            if values[0] != values[1]:
                rows.append(Difference(stage, setting, *(_short(value) for value in values)))
    return rows


def _settings(run: RunTables, stage: str) -> Iterator[tuple[str, str]]:
    node = run.state.nodes.get(stage)
    if node is None:
        return
    yield "stage", "present"
    for part in ("version", "params", "prompts", "engines"):
        yield from _flat(part, masked_content(getattr(node.description, part)))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, str(value)


def _short(value: str | None) -> str | None:
    if value is None or len(value) <= SHOWN_CHARACTERS:
        return value
    return f"{' '.join(value.split())[:SHOWN_CHARACTERS]} ... ({len(value)} characters)"
