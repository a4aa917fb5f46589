"""What a guesser that sees texts alone gets right on a demo's negatives: as released, and as they were before balancing."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.audit_sets import AuditInputError, own_records, read_set
from pipeline.demo.score import SceneRows
from schemas.audit import AuditItem, ProbeFigures
from schemas.rows import CAPTION
from stages.audit.audit import audit

_UNBALANCED = 10  # negatives a region, as many as are released at most


def blind_figures(dataset: Path, images: Sequence[SceneRows]) -> dict[str, Any]:
    """The blind figures of score.json: n-gram probe, head nouns unseen; bounds are 95 % bootstrap over images."""
    try:
        released = list(read_set(str(dataset), None)[1])
    except AuditInputError:
        released = []
    long = {record["long"] for record in own_records(str(dataset), ("long",))} if released else set()
    regions = audit([item for item in released if item.positive not in long])
    captions = audit([item for item in released if item.positive in long])
    before = audit(list(_unbalanced(images)))
    high, chance = regions.probes.ngram_noun_disjoint.top1_high, regions.chance
    figures: dict[str, Any] = {
        "blind_chance": regions.chance,
        **_named("blind_top1_noun_disjoint", regions.probes.ngram_noun_disjoint),
        **_named("blind_top1_image_disjoint", regions.probes.ngram_image_disjoint),
        "blind_by_type": {
            kind: {"chance": of.chance, **_named("noun_disjoint", of.ngram_noun_disjoint)} for kind, of in regions.by_type.items()
        },
        "blind_gain_high": None if high is None or chance is None else round(high - chance, 4),
        "blind_verdict": regions.verdict,
        "blind_leaks": list(regions.leaks),
        "blind_captions_top1_image_disjoint": captions.probes.ngram_image_disjoint.top1,
        "blind_captions_top1_image_disjoint_high": captions.probes.ngram_image_disjoint.top1_high,
        "blind_captions_chance": captions.chance,
        "blind_captions_verdict": captions.verdict,
        **_named("unbalanced_blind_top1_noun_disjoint", before.probes.ngram_noun_disjoint),
        **_named("unbalanced_blind_top1_image_disjoint", before.probes.ngram_image_disjoint),
        "unbalanced_blind_chance": before.chance,
        "unbalanced_blind_leaks": list(before.leaks),
    }
    return figures | {f"{name}_why": "no or too few negatives" for name, value in figures.items() if value is None}


def _named(name: str, probe: ProbeFigures) -> dict[str, float | None]:
    return {name: probe.top1, f"{name}_low": probe.top1_low, f"{name}_high": probe.top1_high}


def _unbalanced(images: Iterable[SceneRows]) -> Iterator[AuditItem]:
    """The writer's negatives that the judge let pass, the first of each region: what would be released without balancing."""
    for image in images:
        heads = {region.region: region.head for region in image.regions.regions} if image.regions else {}
        for group in image.verified.regions if image.verified else ():
            passed = [
                negative
                for negative in group.negatives
                if negative.source == "written" and negative.level == 1 and negative.verdict == "false"
            ]
            if passed and group.region != CAPTION:
                yield AuditItem(
                    positive=group.positive,
                    negatives=tuple(negative.text for negative in passed[:_UNBALANCED]),
                    image=image.key,
                    noun=heads.get(group.region),
                    types=tuple(negative.type for negative in passed[:_UNBALANCED]),
                )
