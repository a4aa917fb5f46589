"""The body of the command `fgdata shares`: which values the things of a finished sample have, for `stages.hard_negative.shares`."""

import json
from pathlib import Path
from typing import Any

from pipeline.api import Job
from pipeline.config.apart import check_beside, check_output, write_output
from pipeline.config.model import ConfigError
from pipeline.config.registry import STAGES
from schemas.rows import RegionCaptionRow
from stages.negatives.reciprocal import expression_of
from stages.negatives.shares import Shares, shares_of


def write_shares(job: Job, out: Path) -> tuple[dict[str, Any], str]:
    """Write the list of the region captions that are committed; returns how many, and what to say.

    Raises: ConfigError where there is none, or `out` is a place that a run reads or writes, or another file.
    """
    check_beside(job.config, out)
    check_output(out, {}, _is_list, "list of shares")
    name = next(name for name, stage in STAGES.items() if stage.row_type is RegionCaptionRow)
    if name not in job.config.stages:
        raise ConfigError(f"{job.config.path}: has no stage {name}, whose expressions the list is made of; add it")
    state = job.state()
    tables = [table for _, table in state.current_tables(name) if table is not None]
    rows = [row for table in tables for row in state.ledger.read(table, RegionCaptionRow) if isinstance(row, RegionCaptionRow)]
    regions = [(region.head, region.short, expression_of(region)) for row in rows for region in row.regions if region.short]
    if not regions:
        raise ConfigError(f"{job.config.path}: no region has a caption yet; next: fgdata run {job.config.path}")
    shares = shares_of(regions)
    write_output(out, json.dumps(shares.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    with_value = sum(expression is not None for _, _, expression in regions)
    content = {"written": str(out), "regions": len(regions), "regions_with_value": with_value, "nouns": len(shares.nouns)}
    block = f"stages: {{hard_negative: {{new_values: drawn, shares: {out}}}}}"
    return content, f"wrote {out}: {len(regions)} regions, {with_value} with a value, {len(shares.nouns)} nouns; next: `{block}`"


def _is_list(content: bytes) -> bool:
    try:
        shares = json.loads(content)
    except ValueError:
        return False
    return isinstance(shares, dict) and {"nouns", "by_noun", "by_kind"} <= shares.keys() <= Shares.model_fields.keys()
