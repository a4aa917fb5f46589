"""Reciprocal negatives: what a block's region captions become, whatever scores the texts."""

import random
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rows import Attribute, MineRow, RegionCaption, RegionCaptionRow, RegionNegatives
from stages.base import Image, StageContext
from stages.mine import Mine, MineParams
from stages.negatives.edits import replay
from tests.support.images import image_of

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
PATTERNS = ("plain", "striped", "spotted")
MATERIALS = ("wooden", "metal", "glass")
NOUNS = ("car", "mug")

words = st.tuples(st.sampled_from(COLOURS), st.sampled_from(PATTERNS), st.sampled_from(MATERIALS), st.sampled_from(NOUNS))
blocks = st.lists(st.lists(st.lists(words, max_size=4), min_size=1, max_size=5), min_size=1, max_size=12)


def _region(number: int, text: str, head: str, *, long: str = "", attributes: Sequence[Attribute] = ()) -> RegionCaption:
    return RegionCaption(region=number, xyxy=(0, 0, 9, 9), head=head, short=text, long=long, attributes=list(attributes))


def _image(key: str, *regions: RegionCaption) -> Image:
    return image_of(key, RegionCaptionRow(key=key, regions=list(regions)))


def _toys_image(key: str, toys: Sequence[tuple[str, ...]]) -> Image:
    regions = []
    for number, (colour, pattern, material, noun) in enumerate(toys):
        article = "an" if colour == "orange" else "a"
        regions.append(_region(number, f"{article} {colour} {pattern} {material} {noun}", noun))
    return _image(key, *regions)


def _block(units: Sequence[Sequence[Sequence[tuple[str, ...]]]]) -> list[list[Image]]:
    return [[_toys_image(f"{u}-{i}", toys) for i, toys in enumerate(unit)] for u, unit in enumerate(units)]


def _mine(block: Sequence[Sequence[Image]], **params: int) -> list[MineRow]:
    rows = [row for unit in Mine(MineParams(**params), StageContext("f")).process(block) for row in unit]
    assert all(isinstance(row, MineRow) for row in rows)
    return rows  # type: ignore[return-value]  # as just asserted


def _released(rows: Sequence[MineRow]) -> list[RegionNegatives]:
    return [region for row in rows for region in row.regions]


@settings(max_examples=25, deadline=None)
@given(block=blocks, size=st.integers(2, 6), seed=st.integers(0, 9))
def test_whoever_scores_texts_alone_is_right_on_exactly_one_text_of_each_group(
    block: list[list[list[tuple[str, ...]]]], size: int, seed: int
) -> None:
    regions = _released(_mine(_block(block), group_size=size))
    scores = random.Random(seed)
    score: dict[str, float] = {}
    right: Counter[str | None] = Counter()
    sizes: dict[str | None, int] = {}
    items = Counter(region.group for region in regions)
    for region in regions:
        texts = [region.positive, *(negative.text for negative in region.negatives)]
        assert len(set(texts)) == len(texts) <= size
        assert sizes.setdefault(region.group, len(texts)) == len(texts)
        best = max(texts, key=lambda text: score.setdefault(text, scores.random()))
        right[region.group] += best == region.positive
    assert {group: items[group] / sizes[group] for group in items} == dict(right)


@settings(max_examples=20, deadline=None)
@given(block=blocks)
def test_every_region_is_accounted_for_and_every_negative_is_replayed_by_its_edits(block: list[list[list[tuple[str, ...]]]]) -> None:
    images = _block(block)
    rows = _mine(images, group_size=4, max_level=2)
    for image, row in zip([image for unit in images for image in unit], rows, strict=True):
        assert len(row.regions) + sum(row.rejects.values()) == len(image.row(RegionCaptionRow).regions)
    for region in _released(rows):
        assert region.num_proposed == len(region.negatives)
        for negative in region.negatives:
            assert replay(region.positive, negative.edits) == negative.text
            assert negative.level == len(negative.edits) <= 2
            assert negative.source == "reciprocal"


def _pair(*regions: RegionCaption) -> list[RegionNegatives]:
    """What is found where each region is in an image of its own."""
    return _released(_mine([[_image(str(number), region.model_copy(update={"region": 0})) for number, region in enumerate(regions)]]))


def test_values_that_may_both_be_true_are_no_negatives() -> None:
    assert _pair(_region(0, "a red car", "car"), _region(0, "an orange car", "car")) == []
    assert len(_pair(_region(0, "a red car", "car"), _region(0, "a blue car", "car"))) == 2


def test_a_value_of_a_part_of_the_region_is_no_negative_of_it() -> None:
    wheels = _region(0, "a red car", "car", long="a red car with black wheels")
    assert _pair(wheels, _region(0, "a black car", "car")) == []
    assert len(_pair(wheels, _region(0, "a white car", "car"))) == 2


def test_a_value_of_the_attribute_list_is_no_negative_though_the_expression_does_not_say_it() -> None:
    two = _region(0, "a red car", "car", attributes=[Attribute(type="colour", value="red"), Attribute(type="colour", value="white")])
    assert _pair(two, _region(0, "a white car", "car")) == []


def test_only_the_attributes_before_the_noun_are_exchanged() -> None:
    assert _pair(_region(0, "a red car", "car"), _region(0, "a blue car with white wheels", "car")) == []
    regions = _pair(_region(0, "a red car with white wheels", "car"), _region(0, "a blue car with white wheels", "car"))
    assert [edit.old for region in regions for negative in region.negatives for edit in negative.edits] == ["red", "blue"]


def test_regions_of_the_same_text_are_in_groups_of_the_same_texts_as_often_as_each_other() -> None:
    texts = ["a red car"] * 3 + ["a blue car"] * 2 + ["a white car"]
    regions = _released(_mine([[_image(str(n), _region(0, text, "car")) for n, text in enumerate(texts)]], group_size=2))
    by_group: dict[str | None, Counter[str]] = {}
    for region in regions:
        by_group.setdefault(region.group, Counter())[region.positive] += 1
    assert all(len(set(counts.values())) == 1 for counts in by_group.values())
    assert len(regions) == 6


def _scene(draw: random.Random) -> list[tuple[str, ...]]:
    return [tuple(draw.choice(values) for values in (COLOURS, PATTERNS, MATERIALS, NOUNS)) for _ in range(2)]


def test_another_image_changes_few_others_and_none_of_other_nouns() -> None:
    draw = random.Random(3)
    units = [[_scene(draw) for _ in range(10)] for _ in range(60)]
    units[7][3] = [("white", "striped", "metal", "car"), ("black", "plain", "metal", "car")]
    before = _mine(_block(units), group_size=5)
    units[7][3] = [("red", "plain", "wooden", "car"), ("blue", "plain", "glass", "car")]
    after = _mine(_block(units), group_size=5)
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a.regions != b.regions]
    assert 1 <= len(changed) <= 200  # of 600 images
    for a, b in zip(before, after, strict=True):
        assert [region for region in a.regions if "mug" in region.positive] == [region for region in b.regions if "mug" in region.positive]


def test_the_order_of_the_units_changes_nothing() -> None:
    draw = random.Random(5)
    block = _block([[_scene(draw) for _ in range(4)] for _ in range(20)])
    ahead = {row.key: row for row in _mine(block)}
    behind = {row.key: row for row in _mine(block[::-1])}
    assert ahead == behind
