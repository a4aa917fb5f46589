"""The body of the command `fgdata report`."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.config.apart import check_beside
from pipeline.config.read import load_config
from pipeline.report.build import write_report
from schemas.audit import FirstSentence


def report(
    config: Path, against: Path | None, out: Path, num_samples: int, max_images: int, by_model: Callable[[str], FirstSentence] | None = None
) -> tuple[dict[str, Any], str]:
    """Write the report; returns its record, and what to say. `by_model`: asks a model about the first sentences of an exported set."""
    configs = [config] if against is None else [config, against]
    for each in map(load_config, configs):
        check_beside(each, out)
    record = write_report(configs, out, num_samples, max_images, datetime.now().astimezone(), by_model)
    lines = [f"wrote {out / 'index.html'}"]
    for run in record["runs"]:
        lines.append(f"  {run['config']}: {run['images_in']} images in, {run['ok']} ok, {run['lost']} lost, {run['pending']} pending")
    lines.append(f"  {record['samples']} images to look at in {out / 'samples.html'}")
    return record, "\n".join(lines)
