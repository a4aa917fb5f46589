"""What describes a whole exported data set: the manifest and the card, as bytes. A function of its inputs; opens nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml

from schemas.dataset import (
    Manifest,
    PromptDescription,
    ShardEntry,
    ShardStats,
    StageDescription,
    Totals,
)
from schemas.rows import STATUSES
from schemas.stage_json import StageJson
from stages.dataset.card_audit import audit_part, counted, negatives_part, summarise, summed, table
from stages.dataset.card_text import FINEHARD, FRONT_MATTER, GIVEN, LAYOUT, READING, REHEARSAL, UNANSWERED
from stages.dataset.croissant import croissant
from stages.dataset.features import loading
from stages.dataset.makers import described_engine

_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B")


@dataclass(frozen=True)
class DataSet:
    """What manifest and card are made of: the parsed `_stats.json` of each shard, and the stages in run order."""

    fgdata_version: str
    shards: Sequence[ShardStats]
    stages: Sequence[StageDescription]


def describe_stage_run(
    fingerprint: str, description: StageJson, answered_by: Mapping[str, Sequence[str]], statuses: Mapping[str, int]
) -> StageDescription:
    """A stage for the card. `answered_by` task -> models; `statuses` its images by status."""
    prompts = [_prompt(task, prompt, answered_by.get(task, ())) for task, prompt in sorted(description.prompts.items())]
    given = description.given or {}
    return StageDescription(
        name=description.stage,
        version=description.version,
        fingerprint=fingerprint,
        engines=[described_engine(role, fields) for role, fields in sorted(description.engines.items())],
        prompts=prompts,
        statuses={status: statuses[status] for status in STATUSES if statuses.get(status)},
        given=given.get("format"),
        is_computed=given.get("missing") != "skip",
    )


def dataset_files(data: DataSet) -> dict[str, bytes]:
    """Path -> content: `manifest.json`, the card (`README.md`), images by tar (`sizes.json`), `croissant.json`.

    The same inputs give the same bytes.
    """
    manifest = _manifest(data)
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    sizes = json.dumps({entry.tar: entry.images for entry in manifest.shards}, indent=1)
    shards = sorted(data.shards, key=lambda shard: shard.name)
    return {
        "manifest.json": f"{text}\n".encode(),
        "README.md": _card(data, manifest).encode(),
        "sizes.json": f"{sizes}\n".encode(),
        "croissant.json": croissant(manifest, shards, "fine-grained-image-text", _summary(manifest, data.fgdata_version)),
    }


def _prompt(task: str, prompt: Mapping[str, Any], answered_by: Sequence[str]) -> PromptDescription:
    return PromptDescription(task=task, version=prompt["version"], answered_by=list(answered_by), unanswered=not answered_by)


def _manifest(data: DataSet) -> Manifest:
    shards = sorted(data.shards, key=lambda shard: (len(shard.name), shard.name))
    engines = {engine.role: engine for stage in data.stages for engine in stage.engines}
    prompts = {(prompt.task, prompt.version): prompt for stage in data.stages for prompt in stage.prompts}
    return Manifest(
        fgdata_version=data.fgdata_version,
        rehearsal=any(engine.kind.startswith("rehearsal") for engine in engines.values()),
        stages={stage.name: stage.fingerprint for stage in data.stages},
        engines=dict(sorted(engines.items())),
        prompts=[prompts[name] for name in sorted(prompts)],
        shards=[_entry(shard) for shard in shards],
        audits=summarise(shards),
        totals=Totals(
            shards=len(shards),
            images_in=sum(sum(shard.statuses.values()) for shard in shards),
            images=sum(shard.images for shard in shards),
            regions=sum(shard.regions for shard in shards),
            negatives=sum(shard.negatives for shard in shards),
            bytes=sum(shard.tar.bytes for shard in shards),
            finehard_records=sum(shard.finehard_records for shard in shards),
        ),
    )


def _entry(shard: ShardStats) -> ShardEntry:
    return ShardEntry(
        name=shard.name,
        tar=shard.tar.path,
        parquet=shard.parquet.path,
        stats=f"{shard.name}_stats.json",
        finehard=shard.finehard.path if shard.finehard else None,
        coco=[file.path for file in shard.coco],
        images=shard.images,
        regions=shard.regions,
        negatives=shard.negatives,
        bytes=shard.tar.bytes,
        sha256=shard.tar.sha256,
    )


def _card(data: DataSet, manifest: Manifest) -> str:
    rehearsal = [REHEARSAL] if manifest.rehearsal else []
    flagged = sum(shard.finehard_flagged for shard in data.shards)
    has_finehard = any(shard.finehard for shard in manifest.shards)
    finehard = [FINEHARD.format(flagged=flagged, regions=manifest.totals.regions)] if has_finehard else []
    parts = [
        _front_matter(data, manifest),
        "# Fine-grained image-text data set",
        *rehearsal,
        _summary(manifest, data.fgdata_version),
        LAYOUT,
        READING,
        *finehard,
        "## Contents",
        _captions(data.shards),
        *_regions(data.shards),
        *negatives_part(data.shards),
        *audit_part(data.shards),
        "## Yield",
        _yield(data),
        "## Made by",
        _engines(manifest),
        *_sources(data.shards),
        *_prompts(manifest),
        *_given(data),
        _stages(data),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _front_matter(data: DataSet, manifest: Manifest) -> str:
    bounds = ["n<1K", *(f"{low}<n<{high}" for low, high in pairwise(_SIZES))]
    size = bounds[min(max(0, len(str(manifest.totals.images)) - 3), len(bounds) - 1)]
    tags = ["image-text", "region-captions", "hard-negatives", "webdataset", "fgdata"] + (["rehearsal"] if manifest.rehearsal else [])
    content = {**FRONT_MATTER, "size_categories": [size], "tags": tags, **loading(data.shards)}
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _summary(manifest: Manifest, version: str) -> str:
    totals = manifest.totals
    return (
        f"{totals.images:,} images of {totals.images_in:,} in the corpus, {totals.regions:,} regions and {totals.negatives:,} negatives "
        f"in {totals.shards:,} shards ({totals.bytes:,} bytes of tar). Written by fgdata {version}, data set format "
        f"{manifest.format_version}. Captions, region expressions and negatives were generated by models; the images are the "
        "source's own bytes, and their licences and rights stay those of the source."
    )


def _captions(shards: Sequence[ShardStats]) -> str:
    texts, words = summed(shards, "captions"), summed(shards, "caption_words")
    rows = [[name, f"{texts[name]:,}", f"{words[name] / texts[name]:.1f}" if texts[name] else "-"] for name in ("long", "short", "alt")]
    return table(["caption", "images", "mean words"], rows)


def _regions(shards: Sequence[ShardStats]) -> list[str]:
    checks = summed(shards, "region_checks")
    if not checks["captioned"]:
        return []
    unique = f"Of {checks['captioned']:,} captioned regions {checks['unique']:,} have a short expression of their own in their image."
    if not checks["probed"]:
        return [f"{unique} None was asked about again with another region's crop: leakage was not measured."]
    probe = f"{checks['probed']:,} were asked about again with another region's crop; {checks['leaked']:,} kept their text"
    return [f"{unique} {probe} (leakage {checks['leaked'] / checks['probed']:.1%})."]


def _yield(data: DataSet) -> str:
    rows = [[stage.name, *(f"{stage.statuses.get(status, 0):,}" for status in STATUSES)] for stage in data.stages if stage.statuses]
    reasons = summed(data.shards, "reasons")
    funnel = table(["images by stage", *STATUSES], rows)
    if not reasons:
        return funnel
    return (
        funnel + "\n\n" + table(["not exported, by reason", "images"], [[name, f"{number:,}"] for name, number in sorted(reasons.items())])
    )


def _engines(manifest: Manifest) -> str:
    rows = [[engine.role, engine.kind, engine.model or "-", engine.revision or "-"] for engine in manifest.engines.values()]
    return table(["engine", "kind", "model", "revision"], rows) if rows else "No engine: all tables were given."


def _sources(shards: Sequence[ShardStats]) -> list[str]:
    """Which engine each kind of text came from, and the images' licences."""
    made, licences = summed(shards, "made_by"), summed(shards, "licences")
    parts = [counted("text: engine, model, revision", made)] if made else []
    if set(licences) - {"unnamed"}:
        parts += ["Licences of the images, as their corpus names them:", counted("licence", licences)]
    return parts


def _prompts(manifest: Manifest) -> list[str]:
    if not manifest.prompts:
        return []
    rows = [[f"{prompt.task}/{prompt.version}", ", ".join(prompt.answered_by) or "none yet"] for prompt in manifest.prompts]
    unanswered = [f"`{prompt.task}/{prompt.version}`" for prompt in manifest.prompts if prompt.unanswered]
    looked_at = table(["prompt", "models whose answers were looked at"], rows)
    return [looked_at, *([UNANSWERED.format(prompts=", ".join(unanswered))] if unanswered else [])]


def _given(data: DataSet) -> list[str]:
    given = [stage for stage in data.stages if stage.given]
    rows = [[stage.name, stage.given or "", "computed" if stage.is_computed else "skipped as `not_given`"] for stage in given]
    return [GIVEN, table(["given", "from", "images without a row"], rows)] if rows else []


def _stages(data: DataSet) -> str:
    return table(["stage", "version", "fingerprint"], [[stage.name, str(stage.version), f"`{stage.fingerprint}`"] for stage in data.stages])
