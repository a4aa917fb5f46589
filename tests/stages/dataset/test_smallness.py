"""A set that is too small to be balanced says so, and what to do."""

from pathlib import Path

import pytest

from schemas.dataset import ShardStats
from schemas.rows import BlindFigures
from stages.dataset.card import DataSet, dataset_files
from stages.dataset.smallness import insufficient, too_small
from tests.support.exported_shard import ExportedShard, data_set


def test_little_released_for_want_of_other_texts_is_told_with_the_way_out() -> None:
    warning = too_small(3, {"marginal": 900, "group": 40, "verdict_true": 860}, ["insufficient"])
    assert warning is not None
    assert "3 are released" in warning
    assert "943 that the verdicts allow" in warning.replace("candidates ", "")
    assert "balance.method: none" in warning


@pytest.mark.parametrize(
    ("released", "rejects", "verdicts"),
    [
        (3, {"verdict_true": 1800, "marginal": 2}, ["insufficient"]),  # the judge refused them
        (400, {"marginal": 900}, ["insufficient"]),
        (40, {"probe": 900}, ["insufficient"]),  # a probe told them: more images do not help
        (3000, {"marginal": 90_000}, ["pass"]),
        (3, {}, []),
    ],
)
def test_what_has_another_cause_is_not_called_small(released: int, rejects: dict[str, int], verdicts: list[str]) -> None:
    assert too_small(released, rejects, verdicts) is None


def test_an_audit_that_cannot_say_is_let_through_and_told() -> None:
    assert "the gate refuses a failed audit alone" in (insufficient(["insufficient", "pass"]) or "")
    assert insufficient(["pass"]) is None


def test_the_card_says_that_a_set_is_small_or_not_balanced_and_how_many_regions_finehard_reads(tmp_path: Path) -> None:
    shard = ExportedShard(tmp_path)
    data_set(shard)
    (path,) = (tmp_path / "out").glob("*_stats.json")
    stats = ShardStats.model_validate_json(path.read_text(encoding="utf-8"))
    audit = BlindFigures(of="regions", items=3, verdict="insufficient")

    def card(rejected: dict[str, int]) -> str:
        shard_stats = stats.model_copy(
            update={"negatives_rejected": rejected, "audits": [audit], "finehard": stats.tar, "finehard_flagged": 1}
        )
        return dataset_files(DataSet("0", [shard_stats], []))["README.md"].decode()

    assert "**This set is small**: too few texts to balance" in card({"marginal": 1800})
    assert "This set is small" not in card({"verdict_true": 1800})
    assert "**The negatives are not balanced**" in card({"verdict_true": 1800})
    assert "not balanced" not in card({"marginal": 1800})
    assert f"has ten negatives: 1 of {stats.regions} are" in " ".join(card({}).split())
