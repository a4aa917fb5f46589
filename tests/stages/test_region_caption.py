"""Region captions: what is asked and shown, what is refused, and the leakage probe. The engine here answers from pixels."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image as PillowImage

from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.arrow import from_table, to_table
from schemas.rows import Region, RegionCaptionRow, SelectRow
from stages.base import Image, StageContext
from stages.engines.base import Answer, Request
from stages.region_caption import RegionCaptioning, RegionCaptionParams
from tests.support.images import image_of

COLOURS = {(255, 0, 0): "red", (0, 0, 255): "blue", (0, 128, 0): "green", (0, 0, 0): "black", (255, 255, 255): "white"}
Say = Callable[[str, str], dict[str, Any]]


class Eye:
    """Answers with the colour in the middle of the crop, through `say(noun, colour)`."""

    def __init__(self, say: Say) -> None:
        self.say, self.asked = say, list[Request]()

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        self.asked += requests
        return [Answer(json.dumps(self.say(_noun(request), _colour(request.images[0])))) for request in requests]

    async def close(self) -> None:
        return None


def _noun(request: Request) -> str:
    return request.user.removeprefix("Describe the ").removesuffix(".")


def _colour(crop: PillowImage.Image) -> str:
    pixel = crop.getpixel((crop.width // 2, crop.height // 2))
    assert isinstance(pixel, tuple)
    return COLOURS[pixel[0], pixel[1], pixel[2]]


def honest(noun: str, colour: str) -> dict[str, Any]:
    return {"short": f"a {colour} {noun}", "long": f"a {colour} {noun} with a lid", "attributes": [{"type": "colour", "value": colour}]}


def _image(key: str, *toys: tuple[str, str], side: float = 20) -> Image:
    """A white image with a coloured square of `side` pixels for each (noun, colour)."""
    picture = PillowImage.new("RGB", (400, 100), "white")
    regions = []
    for i, (noun, colour) in enumerate(toys):
        xyxy = (100.0 * i + 40, 40.0, 100.0 * i + 40 + side, 40.0 + side)
        picture.paste(colour, (round(xyxy[0]), round(xyxy[1]), round(xyxy[2]), round(xyxy[3])))
        regions.append(Region(xyxy=xyxy, score=0.9, phrase=f"a {colour} {noun}", start=0, end=5, head=noun))
    select = SelectRow(key=key, width=400, height=100, regions=regions)
    return image_of(key, select, pixels=picture, width=400, height=100)


def _caption(unit: Sequence[Image], say: Say, **params: Any) -> tuple[list[RegionCaptionRow], Eye]:
    eye = Eye(say)
    context = StageContext("f", {"region_caption": load_prompt("region_caption", "demo", DEMO_PROMPTS)}, {"captioner": eye})
    stage = RegionCaptioning(RegionCaptionParams(prompt="demo", **{"probe_share": 0.0, **params}), context)
    rows = asyncio.run(stage.process(unit))
    assert all(isinstance(row, RegionCaptionRow) for row in rows)
    return [row for row in rows if isinstance(row, RegionCaptionRow)], eye


def test_a_refused_short_expression_gives_the_region_up_and_a_refused_long_one_alone_does_not() -> None:
    def say(noun: str, colour: str) -> dict[str, Any]:
        long = f"a {colour} {noun} that seems new" if noun == "mug" else f"a {colour} {noun}"
        return honest(noun, colour) | {"short": "a blue thing" if noun == "car" else f"a {colour} {noun}", "long": long}

    ((row,), _) = _caption([_image("k", ("mug", "red"), ("car", "blue"))], say)
    mug, car = row.regions
    assert (mug.short, mug.long, mug.reason, mug.refused) == ("a red mug", None, None, {"long": "hedge"})
    assert (car.short, car.long, car.reason, car.refused) == (None, None, "noun_lost", {"short": "noun_lost"})
    assert row.status == "ok"


def test_the_noun_of_another_region_is_refused_unless_it_lies_inside() -> None:
    def say(noun: str, colour: str) -> dict[str, Any]:
        return honest(noun, colour) | {"long": f"a {colour} {noun} with a button and a dog"}

    image = _image("k", ("coat", "red"), ("hat", "blue"))
    inside = Region(xyxy=(45, 45, 55, 55), score=0.5, phrase="a button", start=0, end=5, head="button")
    outside = Region(xyxy=(300, 40, 320, 60), score=0.5, phrase="a dog", start=0, end=5, head="dog")
    for other, refused in ((inside, {}), (outside, {"long": "other_noun"})):
        select = image.row(SelectRow)
        changed = image_of("k", select.model_copy(update={"regions": [select.regions[0], other]}), pixels=image.rgb)
        ((row,), _) = _caption([changed], lambda noun, _: say(noun, "red") if noun == "coat" else honest(noun, "red"), min_shown_side_px=0)
        assert row.regions[0].refused == refused


def test_attributes_of_every_type_are_kept_without_doubles() -> None:
    attributes = [("colour", "red"), ("parts", "a lid"), ("count", "two"), ("text", "MAYBE LEFT"), ("colour", "Red "), ("material", " ")]

    def say(noun: str, colour: str) -> dict[str, Any]:
        return honest(noun, colour) | {"attributes": [{"type": kind, "value": value} for kind, value in attributes]}

    context = StageContext("f", {"region_caption": load_prompt("region_caption", "v1")}, {"captioner": Eye(lambda *_: say("mug", "red"))})
    (row,) = asyncio.run(RegionCaptioning(RegionCaptionParams(probe_share=0), context).process([_image("k", ("mug", "red"))]))
    assert isinstance(row, RegionCaptionRow)
    assert [(attribute.type, attribute.value) for attribute in row.regions[0].attributes] == attributes[:4]


def test_a_small_crop_is_enlarged_and_what_stays_too_small_is_not_asked() -> None:
    ((small, tiny), eye) = _caption([_image("k", ("mug", "red"), side=10), _image("t", ("mug", "red"), side=3)], honest)
    assert small.regions[0].short == "a red mug"
    assert (tiny.regions[0].short, tiny.regions[0].reason) == (None, "too_small")
    assert [request.images[0].size for request in eye.asked] == [(224, 224)]


def test_a_large_crop_is_shown_as_it_is() -> None:
    (_, eye) = _caption([_image("k", ("mug", "red"), side=20)], honest, shown_side_px=60, min_shown_side_px=20)
    assert [request.images[0].size for request in eye.asked] == [(60, 60)]


def test_two_regions_of_one_noun_and_one_text_are_not_unique() -> None:
    ((row,), _) = _caption([_image("k", ("mug", "red"), ("mug", "red"), ("mug", "blue"), ("car", "red"))], honest)
    assert [region.is_unique for region in row.regions] == [False, False, True, True]


UNIT = [_image("a", ("mug", "red"), ("car", "blue")), _image("b", ("mug", "blue"), ("mug", "green")), _image("c", ("car", "black"))]


def _leaked(rows: Sequence[RegionCaptionRow]) -> list[bool]:
    """Of the regions that were asked again with another crop, whether the text stayed."""
    return [region.leaked for row in rows for region in row.regions if region.leaked is not None]


def test_a_captioner_that_reads_the_crop_does_not_leak_and_one_that_does_not_does() -> None:
    (seen, _) = _caption(UNIT, honest, probe_share=1)
    assert _leaked(seen) == [False] * 5
    assert [region.swapped for region in seen[0].regions] != [region.short for region in seen[0].regions]
    # It answers from the question alone, but for the first time it is asked about each image.
    first_colours: dict[str, str] = {}
    (blind, _) = _caption(UNIT, lambda noun, colour: honest(noun, first_colours.setdefault(noun, colour)), probe_share=1)
    assert set(_leaked(blind)) == {True}


def test_a_partner_shows_the_same_noun_and_another_look_where_the_unit_has_one() -> None:
    (rows, _) = _caption(UNIT, honest, probe_share=1)
    swapped = {region.short: region.swapped for row in rows for region in row.regions}
    assert swapped["a red mug"] in ("a blue mug", "a green mug")
    assert swapped["a blue car"] == "a black car"


def test_without_a_partner_of_another_look_nothing_is_probed() -> None:
    (rows, eye) = _caption([_image("a", ("mug", "red")), _image("b", ("car", "red"))], honest, probe_share=1)
    assert _leaked(rows) == []
    assert len(eye.asked) == 2


def test_the_sample_and_the_texts_do_not_depend_on_the_share() -> None:
    unit = [_image(f"k{i}", ("mug", "red"), ("mug", "blue"), ("car", "green")) for i in range(20)]
    (few, eye), (all_rows, _) = _caption(unit, honest, probe_share=0.1), _caption(unit, honest, probe_share=1)
    texts = [[region.short for region in row.regions] for row in few]
    assert texts == [[region.short for region in row.regions] for row in all_rows]
    assert len(eye.asked) == 60 + len(_leaked(few))
    assert 0 < len(_leaked(few)) < 20


def test_rows_come_back_from_their_table_as_they_were() -> None:
    (rows, _) = _caption(UNIT, honest, probe_share=1)
    assert from_table(to_table(rows, RegionCaptionRow), RegionCaptionRow) == rows


def _answered(image: Image, *answers: dict[str, Any]) -> tuple[RegionCaptionRow, Eye]:
    """The row that these answers to prompt v2 make, one a region."""
    rest = iter(answers)
    eye = Eye(lambda *_: next(rest))
    context = StageContext("f", {"region_caption": load_prompt("region_caption", "v2")}, {"captioner": eye})
    (row,) = asyncio.run(RegionCaptioning(RegionCaptionParams(prompt="v2", probe_share=0, min_shown_side_px=0), context).process([image]))
    assert isinstance(row, RegionCaptionRow)
    return row, eye


def _answer(short: str, long: str | None = None, there: bool = True) -> dict[str, Any]:
    return {"there": there, "short": short, "long": long or short, "attributes": []}


def _of(*boxes: tuple[str, tuple[float, float, float, float]]) -> Image:
    regions = [Region(xyxy=box, score=0.9, phrase=f"a {noun}", start=0, end=5, head=noun) for noun, box in boxes]
    picture = PillowImage.new("RGB", (400, 100), "white")
    return image_of("k", SelectRow(key="k", width=400, height=100, regions=regions), pixels=picture)


MAN, COAT, DOG = ("man", (0.0, 0.0, 60.0, 100.0)), ("coat", (5.0, 20.0, 70.0, 90.0)), ("dog", (200.0, 50.0, 260.0, 100.0))


def test_a_thing_that_is_not_there_has_a_reason_of_its_own() -> None:
    row, _ = _answered(_of(MAN, DOG), _answer("", there=False), _answer("a brown dog"))
    assert [(region.short, region.reason, region.refused) for region in row.regions] == [(None, "not_there", {}), ("a brown dog", None, {})]


def test_what_a_thing_wears_or_holds_is_no_other_noun_where_it_lies_on_it() -> None:
    for short, reason in (
        ("a young man in a long coat", None),
        ("a man wearing a coat", None),
        ("a coat and a man", "other_noun"),  # named first, so it is not said to be worn
        ("a man with a dog", "other_noun"),  # the dog is elsewhere
    ):
        row, _ = _answered(_of(MAN, COAT, DOG), _answer(short), _answer("a long coat"), _answer("a brown dog"))
        assert row.regions[0].reason == reason, short


def test_what_is_pictured_on_a_thing_may_be_named_in_long() -> None:
    shows, beside = "a grey coat showing a small dog, with wide sleeves", "a grey coat showing a flower beside a dog"
    row, _ = _answered(_of(COAT, DOG), _answer("a grey coat", shows), _answer("a brown dog"))
    assert row.regions[0].long == shows
    row, _ = _answered(_of(COAT, DOG), _answer("a grey coat", beside), _answer("a brown dog"))
    assert (row.regions[0].refused, row.regions[0].refused_texts) == ({"long": "other_noun"}, {"long": beside})
    row, _ = _answered(_of(COAT, DOG), _answer("a coat showing a dog"), _answer("a brown dog"))
    assert (row.regions[0].reason, row.regions[0].refused_texts["short"]) == ("other_noun", "a coat showing a dog")


def test_the_captioner_is_told_which_nouns_to_leave_out_and_what_is_padding() -> None:
    _, eye = _answered(_of(MAN, COAT, DOG), _answer("a man"), _answer("a coat"), _answer("a dog"))
    man, coat, dog = (request.user for request in eye.asked)
    assert 'none of these nouns stands in "short": dog.' in man
    assert 'none of these nouns stands in "short": dog, man.' in coat  # what wears it does not lie on it
    assert "coat, man" in dog
    assert "one flat colour" in man
    assert "one flat colour" not in _answered(_of(("dog", (150.0, 40.0, 170.0, 60.0))), _answer("a dog"))[1].asked[0].user
