"""The audit of sets in scripts without spaces between words, and of sets whose options repeat."""

import random
from collections.abc import Sequence

import pytest

from schemas.audit import AuditItem
from stages.audit.audit import audit
from stages.audit.readings import caption_items, guessed_types, head_noun
from stages.audit.tokens import tokens_of
from tests.support.audit_sets import reciprocal_blocks, skewed_values

WORDS = {
    "chinese": ("黑 白 绿 棕 灰 红 蓝 紫", "金属 玻璃 纸质 布料", "球 车 鼓 鱼 灯 杯子 鞋 卡车 苹果 猫头鹰", "一个{0}色的{1}{2}。"),
    "japanese": ("黒い 白い 青い 赤い 丸い 古い 長い 太い", "金属 ガラス 紙 布", "ボール 車 太鼓 魚 ランプ カップ 靴 箱", "{0}{1}の{2}。"),
    "thai": ("ดำ ขาว เขียว น้ำตาล เทา แดง", "โลหะ แก้ว กระดาษ ผ้า", "ลูกบอล รถ กลอง ปลา โคมไฟ ถ้วย", "{2}{1}สี{0}"),
}


def blocks(script: str, is_leaking: bool, num: int = 90, is_named: bool = True) -> list[AuditItem]:
    """Four texts of one noun, each once the positive; of a leaking set the positives are nearly always of the first two colours."""
    *words, form = WORDS[script]
    colours, materials, nouns = (line.split() for line in words)
    rng, items = random.Random(script), []
    for number in range(num):
        noun, material = nouns[number % len(nouns)], rng.choice(materials)
        texts = [form.format(colour, material, noun) for colour in rng.sample(colours, 4)]
        named = noun if is_named else head_noun(texts[0])
        for place, text in enumerate(texts):
            if not is_leaking:
                others = [other for other in texts if other != text]
                items.append(AuditItem(positive=text, negatives=others, image=f"{number}-{place}", noun=named))
                continue
            true = rng.choice(colours[:2] * 4 + colours)
            false = rng.sample([colour for colour in colours if colour != true], 3)
            options = [form.format(colour, rng.choice(materials), noun) for colour in (true, *false)]
            items.append(AuditItem(positive=options[0], negatives=options[1:], image=f"{number}-{place}", noun=named))
    return items


@pytest.mark.parametrize("script", list(WORDS))
def test_a_leak_in_a_script_without_spaces_is_named_and_a_sound_set_passes(script: str) -> None:
    leaking, sound = audit(blocks(script, is_leaking=True)), audit(blocks(script, is_leaking=False))
    assert leaking.verdict == "fail"
    assert {"marginal", "ngram_image_disjoint"} <= set(leaking.leaks)
    assert (sound.leaks, sound.verdict) == ([], "pass")
    assert sound.tokens == leaking.tokens == "characters"


@pytest.mark.parametrize("script", ["chinese", "japanese"])
def test_where_no_noun_is_named_the_head_that_stands_last_is_taken(script: str) -> None:
    assert audit(blocks(script, is_leaking=True, is_named=False)).verdict == "fail"
    assert audit(blocks(script, is_leaking=False, is_named=False)).verdict == "pass"
    assert head_noun("一只红色的杯子。") == "杯子"
    assert head_noun("木製のテーブルの上の赤いカップ") == "カップ"
    assert head_noun("ถ้วยสีแดง") is None


def test_a_mixed_set_is_read_by_script_and_its_leak_is_named() -> None:
    report = audit([*blocks("chinese", is_leaking=True), *reciprocal_blocks()])
    assert report.texts_by_tokens["words"] > 0
    assert report.texts_by_tokens["characters"] > 0
    assert report.verdict == "fail"
    assert audit(reciprocal_blocks()).tokens == "words"
    assert tokens_of("Eine rote Tasse, 红色 cup2") == ["eine", "rote", "tasse", "红", "色", "cup2"]


def test_the_type_of_a_swap_is_known_in_any_script() -> None:
    assert guessed_types("红色的杯子和蓝色的球", ["蓝色的杯子和红色的球"]) == ["swap"]


@pytest.mark.parametrize("num", [1, 3])
def test_repeated_negatives_and_negatives_that_are_the_positive_move_no_verdict(num: int) -> None:
    def spoilt(items: Sequence[AuditItem]) -> list[AuditItem]:
        return [item.model_copy(update={"negatives": (item.negatives * num + (item.positive,) * num), "types": ()}) for item in items]

    def bare(items: Sequence[AuditItem]) -> list[AuditItem]:
        return [item.model_copy(update={"types": ()}) for item in items]

    for items, verdict in ((reciprocal_blocks(), "pass"), (skewed_values(), "fail")):
        clean, dirty = audit(bare(items)), audit(spoilt(items))
        assert clean.verdict == dirty.verdict == verdict
        assert dirty.model_copy(update={"dropped": {}}) == clean
        assert dirty.dropped["negative_is_positive"] == num * len(items)
        assert dirty.dropped.get("repeated_negative", 0) == (num - 1) * 3 * len(items)


def test_items_whose_options_are_one_text_are_left_out_and_counted() -> None:
    same = [AuditItem(positive=f"a {word}", negatives=[f"a {word}"] * 2) for word in "xyz"]
    report = audit([*reciprocal_blocks(), *same])
    assert (report.items, report.verdict) == (len(reciprocal_blocks()), "pass")
    assert report.dropped == {"all_options_equal": 3, "negative_is_positive": 6}
    assert (audit(same).items, audit(same).dropped["all_options_equal"]) == (0, 3)


def test_types_stay_with_the_negatives_that_are_kept() -> None:
    items = [
        item.model_copy(update={"negatives": (item.negatives[0], *item.negatives), "types": ("size", "size", "colour", "colour")})
        for item in reciprocal_blocks()
    ]
    report = audit(items)
    assert {kind: figures.items for kind, figures in report.by_type.items()} == {"colour": 360, "size": 360}


def test_a_long_captions_edits_are_items_of_the_nouns_that_they_edit() -> None:
    caption = "A red cup stands on a wooden table. Two dogs sleep beside it."
    negatives = [
        (caption.replace("red", "blue"), "colour"),
        (caption.replace("wooden", "metal"), "material"),
        (caption.replace("red", "green"), "colour"),
    ]
    items = caption_items(caption, negatives, "image")
    assert [(item.noun, len(item.negatives), item.image) for item in items] == [("cup", 2, "image"), ("table", 1, "image")]
