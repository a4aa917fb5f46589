import json

import pytest
from pydantic import ValidationError

from schemas.boxes import Box
from schemas.dataset import ExportRecord, ExportRegion, image_key
from schemas.finehard import FineHardBox, FineHardRecord, finehard_json, finehard_record
from schemas.rows import Edit, Negative

COLOURS = ("blue", "green", "black", "white", "yellow", "purple", "orange", "pink", "grey", "brown", "silver", "golden")


def negatives(number: int, **fields: str) -> list[Negative]:
    return [
        Negative.model_validate(
            {"text": f"A {new} Cup", "type": "colour", "edits": [Edit(type="colour", start=2, end=5, old="Red", new=new)], **fields}
        )
        for new in COLOURS[:number]
    ]


def region(bbox: Box | None = (0.1, 0.2, 0.5, 0.6), **fields: object) -> ExportRegion:
    content = {
        "phrase": "a red cup",
        "start": 0,
        "end": 9,
        "head": "cup",
        "short": "A Red Cup",
        "long": "A Red Cup on a table",
        "score": 0.5,
    }
    return ExportRegion.model_validate({"xyxy": (10, 20, 50, 60), "bbox": bbox, **content, **fields})


def written(*regions: ExportRegion, **fields: object) -> FineHardRecord:
    texts = {"alt": "IMG 1", "long": "A long Caption.", "short": "A cup"}
    record = {"key": "000000000", "source_key": "a", "source_shard": "a.tar", "sha256": "0", "regions": regions, **texts, **fields}
    return finehard_record(ExportRecord.model_validate(record), "images/00000/000000000.jpg")


def test_a_region_with_ten_negatives_is_flagged_and_holds_them_as_a_dict() -> None:
    (box,) = written(region(negatives=negatives(10))).bbox_info
    assert box.flag_short_neg == 1
    assert box.short_expr_negs == {str(i): f"a {colour} cup" for i, colour in enumerate(COLOURS[:10])}


def test_a_region_with_nine_negatives_is_not_flagged_and_holds_none() -> None:
    (box,) = written(region(negatives=negatives(9))).bbox_info
    assert (box.flag_short_neg, box.short_expr_negs) == (0, {})


def test_of_twelve_negatives_the_first_ten_are_written() -> None:
    (box,) = written(region(negatives=negatives(12))).bbox_info
    assert list(box.short_expr_negs.values()) == [f"a {colour} cup" for colour in COLOURS[:10]]


def test_negatives_that_differ_only_in_letter_case_count_once() -> None:
    twice = negatives(9) + [negative.model_copy(update={"text": negative.text.upper()}) for negative in negatives(1)]
    (box,) = written(region(negatives=twice)).bbox_info
    assert box.flag_short_neg == 0


@pytest.mark.parametrize("verdict", ["true", "unsure"])
def test_a_negative_that_the_judge_did_not_find_false_is_none(verdict: str) -> None:
    doubtful = [*negatives(9), *negatives(10, verdict=verdict)[9:]]
    (box,) = written(region(negatives=doubtful)).bbox_info
    assert box.flag_short_neg == 0


def test_expressions_and_negatives_are_lower_case() -> None:
    (box,) = written(region(negatives=negatives(10))).bbox_info
    texts = [box.short_expr, box.long_expr, *box.short_expr_negs.values()]
    assert all(text == text.lower() for text in texts)


def test_a_region_without_a_short_expression_is_left_out() -> None:
    assert written(region(short=None), region(short=" ")).bbox_info == []


def test_a_region_without_a_long_expression_repeats_the_short_one() -> None:
    (box,) = written(region(long=None)).bbox_info
    assert box.long_expr == "a red cup"


@pytest.mark.parametrize(
    "bbox",
    [
        None,
        (0.5, 0.2, 0.5, 0.6),
        (0.5, 0.6, 0.7, 0.2),
        (0.1, 0.2, 1.2, 0.6),
        (0.9981, 0.2, 0.9999, 0.6),
        (float("nan"), 0.2, 0.5, 0.6),
    ],
    ids=["outside the image", "no width", "bottom above top", "beyond 1", "no width in bfloat16", "not a number"],
)
def test_a_box_that_is_no_area_inside_the_image_is_left_out(bbox: Box | None) -> None:
    assert [box.bbox for box in written(region(bbox), region()).bbox_info] == [[0.1, 0.2, 0.5, 0.6]]


def test_a_box_of_two_thousandths_is_kept_where_bfloat16_can_tell_its_sides() -> None:
    assert written(region((0.1, 0.1, 0.102, 0.102))).bbox_info[0].bbox == [0.1, 0.1, 0.102, 0.102]


def test_flagged_regions_come_first_then_the_best_scores() -> None:
    record = written(
        region(short="low cup", score=0.3),
        region(short="given cup", score=None),
        region(short="flagged cup", score=0.2, negatives=negatives(10)),
        region(short="high cup", score=0.9),
    )
    assert [box.short_expr for box in record.bbox_info] == ["flagged cup", "given cup", "high cup", "low cup"]


@pytest.mark.parametrize("short", ["A photo of a cup", "a photo of A photo of a cup", "a cup"])
def test_the_prefix_that_the_trainer_adds_is_taken_off_the_short_caption(short: str) -> None:
    assert written(short=short).short_caption == "a cup"


def test_an_image_without_a_generated_caption_falls_back_on_its_alt_text() -> None:
    record = written(long=None, short=None)
    assert (record.caption, record.short_caption) == ("IMG 1", "IMG 1")


def test_a_record_in_json_has_the_keys_that_the_trainer_reads() -> None:
    record = json.loads(finehard_json(written(region(negatives=negatives(10)), long="Ein Bär")))
    assert sorted(record) == ["bbox_info", "caption", "f_path", "short_caption"]
    assert record["caption"] == "Ein Bär"
    assert sorted(record["bbox_info"][0]) == ["bbox", "flag_short_neg", "long_expr", "short_expr", "short_expr_negs"]


@pytest.mark.parametrize(
    "fields",
    [
        {"bbox": [10, 20, 50, 60]},
        {"bbox": [0.5, 0.2, 0.5, 0.6]},
        {"flag_short_neg": 1, "short_expr_negs": {"0": "a blue cup"}},
        {"flag_short_neg": 0, "short_expr_negs": {str(i): "x" for i in range(10)}},
        {"flag_short_neg": 1, "short_expr_negs": ["a blue cup"] * 10},
    ],
    ids=["pixels", "no width", "one negative", "negatives without the flag", "a list"],
)
def test_what_breaks_the_trainer_cannot_be_made_into_a_record(fields: dict[str, object]) -> None:
    good = {"bbox": [0.1, 0.2, 0.5, 0.6], "short_expr": "a", "long_expr": "a", "flag_short_neg": 0, "short_expr_negs": {}}
    with pytest.raises(ValidationError):
        FineHardBox.model_validate({**good, **fields})


def test_keys_are_img2datasets_and_never_meet() -> None:
    assert image_key(3, 17) == "000030017"
    numbers = [(12345, 67890), (123456, 7890), (1, 23450), (12, 3450), (100000, 1), (10000, 1), (10000, 10001), (100001, 1)]
    assert len({image_key(*number) for number in numbers}) == len(numbers)
