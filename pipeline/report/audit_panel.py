"""The blind audit as it was stored with the run: what a guesser gets right that sees texts alone. Measures nothing itself."""

from collections.abc import Sequence

from pipeline.report.blocks import Block, Fact, Facts, Grid, Interval, Intervals, Number, Panel
from schemas.audit import MARGIN, PROBES, AuditReport, ProbeFigures, TypeFigures

BY_TYPE = ("items", "chance", "words, images unseen", "up to", "words, nouns unseen", "up to ")
NAMES = {
    "length": "length",
    "article": "articles",
    "spacing": "spacing",
    "case": "capitals",
    "vocabulary": "vocabulary",
    "marginal": "frequent values",
    "ngram_image_disjoint": "words, images unseen",
    "ngram_noun_disjoint": "words, nouns unseen",
    "ngram_shuffled": "control, labels shuffled",
}


def audit_panel(audits: Sequence[tuple[str, AuditReport]]) -> Panel:
    """The audits of a run's blocks, each with its name: all in a table, the largest in full."""
    lead = (
        "What a guesser that sees no image gets right among the released negatives. Grey line: chance; dashed: what the gate lets through."
    )
    if not audits:
        return Panel("audit", "Blind audit", lead)
    name, largest = max(audits, key=lambda pair: pair[1].items)
    blocks: list[Block] = [Facts("", _facts(audits, largest))]
    if largest.chance is not None:
        rows = {NAMES[probe]: _interval(getattr(largest.probes, probe)) for probe in PROBES}
        note = "top-1 over items with 95 % bounds; red: a leak, its lower bound lies over the dashed line"
        where = "" if len(audits) == 1 else f"; the largest block, {name}"
        blocks.append(Intervals("Right answers by probe", rows, largest.chance, largest.chance + MARGIN, note + where))
    if largest.by_type:
        rows_by_type = {kind: _typed(figures) for kind, figures in largest.by_type.items()}
        blocks.append(Grid("By type", BY_TYPE, rows_by_type, "upper 95 % bounds beside each", corner="type", link="type"))
    if len(audits) > 1:
        blocks.append(
            Grid("By block", ("verdict", "items", "chance", "words, nouns unseen", "up to", "leaks"), _by_block(audits), corner="block")
        )
    return Panel("audit", "Blind audit", lead, blocks)


def _facts(audits: Sequence[tuple[str, AuditReport]], largest: AuditReport) -> list[Fact]:
    verdicts = [report.verdict for _, report in audits]
    worst = next(verdict for verdict in ("fail", "insufficient", "pass") if verdict in verdicts)
    leaks = sorted({NAMES[leak] for _, report in audits for leak in report.leaks})
    unseen = largest.probes.ngram_noun_disjoint
    return [
        Fact("verdict", worst, "too few items to say" if worst == "insufficient" else ", ".join(leaks), "text"),
        Fact("items", sum(report.items for _, report in audits), f"{sum(report.positives for _, report in audits)} different positives"),
        Fact("chance", largest.chance, "mean of 1/options", "share"),
        Fact("guessed right, nouns unseen", unseen.top1, unseen.top1_why or f"at most {_percent(unseen.top1_high)}", "share"),
    ]


def _interval(figures: ProbeFigures) -> Interval:
    return Interval(figures.top1, figures.top1_low, figures.top1_high, figures.top1_why or "")


def _typed(figures: TypeFigures) -> dict[str, Number | str | None]:
    image, noun = figures.ngram_image_disjoint, figures.ngram_noun_disjoint
    shown = (figures.chance, image.top1, image.top1_high, noun.top1, noun.top1_high)
    return dict(zip(BY_TYPE, [figures.items, *map(_percent, shown)], strict=True))


def _by_block(audits: Sequence[tuple[str, AuditReport]]) -> dict[str, dict[str, Number | str | None]]:
    rows: dict[str, dict[str, Number | str | None]] = {}
    for name, report in audits:
        unseen = report.probes.ngram_noun_disjoint
        rows[name] = {
            "verdict": report.verdict,
            "items": report.items,
            "chance": _percent(report.chance),
            "words, nouns unseen": _percent(unseen.top1),
            "up to": _percent(unseen.top1_high),
            "leaks": ", ".join(NAMES[leak] for leak in report.leaks) or "none",
        }
    return rows


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"
