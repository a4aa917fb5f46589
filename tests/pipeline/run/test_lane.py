"""What a stage's lane decides: how long a server is waited for, and when failures say more of the stage than of the images."""

import pytest

from pipeline.ledger.items import Item
from pipeline.run.blame.asking import Findings
from pipeline.run.blame.patience import Patience, StayedAway
from pipeline.run.lane import Proof, StageStopped
from schemas.rows import CaptionRow


def _failed(reasons: list[str]) -> Findings:
    findings = Findings()
    for number, reason in enumerate(reasons):
        findings.add(CaptionRow(key=f"k{number}", status="failed", reason=reason, detail="as said"))
    return findings


def _unit(number: int) -> Item:
    return Item(f"unit{number}", ())


def test_a_server_is_asked_again_after_growing_pauses_and_the_run_stops_when_patience_ends() -> None:
    patience, now, pauses = Patience("caption", 100.0), 0.0, []
    while now < 100.0:
        assert patience.away(now, "http://here is away") is not None
        assert patience.num_to_ask(now, 0) == 0
        pauses.append(patience.until - now)
        now = patience.until
        assert (patience.num_to_ask(now, 0), patience.num_to_ask(now, 1)) == (1, 0)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 9]
    with pytest.raises(StayedAway, match=r"patience_s is 100.*nothing is failed"):
        patience.away(now, "http://here is away")


def test_what_comes_back_together_is_one_absence() -> None:
    patience = Patience("caption", 100.0)
    assert [patience.away(0.0, "away") is None for _ in range(4)] == [False, True, True, True]
    patience.back()
    assert patience.num_to_ask(0.0, 3) is None


def test_three_units_that_fail_alike_stop_a_stage() -> None:
    proof = Proof("caption", is_settled=False)
    proof.withhold(_unit(0), _failed(["auth"] * 4))
    proof.withhold(_unit(1), _failed(["auth"] * 4))
    with pytest.raises(StageStopped, match="auth 12, such as k0: as said"):
        proof.withhold(_unit(2), _failed(["auth"] * 4))


def test_sixty_four_images_that_fail_alike_stop_a_stage_whatever_else_failed() -> None:
    proof = Proof("caption", is_settled=False)
    proof.withhold(_unit(0), _failed(["truncated", *["auth"] * 63]))
    with pytest.raises(StageStopped, match="auth 64"):
        proof.withhold(_unit(1), _failed(["truncated", "auth"]))


def test_units_that_fail_for_different_reasons_are_withheld_until_it_is_known() -> None:
    proof = Proof("caption", is_settled=False)
    units = [_unit(number) for number in range(3)]
    for unit, reason in zip(units, ("auth", "truncated", "timeout"), strict=True):
        proof.withhold(unit, _failed([reason] * 4))
    assert proof.settle() == units
    assert (proof.is_settled, proof.withheld) == (True, [])
