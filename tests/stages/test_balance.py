"""What balance releases: verdicts first, groups whole, planted marginals gone, and every candidate accounted for."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rows import (
    CAPTION,
    BalanceRow,
    Edit,
    HardNegativeRow,
    MineRow,
    Negative,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    Row,
    Verdict,
    VerifyRow,
)
from stages.balance import Balance, BalanceParams
from stages.base import Image, StageContext
from stages.mine import Mine, MineParams
from tests.support.images import image_of

COLOURS = ("red", "yellow", "green", "blue", "purple", "white", "black")
MATERIALS = ("wooden", "metal", "glass")


def _balance(block: Sequence[Sequence[Image]], **params: object) -> list[BalanceRow]:
    stage = Balance(BalanceParams.model_validate(params), StageContext("f"))
    rows = [row for unit in stage.process(block) for row in unit]
    assert all(isinstance(row, BalanceRow) for row in rows)
    return rows  # type: ignore[return-value]  # as just asserted


def _image(key: str, texts: Sequence[tuple[str, str]], *upstream: Row) -> Image:
    """`texts`: expression and head noun of each region."""
    captions = RegionCaptionRow(
        key=key,
        regions=[RegionCaption(region=i, xyxy=(0, 0, 9, 9), head=head, short=text, long=text) for i, (text, head) in enumerate(texts)],
    )
    return image_of(key, captions, *upstream)


def _recoloured(positive: str, old: str, new: str, verdict: Verdict = "unverified") -> Negative:
    start = positive.index(old)
    edit = Edit(type="colour", start=start, end=start + len(old), old=old, new=new)
    return Negative(text=positive.replace(old, new), edits=[edit], type="colour", verdict=verdict)


def _written(positive: str, negatives: Iterable[Negative], *, region: int = 0, verdict: Verdict = "unverified") -> RegionNegatives:
    listed = list(negatives)
    return RegionNegatives(region=region, positive=positive, positive_verdict=verdict, negatives=listed, num_proposed=len(listed))


def _entries(rows: Iterable[BalanceRow]) -> list[RegionNegatives]:
    return [entry for row in rows for entry in row.regions]


def test_only_what_is_false_of_what_is_true_is_released_and_the_rest_is_counted_by_reason() -> None:
    verdicts: tuple[Verdict, ...] = ("false", "true", "unsure", "unverified")
    images = []
    for number, of_positive in enumerate(verdicts):
        text = "a red car"
        negatives = [
            _recoloured(text, "red", new, verdict) for new, verdict in zip(("blue", "green", "white", "black"), verdicts, strict=True)
        ]
        row = VerifyRow(key=str(number), regions=[_written(text, negatives, verdict=of_positive)])
        images.append(_image(str(number), [(text, "car")], row))
    entries = _entries(_balance([images], method="none"))
    assert [[negative.text for negative in entry.negatives] for entry in entries] == [[], ["a blue car"], [], []]
    assert [entry.rejects for entry in entries] == [
        {"positive_false": 4},
        {"unverified": 1, "verdict_true": 1, "verdict_unsure": 1},
        {"positive_unsure": 4},
        {"positive_unverified": 4},
    ]
    allowing = _entries(_balance([images], method="none", allow_unverified=True))
    assert [len(entry.negatives) for entry in allowing] == [0, 2, 0, 2]


words = st.tuples(st.sampled_from(COLOURS), st.sampled_from(MATERIALS))


@settings(max_examples=8, deadline=None)
@given(drawn=st.lists(words, min_size=2, max_size=40), seed=st.integers(0, 99))
def test_groups_that_verification_broke_are_exact_again_and_nothing_is_lost_on_the_way(drawn: list[tuple[str, str]], seed: int) -> None:
    draw = random.Random(seed)
    bare = [_image(str(i), [(f"a {colour} {material} mug", "mug")]) for i, (colour, material) in enumerate(drawn)]
    (mined,) = Mine(MineParams(group_size=5), StageContext("f")).process([bare])
    images = []
    for image, row in zip(bare, mined, strict=True):
        assert isinstance(row, MineRow)
        regions = [_judged(entry, draw) for entry in row.regions]
        captions = image.row(RegionCaptionRow)
        images.append(image_of(image.key, captions, VerifyRow(key=image.key, regions=regions)))
    entries = _entries(_balance([images]))
    groups: dict[str, list[RegionNegatives]] = {}
    for entry in entries:
        assert entry.num_proposed == len(entry.negatives) + sum(entry.rejects.values())
        assert (entry.group is not None) == bool(entry.negatives)
        assert all(negative.verdict == "false" for negative in entry.negatives)
        if entry.group is not None:
            groups.setdefault(entry.group, []).append(entry)
    for members in groups.values():
        texts = {text for entry in members for text in (entry.positive, *(negative.text for negative in entry.negatives))}
        assert set(Counter(entry.positive for entry in members)) == texts
        assert len(set(Counter(entry.positive for entry in members).values())) == 1
        assert all({negative.text for negative in entry.negatives} == texts - {entry.positive} for entry in members)


def _judged(entry: RegionNegatives, draw: random.Random) -> RegionNegatives:
    verdicts: list[Verdict] = ["false", "false", "false", "unsure", "true"]
    negatives = [negative.model_copy(update={"verdict": draw.choice(verdicts)}) for negative in entry.negatives]
    return entry.model_copy(update={"negatives": negatives, "positive_verdict": draw.choice(["true", "true", "unsure"])})


def _block(choose: Callable[[str, random.Random], list[str]], number: int = 240) -> list[list[Image]]:
    """Images of one car each; `choose` says which colours the written candidates of a car of this colour have."""
    draw = random.Random(1)
    images = []
    for i in range(number):
        colour = draw.choice(COLOURS)
        text = f"a {colour} {draw.choice(MATERIALS)} car number {i}"
        row = HardNegativeRow(key=str(i), regions=[_written(text, [_recoloured(text, colour, new) for new in choose(colour, draw)])])
        images.append(_image(str(i), [(text, "car")], row))
    return [images[start : start + 20] for start in range(0, number, 20)]


def _leaky(colour: str, draw: random.Random) -> list[str]:
    """Every candidate is of the first colours or of one that no positive has; so the value gives the negative away."""
    return [new for new in ("red", "yellow", "golden", draw.choice(COLOURS)) if new != colour]


def _every_other(colour: str, _: random.Random) -> list[str]:
    return [new for new in COLOURS if new != colour]


def test_a_leak_of_values_that_is_planted_is_found_without_balance_and_gone_with_it() -> None:
    block = _block(lambda colour, draw: list(dict.fromkeys(_leaky(colour, draw))))
    before, after = _balance(block, method="none"), _balance(block)
    (leaking,), (clean,) = before[0].audits, after[0].audits
    assert leaking.verdict == "fail"
    assert "marginal" in leaking.leaks
    assert clean.leaks == ()
    assert clean.image_disjoint is not None
    assert clean.chance is not None
    assert clean.image_disjoint <= clean.chance + 0.05
    released = Counter((edit.old, edit.new) for entry in _entries(after) for negative in entry.negatives for edit in negative.edits)
    assert released
    assert not any("golden" in pair for pair in released)
    for entry in _entries(after):
        assert entry.num_proposed == len(entry.negatives) + sum(entry.rejects.values())


def test_a_value_is_replaced_as_often_as_put_in_but_for_an_eighth() -> None:
    block = _block(_every_other)
    edits = [edit for entry in _entries(_balance(block, max_rounds=0)) for negative in entry.negatives for edit in negative.edits]
    replaced, put_in = Counter(edit.old for edit in edits), Counter(edit.new for edit in edits)
    assert len(edits) > 500
    for value in {*replaced, *put_in}:
        assert abs(replaced[value] - put_in[value]) <= 0.125 * min(replaced[value], put_in[value]) + 1


def test_no_text_has_more_than_the_limit_and_the_limit_is_not_of_reciprocal_ones() -> None:
    block = _block(_every_other)
    entries = _entries(_balance(block, max_rounds=0, released_per_region=2))
    assert max(len(entry.negatives) for entry in entries) == 2
    assert sum(entry.rejects.get("surplus", 0) for entry in entries) > 0


def test_the_long_caption_is_balanced_and_audited_apart() -> None:
    block = _block(_every_other, number=40)
    with_captions = []
    for unit in block:
        images = []
        for image in unit:
            row = image.row(HardNegativeRow)
            (entry,) = row.regions
            caption = _written(entry.positive, entry.negatives, region=CAPTION)
            row_with_caption = row.model_copy(update={"regions": [entry, caption]})
            images.append(image_of(image.key, *{**image.upstream, HardNegativeRow: row_with_caption}.values()))
        with_captions.append(images)
    rows = _balance(with_captions, max_rounds=0)
    assert [figures.of for figures in rows[0].audits] == ["regions", "captions"]
    assert {len(entry.negatives) for row in rows for entry in row.regions if entry.region == CAPTION} != {0}


def test_the_same_block_in_another_order_of_units_releases_the_same() -> None:
    block = _block(_every_other, number=40)
    assert {row.key: row for row in _balance(block)} == {row.key: row for row in _balance(block[::-1])}
