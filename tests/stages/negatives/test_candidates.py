"""Which negatives are exported, and what is said of the others."""

from pathlib import Path

import pytest

from schemas.rows import (
    CAPTION,
)  # fmt: skip
from tests.support.exported_shard import ExportedShard, judged, picture, with_entries
from tests.support.pictures import encoded

# webdataset 1.0.2 leaves the tars that it reads to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def shard(tmp_path: Path) -> ExportedShard:
    return ExportedShard(tmp_path)


def test_only_what_is_false_of_a_true_positive_is_exported_and_the_rest_is_counted(shard: ExportedShard) -> None:
    entries = [judged("false"), judged("unsure", colour="green"), judged("false", positive="unsure", colour="white")]
    shard.add(encoded(picture(0), "JPEG"), rows=with_entries(*entries))
    shard.export()
    assert [negative.text for negative in shard.records()[0].regions[0].negatives] == ["A blue cup"]
    stats = shard.stats()
    assert stats.negatives_proposed == 6
    assert stats.negatives_rejected == {"surplus": 3, "verdict_unsure": 1, "positive_unsure": 1}
    assert stats.negatives == 1


def test_reciprocal_negatives_come_first_with_their_group_and_no_text_comes_twice(shard: ExportedShard) -> None:
    entries = [judged("false", colour="green"), judged("false", colour="blue"), judged("false", colour="blue", group="g1")]
    shard.add(encoded(picture(0), "JPEG"), rows=with_entries(*entries))
    shard.export()
    region = shard.records()[0].regions[0]
    assert [negative.text for negative in region.negatives] == ["A blue cup", "A green cup"]
    assert region.group == "g1"
    stats = shard.stats()
    assert stats.negatives_by_source == {"reciprocal": 1, "written": 1}
    assert stats.negatives_rejected["duplicate"] == 1
    assert stats.negatives_proposed == stats.negatives + sum(stats.negatives_rejected.values())


def test_negatives_of_the_long_caption_stand_beside_it(shard: ExportedShard) -> None:
    shard.add(encoded(picture(0), "JPEG"), rows=with_entries(judged("false"), judged("false", region=CAPTION, colour="white")))
    rows = shard.export()
    record = shard.records()[0]
    assert [negative.text for negative in record.negatives] == ["A white cup"]
    assert rows[0].num_negatives == 2
    assert shard.stats().caption_negatives == 1
