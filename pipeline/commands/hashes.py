"""The body of the command `fgdata hashes`: a list of perceptual hashes of a benchmark's images, for `corpus.benchmark_hashes`."""

import re
from pathlib import Path
from typing import Any

from pipeline.config.apart import check_links, check_output, write_output
from pipeline.corpus.discover import find
from pipeline.corpus.members import read_members
from pipeline.corpus.params import CorpusError, CorpusParams


def write_hashes(path: str, out: Path) -> tuple[dict[str, Any], str]:
    """Write one line an image, its hash and its key; returns how many, and what to say.

    Raises: CorpusError where there is no image; ConfigError where `out` lies among the images or is another file.
    """
    check_output(out, {"PATH": path if "://" in path else str(Path(path).absolute())}, _is_list, "list of hashes")
    params = CorpusParams(path=path, benchmark_hashes=str(out))
    listed = find(params, check=lambda links: check_links("PATH", links, {"--out": str(out.absolute())}))
    lines, num_unreadable = [], 0
    for shard in listed.shards:
        for row in read_members(params, shard, set()).rows:
            num_unreadable += row.phash is None
            if row.phash is not None:
                lines.append(f"{row.phash} {' '.join(row.key.split())}")
    if not lines:
        raise CorpusError(f"{path}: no image that can be read")
    write_output(out, "\n".join(sorted(lines)) + "\n")
    content = {"written": str(out), "images": len(lines), "unreadable": num_unreadable}
    return content, f"wrote {out}: {len(lines)} hashes, {num_unreadable} images unreadable; next: `corpus: {{benchmark_hashes: {out}}}`"


def _is_list(content: bytes) -> bool:
    """Whether all lines of an existing file are those of such a list, or comments."""
    lines = [line.strip() for line in content.splitlines()]
    return all(re.match(rb"[0-9a-f]{16}(\s|$)", line) for line in lines if line and not line.startswith(b"#"))
