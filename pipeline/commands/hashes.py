"""The body of the command `fgdata hashes`: a list of perceptual hashes of a benchmark's images, for `corpus.benchmark_hashes`."""

from pathlib import Path
from typing import Any

from pipeline.corpus.discover import discover
from pipeline.corpus.members import read_members
from pipeline.corpus.params import CorpusError, CorpusParams


def write_hashes(path: str, out: Path) -> tuple[dict[str, Any], str]:
    """Write one line an image, its hash and its key; returns how many, and what to say.

    Raises: CorpusError where there is no image.
    """
    params = CorpusParams(path=path, benchmark_hashes=str(out))
    lines, num_unreadable = [], 0
    for shard in discover(params):
        for row in read_members(params, shard, set()).rows:
            num_unreadable += row.phash is None
            if row.phash is not None:
                lines.append(f"{row.phash} {' '.join(row.key.split())}")
    if not lines:
        raise CorpusError(f"{path}: no image that can be read")
    out.write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
    content = {"written": str(out), "images": len(lines), "unreadable": num_unreadable}
    return content, f"wrote {out}: {len(lines)} hashes, {num_unreadable} images unreadable; next: `corpus: {{benchmark_hashes: {out}}}`"
