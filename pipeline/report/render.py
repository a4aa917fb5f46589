"""Figures to HTML, and samples to script files. Everything is escaped here: what captions hold is shown, never run."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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
