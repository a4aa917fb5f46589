"""The blind audit on the page: each block once, the worst verdict first, nothing where nothing was released."""

from pipeline.report.blocks import Facts, Grid, Intervals
from pipeline.report.panels.audit import AuditPanel
from schemas.arrow import to_table
from schemas.rows import BalanceRow, BlindFigures, CaptionRow, RegionCaption, RegionCaptionRow
from tests.support.audit_sets import captioned


def figures(of: str, verdict: str, items: int, low: float) -> BlindFigures:
    leaks = ["ngram_noun_disjoint"] if verdict == "fail" else []
    bounds = {"noun_disjoint": low + 0.02, "noun_disjoint_low": low, "noun_disjoint_high": low + 0.04}
    return BlindFigures(of=of, items=items, chance=0.1, leaks=leaks, verdict=verdict, **bounds)


def counted(*tables: list[BalanceRow]) -> AuditPanel:
    panel = AuditPanel()
    for rows in tables:
        panel.add("balance", to_table(rows, BalanceRow))
    return panel


def test_rows_of_one_block_count_once_and_the_worst_block_decides() -> None:
    good = [BalanceRow(key=str(i), audits=[figures("regions", "pass", 900, 0.08)]) for i in range(3)]
    bad = [BalanceRow(key=str(i), audits=[figures("regions", "fail", 400, 0.3)]) for i in range(2)]
    blocks = counted(good, good, bad).panel().blocks
    facts = {fact.label: fact.value for block in blocks if isinstance(block, Facts) for fact in block.facts}
    assert facts["verdict, regions"] == "fail"
    assert facts["items"] == 1300
    (drawn,) = [block for block in blocks if isinstance(block, Intervals)]
    assert drawn.rows["words, nouns unseen"].low == 0.08  # of the largest block
    (table,) = [block for block in blocks if isinstance(block, Grid)]
    assert [row["verdict"] for row in table.rows.values()] == ["pass", "fail"]


def test_long_captions_have_a_verdict_of_their_own() -> None:
    audits = [figures("regions", "pass", 900, 0.08), figures("captions", "insufficient", 12, 0.0)]
    blocks = counted([BalanceRow(key="0", audits=audits)]).panel().blocks
    labels = [fact.label for block in blocks if isinstance(block, Facts) for fact in block.facts]
    assert [label for label in labels if label.startswith("verdict")] == ["verdict, regions", "verdict, captions"]


def test_a_run_that_released_nothing_has_no_audit_to_show() -> None:
    assert counted([BalanceRow(key="0", status="skipped", reason="upstream_failed")]).panel().blocks == []


def test_the_first_sentences_of_long_captions_stand_beside_the_whole() -> None:
    panel = AuditPanel()
    scenes = captioned(40, tells_all_at_first=True)
    panel.add("caption", to_table([CaptionRow(key=key, long=long, short="short") for key, long, _ in scenes], CaptionRow))
    rows = [RegionCaptionRow(key=key, regions=[RegionCaption(region=0, head="x", short=other)]) for key, _, other in scenes]
    panel.add("region_caption", to_table(rows, RegionCaptionRow))
    (drawn,) = [block for block in panel.panel().blocks if isinstance(block, Intervals)]
    assert drawn.rows["its first sentence alone"].value is not None
    assert drawn.rows["the whole long caption"].value == 1
