"""The stage as a whole, on the rehearsal engine: sources, levels, and that every proposal is kept or counted."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.rows import CAPTION, Attribute, CaptionRow, HardNegativeRow, Region, RegionCaption, RegionCaptionRow, Row, SelectRow
from stages.base import Image, StageContext
from stages.engines.rehearsal import RehearsalGenerator, RehearsalSpec
from stages.hard_negative import HardNegativeParams, HardNegatives
from stages.negatives.edits import replay
from tests.support.images import image_of

PROMPTS = {version: load_prompt("hard_negative", version, after=DEMO_PROMPTS) for version in ("demo", "v1")}
LONG = "Two toys stand on a lawn. At the top left there is a red striped metal car. At the bottom right there is a blue plain rubber mug."
SHORTS = ("a red striped metal car", "a blue plain rubber mug")


def image(key: str = "k", shorts: tuple[str, ...] = SHORTS, *, has_caption: bool = True, has_boxes: bool = True) -> Image:
    boxes = [(10.0, 10.0, 40.0, 40.0), (160.0, 160.0, 190.0, 190.0)]
    spans = [(LONG.index(short), LONG.index(short) + len(short)) for short in SHORTS]
    regions = [
        Region(xyxy=box, phrase=short, start=start, end=end, head=short.split()[-1])
        for short, box, (start, end) in zip(SHORTS, boxes, spans, strict=True)
    ]
    captions = [
        RegionCaption(region=i, head=head, short=short, long=short, attributes=[Attribute(type="colour", value=colour)])
        for i, (short, head, colour) in enumerate(zip(shorts, ("car", "mug"), ("red", "blue"), strict=True))
    ]
    upstream: dict[type[Row], Row] = {
        SelectRow: SelectRow(key=key, width=200, height=200, regions=regions if has_boxes else []),
        RegionCaptionRow: RegionCaptionRow(key=key, regions=captions),
    }
    if has_caption:
        upstream[CaptionRow] = CaptionRow(key=key, long=LONG)
    return image_of(key, *upstream.values())


def run(*images: Image, params: dict[str, Any] | None = None, **spec: Any) -> list[HardNegativeRow]:
    options = HardNegativeParams(**{"prompt": "demo", **(params or {})})
    writer = RehearsalGenerator(RehearsalSpec(kind="rehearsal", **spec))
    context = StageContext("fingerprint", {"hard_negative": PROMPTS[options.prompt]}, {"writer": writer})
    rows = asyncio.run(HardNegatives(options, context).process(images))
    assert all(isinstance(row, HardNegativeRow) for row in rows)
    return rows  # type: ignore[return-value]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["demo", "v1"]),
    st.sampled_from(["open", "listed"]),
    st.integers(0, 3),
    st.integers(1, 16),
    st.integers(0, 9),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_every_proposal_is_kept_or_counted(
    prompt: str, values: str, seed: int, max_negatives: int, max_composed: int, max_caption: int, bad: float
) -> None:
    params = {"prompt": prompt, "new_values": values, "max_negatives": max_negatives, "max_composed": max_composed, "attempts": 1}
    for row in run(image(), params={**params, "max_caption_negatives": max_caption}, seed=seed, bad_json_rate=bad):
        for group in row.regions:
            assert group.num_proposed == len(group.negatives) + sum(group.rejects.values())
            assert len({negative.text for negative in group.negatives} | {group.positive}) == len(group.negatives) + 1
            assert all(replay(group.positive, negative.edits) == negative.text for negative in group.negatives)
            singles = [negative for negative in group.negatives if negative.level == 1]
            assert len(singles) <= (max_caption if group.region == CAPTION else max_negatives)


def test_each_source_and_level_is_there_and_says_what_it_is() -> None:
    (row,) = run(image())
    first, _, caption = row.regions
    assert [group.region for group in row.regions] == [0, 1, CAPTION]
    assert {negative.level for negative in first.negatives} == {negative.level for negative in caption.negatives} == {1, 2, 3}
    assert {negative.source for negative in first.negatives} == {"written"}
    assert {negative.source for negative in caption.negatives} == {"written", "geometry"}
    assert {negative.verdict for negative in first.negatives} == {"unverified"}


def test_what_is_not_asked_for_is_not_made() -> None:
    (row,) = run(image(), params={"max_caption_negatives": 0, "max_composed": 0})
    assert [group.region for group in row.regions] == [0, 1]
    assert {negative.level for group in row.regions for negative in group.negatives} == {1}
    (row,) = run(image(has_caption=False))
    assert [group.region for group in row.regions] == [0, 1]


def test_an_expression_without_anything_to_edit_costs_no_question() -> None:
    (row,) = run(image(shorts=("it", "they")), params={"prompt": "v1"})
    assert row.status == "ok"
    assert row.usage.attempts == 0
    assert [group.rejects for group in row.regions[:2]] == [{"nothing_to_edit": 1}] * 2


def test_phrases_without_boxes_get_negatives_by_string_rules_alone() -> None:
    (row,) = run(image(has_boxes=False))
    assert all(group.negatives for group in row.regions[:2])
    assert {negative.source for group in row.regions for negative in group.negatives} == {"written"}


def test_an_error_is_counted_as_the_one_proposal_that_did_not_come() -> None:
    (row,) = run(image(), error_rate=1.0)
    assert (row.status, row.reason) == ("failed", "bad_request")
    assert all(group.rejects == {"bad_request": 1} and group.num_proposed == 1 for group in row.regions[:2])


def test_the_same_image_gets_the_same_candidates_whatever_else_is_in_its_unit() -> None:
    alone = run(image("a"))
    assert run(image("b"), image("a"), image("c"))[1] == alone[0]
