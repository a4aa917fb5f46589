"""Figures to HTML, and samples to script files. Everything is escaped here: what captions hold is shown, never run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.report.blocks import Binned, Block, Intervals, Panel, Whole
from pipeline.report.charts import draw_binned, draw_whole

HERE = Path(__file__).parent
_BREAKERS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(template: str, **content: Any) -> str:
    """A page from its template, autoescaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"figure": figure, "percent": percent}
    environment.tests |= {"of_kind": lambda block, kind: type(block).__name__ == kind}
    return environment.get_template(template).render(**content)


def assets() -> dict[str, bytes]:
    """Name -> bytes of the style sheet and the scripts."""
    return {path.name: path.read_bytes() for path in sorted((HERE / "assets").iterdir()) if path.suffix in (".css", ".js")}


def script(call: str, content: Any) -> str:
    """A script file that hands JSON to a function. ASCII only, and nothing in it can end a script element."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    for character, escape in _BREAKERS.items():
        text = text.replace(character, escape)
    return f"{call}({text});\n"


def figure(value: Any, form: str = "count") -> str:
    """A number as people read it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if form == "share":
        return percent(value)
    if form == "mean" or isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}"


def percent(value: float) -> str:
    """A share of 1 in per cent; what is not nothing never reads 0."""
    if 0 < value < 0.001:
        return "<0.1 %"
    return f"{100 * value:.1f} %" if value < 0.9995 or value == 1 else ">99.9 %"


def paired(panels: Sequence[Sequence[Panel]]) -> list[dict[str, Any]]:
    """The panels of one run or two as one list; blocks of the same kind and title stand together."""
    found = []
    for group in zip(*panels, strict=True):
        titles: dict[tuple[str, str], None] = {}
        for panel in group:
            titles |= dict.fromkeys((type(block).__name__, block.title) for block in panel.blocks)
        by_title = [{(type(block).__name__, block.title): block for block in panel.blocks} for panel in group]
        blocks = [_merged(kind, title, [each.get((kind, title)) for each in by_title]) for kind, title in titles]
        found.append({"id": group[0].id, "title": group[0].title, "lead": group[0].lead, "blocks": [block for block in blocks if block]})
    return [panel for panel in found if panel["blocks"]]


def _merged(kind: str, title: str, blocks: Sequence[Block | None]) -> dict[str, Any] | None:
    first = next(block for block in blocks if block is not None)
    merged: dict[str, Any] = {"kind": kind, "title": title, "runs": list(blocks), "first": first}
    if kind == "Whole":
        merged["chart"] = draw_whole([block if isinstance(block, Whole) else None for block in blocks])
    elif kind == "Binned":
        merged["chart"] = draw_binned([block if isinstance(block, Binned) else None for block in blocks])
    elif kind in ("Bars", "Grid", "Intervals"):
        merged["scale"] = max((block.scale for block in blocks if isinstance(block, Intervals)), default=1.0)
        merged["rows"] = union([getattr(block, "rows", {}) for block in blocks if block is not None])
    if kind in ("Whole", "Binned") and merged["chart"].is_empty:
        return None
    return None if kind in ("Bars", "Grid", "Intervals") and not merged["rows"] else merged


def union(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of all, in order of first appearance."""
    return list(dict.fromkeys(key for each in rows for key in each))
