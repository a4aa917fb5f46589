"""The blind audit as balance stored it for each block: what a guesser gets right that sees texts alone. Measures nothing itself."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.report.blocks import Block, Fact, Facts, Grid, Interval, Intervals, Number, Panel
from pipeline.report.panels.openings import Openings
from pipeline.report.run_tables import column_values
from schemas.audit import MARGIN, FirstSentence
from schemas.rows import BlindFigures

COLUMNS = ("verdict", "items", "chance", "images unseen", "at most", "nouns unseen", "at most ", "leaks")
WORST = ("fail", "insufficient", "pass")
SHOWN_BLOCKS = 12


class AuditPanel:
    """Collects the figures of each block once: every row of a block holds them."""

    wants: Mapping[str, Sequence[str]] = {"balance": ("audits",), **Openings.wants}

    def __init__(self, opening: FirstSentence | None = None) -> None:
        """`opening`: what a model said of the first sentences, where one was asked."""
        self._blocks: dict[str, list[BlindFigures]] = {}
        self._openings = Openings(opening)

    def add(self, stage: str, table: pa.Table) -> None:
        if stage in Openings.wants:
            self._openings.add(stage, table)
            return
        for audits in column_values(table, "audits"):
            if audits:
                figures = [BlindFigures.model_validate(each) for each in audits]
                self._blocks.setdefault(repr(figures), figures)

    def panel(self) -> Panel:
        lead = (
            "What a guesser that sees no image gets right among what balance released, with 95 % bounds. Grey line: chance; "
            "dashed: what still passes; red: a leak, the lower bound lies over it."
        )
        blocks: list[Block] = []
        for of in ("regions", "captions"):
            audits = [each for figures in self._blocks.values() for each in figures if each.of == of]
            if audits:
                blocks += _blocks(of, sorted(audits, key=lambda each: -each.items))
        return Panel("audit", "Blind audit", lead, [*blocks, *self._openings.blocks()])


def _blocks(of: str, audits: Sequence[BlindFigures]) -> list[Block]:
    """Of the texts of regions, or of the long captions: the verdict, the largest block's figures, and all blocks in a table."""
    largest = audits[0]
    shown: list[Block] = [Facts(of, _facts(of, audits))]
    if largest.chance is not None:
        rows = {
            "words, images unseen": Interval(
                largest.image_disjoint, largest.image_disjoint_low, largest.image_disjoint_high, "too few images"
            ),
            "words, nouns unseen": Interval(largest.noun_disjoint, largest.noun_disjoint_low, largest.noun_disjoint_high, "too few nouns"),
        }
        note = "" if len(audits) == 1 else f"the largest of {len(audits)} blocks"
        shown.append(Intervals(f"Guessed right, {of}", rows, largest.chance, largest.chance + MARGIN, note))
    if len(audits) > 1:
        rows_of = {str(number): _row(each) for number, each in enumerate(audits[:SHOWN_BLOCKS], 1)}
        shown.append(Grid(f"By block, {of}", COLUMNS, rows_of, f"largest first, {len(audits)} in all", corner="block"))
    return shown


def _facts(of: str, audits: Sequence[BlindFigures]) -> list[Fact]:
    worst = next(verdict for verdict in WORST if any(each.verdict == verdict for each in audits))
    leaks = sorted({leak for each in audits for leak in each.leaks})
    why = "too few items to say" if worst == "insufficient" else ", ".join(leaks).replace("_", " ")
    return [
        Fact(f"verdict, {of}", worst, why, "text"),
        Fact("items", sum(each.items for each in audits), "distinct positives with their negatives"),
        Fact("chance", audits[0].chance, "mean of 1/options", "share"),
    ]


def _row(each: BlindFigures) -> dict[str, Number | str | None]:
    shares = [
        None if share is None else f"{100 * share:.1f} %"
        for share in (each.chance, each.image_disjoint, each.image_disjoint_high, each.noun_disjoint, each.noun_disjoint_high)
    ]
    return dict(zip(COLUMNS, [each.verdict, each.items, *shares, ", ".join(each.leaks) or "none"], strict=True))
