"""Which captions are flagged, and which plain ones are not."""

import pytest

from pipeline.report.blocks import quantile
from pipeline.report.hygiene import flags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red mug stands on a table.", []),
        ("A likeness of a king hangs on the wall.", []),
        ('A sign reads "STOP."', []),
        ("A red mug appears to be empty.", ["hedge"]),
        ("The image shows a red mug.", ["meta"]),
        ("A photograph of a dog hangs above the sofa.", []),
        ("I'm sorry, I cannot see a mug.", ["refusal"]),
        ("A red mug stands on the", ["unfinished"]),
        ("A red mug stands here. A dog sleeps. A red mug stands here.", ["repetition"]),
        ("A mug. A dog. A mug.", []),
        ("a row of red mugs and a row of red mugs and a row of red mugs.", ["repetition"]),
        ("It seems that the picture shows a mug and", ["hedge", "meta", "unfinished"]),
        ("", []),
    ],
)
def test_flags_name_what_is_wrong_with_a_caption(text: str, expected: list[str]) -> None:
    assert flags(text) == expected


def test_a_quantile_is_a_value_that_was_counted() -> None:
    counts = {3: 1, 10: 8, 50: 1}
    assert [quantile(counts, part) for part in (0.05, 0.5, 0.9, 0.95)] == [3, 10, 10, 50]
    assert quantile({}, 0.5) is None
