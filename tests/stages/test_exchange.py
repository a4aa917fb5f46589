"""Values that change hands: what regions of a block get of each other, and that no value is a negative more often than it is true."""

import random
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rows import BalanceRow, ExchangeRow, RegionCaption, RegionCaptionRow, RegionNegatives, Row
from stages.balance import Balance, BalanceParams
from stages.base import Image, StageContext
from stages.exchange import Exchange, ExchangeParams
from stages.negatives.edits import replay
from stages.words.ambiguity import may_be_both_true
from tests.support.images import image_of

CONTEXT = StageContext("f")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black", "brown")
MATERIALS = ("wooden", "metal", "plastic", "leather")
FRAMES = ("a {} {} thing", "the {} thing by a {} door", "one {} thing", "a thing", "a {} and {} thing")


def _image(key: str, *texts: tuple[str, str]) -> Image:
    regions = [RegionCaption(region=i, head=head, short=text, long=text) for i, (text, head) in enumerate(texts)]
    return image_of(key, RegionCaptionRow(key=key, regions=regions))


def _rows(images: Sequence[Image], **params: int) -> list[ExchangeRow]:
    params = {"noun_group_size": 1, **params}
    rows = [row for unit in Exchange(ExchangeParams(**params), CONTEXT).process([images]) for row in unit]
    assert all(isinstance(row, ExchangeRow) for row in rows)
    return rows  # type: ignore[return-value]  # as just asserted


def _texts(row: ExchangeRow) -> dict[str, list[str]]:
    return {entry.positive: [negative.text for negative in entry.negatives] for entry in row.regions}


def test_values_change_hands_between_texts_that_say_different_things_of_one_noun() -> None:
    first, second = _rows(
        [_image("0", ("a red wool scarf", "scarf")), _image("1", ("the long blue scarf on the chair", "scarf"))], own_pool=2
    )
    assert _texts(first) == {"a red wool scarf": ["a blue wool scarf"]}
    assert _texts(second) == {"the long blue scarf on the chair": ["the long red scarf on the chair"]}
    assert first.regions[0].group == second.regions[0].group is not None


def test_the_article_before_a_new_value_is_set_right() -> None:
    first, second = _rows([_image("0", ("an orange mug", "mug")), _image("1", ("a blue mug with a lid", "mug"))], own_pool=2)
    assert _texts(first) == {"an orange mug": ["a blue mug"]}
    assert _texts(second) == {"a blue mug with a lid": ["an orange mug with a lid"]}


def test_two_values_that_may_both_be_true_are_not_exchanged() -> None:
    for first, second in (("red", "orange"), ("grey", "gray"), ("white", "cream")):
        rows = _rows([_image("0", (f"a {first} mug", "mug")), _image("1", (f"the {second} mug there", "mug"))], own_pool=2)
        assert [row.rejects for row in rows] == [{"lone": 1}, {"lone": 1}]


def test_a_text_with_two_values_of_a_type_sits_out_for_it_and_what_has_none_is_said_to() -> None:
    images = [_image("0", ("a red and white metal mug", "mug"), ("a mug", "mug")), _image("1", ("a blue plastic mug", "mug"))]
    first, second = _rows(images, own_pool=2)
    assert _texts(first) == {"a red and white metal mug": ["a red and white plastic mug"]}
    assert _texts(second) == {"a blue plastic mug": ["a blue metal mug"]}
    assert first.rejects == {"no_slot": 1}


def test_rare_nouns_of_one_kind_exchange_only_values_that_such_things_have() -> None:
    clothes = [
        ("a red scarf", "scarf"),
        ("a blue robe", "robe"),
        ("a red vest", "vest"),
        ("a blue apron", "apron"),
        ("a turquoise tie", "tie"),
    ]
    rows = _rows([_image(str(i), text) for i, text in enumerate([*clothes, ("a green frog", "frog")])])
    got = {text: others for row in rows for text, others in _texts(row).items()}
    assert set(got) == {"a red scarf", "a blue robe", "a red vest", "a blue apron"}  # one thing alone is turquoise; a frog is no garment
    assert got["a red scarf"] == ["a blue scarf"]


def test_nouns_change_hands_within_their_kind_and_in_their_number() -> None:
    texts = [("a red scarf", "scarf"), ("two old shirts", "shirt"), ("the robe", "robe"), ("blue socks", "sock"), ("an owl", "owl")]
    rows = _rows([_image(str(i), text) for i, text in enumerate(texts)], noun_group_size=9)
    got = {text: others for row in rows for text, others in _texts(row).items()}
    assert got == {
        "a red scarf": ["a red robe"],
        "the robe": ["the scarf"],
        "two old shirts": ["two old socks"],
        "blue socks": ["blue shirts"],
    }


def test_full_groups_come_before_small_ones_of_one_noun() -> None:
    texts = [
        (f"a {colour} {noun}", noun) for noun in ("mug", "bowl") for colour in ("white", "white", "white", "black", "red", "blue", "green")
    ]
    rows = _rows([_image(f"{i:02d}", text) for i, text in enumerate(texts)], own_pool=2)
    sizes = Counter(len(entry.negatives) for row in rows for entry in row.regions)
    assert sizes[4] == 10  # one of five for each noun; what is left of white finds no other


regions = st.tuples(
    st.sampled_from(FRAMES), st.sampled_from(COLOURS), st.sampled_from(MATERIALS), st.sampled_from(("mug", "chair", "frog"))
)


def _block(drawn: Sequence[tuple[str, str, str, str]]) -> list[Image]:
    texts = [(frame.format(colour, material).replace("thing", noun), noun) for frame, colour, material, noun in drawn]
    return [_image(f"{i:03d}", text) for i, text in enumerate(texts)]


@settings(max_examples=15, deadline=None)
@given(drawn=st.lists(regions, min_size=2, max_size=60), size=st.integers(2, 5))
def test_each_value_of_a_group_is_once_true_and_otherwise_false(drawn: list[tuple[str, str, str, str]], size: int) -> None:
    images = _block(drawn)
    rows = _rows(images, group_size=size, own_pool=3, cell=12)
    for image, row in zip(images, rows, strict=True):
        captioned = {region.region: region.short for region in image.row(RegionCaptionRow).regions}
        assert len({entry.region for entry in row.regions}) + sum(row.rejects.values()) == len(captioned)
        for entry in row.regions:
            assert entry.num_proposed == len(entry.negatives) <= size - 1
            for negative in entry.negatives:
                assert negative.source == "exchanged"
                assert replay(captioned[entry.region] or "", negative.edits) == negative.text
                assert not any(may_be_both_true(edit.type, edit.old, edit.new) for edit in negative.edits)
    _assert_exact([entry for row in rows for entry in row.regions])


def _assert_exact(entries: Sequence[RegionNegatives]) -> None:
    """By group: the same values, each of as many regions as any other, and at each region all others."""
    true, false = Counter[tuple[str | None, str]](), Counter[tuple[str | None, str]]()
    sizes: dict[str | None, int] = {}
    for entry in entries:
        assert sizes.setdefault(entry.group, len(entry.negatives)) == len(entry.negatives)
        true[entry.group, "/".join(edit.old for edit in entry.negatives[0].edits)] += 1
        for negative in entry.negatives:
            false[entry.group, "/".join(edit.new for edit in negative.edits)] += 1
    assert {key: number * sizes[key[0]] for key, number in true.items()} == false


@settings(max_examples=10, deadline=None)
@given(drawn=st.lists(regions, min_size=12, max_size=80), seed=st.integers(0, 99))
def test_what_verdicts_probe_and_limits_remove_leaves_exact_groups(drawn: list[tuple[str, str, str, str]], seed: int) -> None:
    draw, images = random.Random(seed), []
    bare = _block(drawn)
    for image, row in zip(bare, _rows(bare, own_pool=3), strict=True):
        upstream: list[Row] = [
            image.row(RegionCaptionRow),
            row.model_copy(update={"regions": [_doubted(region, draw) for region in row.regions]}),
        ]
        images.append(image_of(image.key, *upstream))
    balance = Balance(BalanceParams(allow_unverified=True, released_per_region=3), CONTEXT)
    entries = [entry for unit in balance.process([images]) for row in unit if isinstance(row, BalanceRow) for entry in row.regions]
    for entry in entries:
        assert entry.num_proposed == len(entry.negatives) + sum(entry.rejects.values())
        assert len(entry.negatives) <= 3
        assert (entry.group is not None) == bool(entry.negatives)
    _assert_exact([entry for entry in entries if entry.negatives])


def _doubted(entry: RegionNegatives, draw: random.Random) -> RegionNegatives:
    negatives = [
        negative.model_copy(update={"verdict": draw.choice(["false", "false", "false", "unsure"])}) for negative in entry.negatives
    ]
    return entry.model_copy(update={"negatives": negatives, "positive_verdict": draw.choice(["true", "true", "true", "false"])})


def test_another_region_changes_the_rows_of_few_others_wherever_units_lie() -> None:
    draw = random.Random(0)
    drawn = [(draw.choice(FRAMES[:3]), draw.choice(COLOURS), draw.choice(MATERIALS), draw.choice(("mug", "chair"))) for _ in range(600)]
    before = _rows(_block(drawn))
    after = _rows(_block([*drawn[:299], ("one {} thing", "green", "metal", "mug"), *drawn[300:]]))
    assert 0 < sum(row != row_after for row, row_after in zip(before, after, strict=True)) < 100
    turned = {row.key: row for row in _rows(_block(drawn)[::-1])}
    assert [turned[row.key] for row in before] == before
