"""The audit names a planted leak and no other, and finds nothing where there is nothing."""

import random
import re
from collections.abc import Callable

import pytest

from schemas.audit import MARGIN, PROBES, AuditItem, AuditReport
from stages.audit.audit import audit
from tests.support.audit_sets import CHANCE, COLOURS, OPTIONS, reciprocal_blocks, skewed_values, with_negatives, with_positives

RULES = ("length", "article", "spacing", "case", "vocabulary", "marginal")
Change = Callable[[str, random.Random], str]


def longer(text: str, rng: random.Random) -> str:
    """A word twice: no word that others do not have."""
    article, colour, material, noun = text.split()
    return f"{article} {colour} {material} {material} {noun}"


def wrong_article(text: str, rng: random.Random) -> str:
    return re.sub(r"^(an?)\b", lambda match: "a" if match[1] == "an" else "an", text)


def stray_space(text: str, rng: random.Random) -> str:
    return text.replace(".", " .")


def capital(text: str, rng: random.Random) -> str:
    return text[0].upper() + text[1:]


def foreign_colour(text: str, rng: random.Random) -> str:
    word = rng.choice("mauve coral umber peach".split())
    return re.sub(r"^an? \w+", f"a {word}", text)


@pytest.mark.parametrize(
    ("name", "change"),
    [("length", longer), ("article", wrong_article), ("spacing", stray_space), ("case", capital), ("vocabulary", foreign_colour)],
)
def test_a_leak_in_the_negatives_is_named_and_no_other_rule(name: str, change: Change) -> None:
    report = audit(with_negatives(change))
    assert [leak for leak in report.leaks if leak in RULES] == [name]
    assert report.verdict == "fail"


@pytest.mark.parametrize(("name", "change"), [("length", longer), ("spacing", stray_space), ("case", capital)])
def test_the_same_leak_in_the_positives_is_named_too(name: str, change: Change) -> None:
    report = audit(with_positives(change))
    assert [leak for leak in report.leaks if leak in RULES] == [name]


def test_values_that_are_commoner_among_negatives_are_named() -> None:
    report = audit(skewed_values())
    assert [leak for leak in report.leaks if leak in RULES] == ["marginal"]
    assert {"ngram_image_disjoint", "ngram_noun_disjoint"} <= set(report.leaks)


def test_reciprocal_blocks_are_at_chance_and_pass() -> None:
    report = audit(reciprocal_blocks())
    assert report.chance == CHANCE
    for name in ("ngram_image_disjoint", "ngram_noun_disjoint", "ngram_shuffled"):
        assert getattr(report.probes, name).top1 == pytest.approx(CHANCE, abs=MARGIN)
    assert (report.leaks, report.verdict) == ([], "pass")


def test_one_that_sees_all_options_finds_the_parent_of_edits_but_nothing_in_reciprocal_blocks() -> None:
    edited = [
        AuditItem(positive=f"a {a} {b} {c}", negatives=[f"a {a}x {b} {c}", f"a {a} {b}y {c}"], image=a + b + c)
        for a in "pqrs" for b in "tuvw" for c in "klm"
    ]  # fmt: skip
    assert audit(edited).consensus.top1 == 1
    assert (audit(reciprocal_blocks()).consensus.top1_high or 1) <= CHANCE + MARGIN


def test_few_items_are_too_few_to_pass() -> None:
    assert audit(reciprocal_blocks(num_blocks=5)).verdict == "insufficient"


def test_ties_are_never_right() -> None:
    items = [AuditItem(positive=f"a {a} ball", negatives=[f"a {b} ball"], image=a + b) for a in "xyz" for b in "uvw"]
    report = audit(items)
    assert report.probes.length.top1 == 0
    assert report.probes.length.pairwise == 0.5


def test_texts_of_the_same_words_are_a_tie_for_the_trained_probe() -> None:
    report = audit([*reciprocal_blocks(), AuditItem(positive="a red ball", negatives=["a red ball +"], image="x")])
    same = audit([AuditItem(positive=f"a {noun}", negatives=[f"A {noun} +"], image=noun) for noun in "abcdefgh"])
    assert same.probes.ngram_image_disjoint.top1 == 0
    assert report.items == len(reciprocal_blocks()) + 1


def test_the_report_does_not_depend_on_the_items_order() -> None:
    items = skewed_values()[:120]
    turned = list(items)
    random.Random(5).shuffle(turned)
    assert audit(turned) == audit(items)


def test_an_item_that_occurs_twice_counts_once() -> None:
    items = reciprocal_blocks(num_blocks=10)
    again = [item.model_copy(update={"image": f"again {item.image}"}) for item in items]
    assert audit(items + again).items == audit(items).items == 40


def test_each_type_has_figures_over_its_own_options() -> None:
    items = [
        item.model_copy(update={"types": ("colour", "colour", "size")}) for item in reciprocal_blocks()
    ]  # fmt: skip
    by_type = audit(items).by_type
    assert {name: (figures.items, round(figures.chance, 3)) for name, figures in by_type.items()} == {
        "colour": (360, 0.333),
        "size": (360, 0.5),
    }
    assert by_type["size"].top1 == by_type["size"].ngram_image_disjoint.top1


def test_what_cannot_be_measured_is_null_and_says_why() -> None:
    report = audit([item.model_copy(update={"noun": None}) for item in reciprocal_blocks()])
    figures = report.model_dump()["probes"]["ngram_noun_disjoint"]
    assert figures["top1"] is None
    assert figures["top1_why"] == "no item names its noun"
    assert report.verdict == "insufficient"
    assert "top1_why" not in report.model_dump()["probes"]["length"]


def test_a_set_without_items_is_insufficient() -> None:
    report = audit([])
    assert (report.items, report.chance, report.verdict) == (0, None, "insufficient")
    assert all(getattr(report.probes, name).top1_why for name in PROBES)


def test_a_report_can_be_read_back() -> None:
    report = audit(reciprocal_blocks(num_blocks=8))
    assert AuditReport.model_validate_json(report.model_dump_json()) == report


def test_images_that_chain_everything_are_crossed_with_texts_and_leaks_still_found() -> None:
    chained = [item.model_copy(update={"image": str(number % 35)}) for number, item in enumerate(skewed_values())]
    report = audit(chained)
    assert report.folds == "crossed"
    assert {"marginal", "ngram_image_disjoint"} <= set(report.leaks)


def test_labels_drawn_at_random_leak_no_more_often_than_bounds_of_95_percent_allow() -> None:
    """Whatever the texts look like, where the positive is any one of them alike hardly ever may a probe claim to know it.

    Of 150 such sets one had a leak, in one of its nine probes.
    """
    leaks = []
    for seed in range(30):
        rng, items = random.Random(seed), []
        for number in range(150):
            texts = [
                " ".join(rng.sample([*COLOURS, "A", "an  owl", "the", "ox ."], rng.randint(1, 5))) for _ in range(2 + seed % (OPTIONS - 1))
            ]
            items.append(AuditItem(positive=texts[0], negatives=texts[1:], image=str(number // 2), noun=rng.choice("abcdefg")))
        leaks += audit(items).leaks
    assert len(leaks) <= 1


def test_a_closed_world_in_which_every_edit_is_another_images_text_is_measured_and_tells_nothing() -> None:
    """A scorer of the closed world's words is right of one pair in two. It is seldom right of all six: edits share its opinions."""
    rng = random.Random(5)
    slots = {"colour": ("red", "blue", "green", "white"), "pattern": ("plain", "striped"), "object": ("car", "mug", "fish", "star")}
    items = []
    for image in range(400):
        own = {slot: rng.choice(values) for slot, values in slots.items()}
        edits = [own | {slot: value} for slot, values in slots.items() for value in values if value != own[slot]]
        texts = [f"a {look['colour']} {look['pattern']} {look['object']}" for look in (own, *rng.sample(edits, 6))]
        items.append(AuditItem(positive=texts[0], negatives=tuple(texts[1:]), image=str(image), noun=own["object"]))
    report = audit(items)
    assert report.verdict == "pass"
    for probe in (report.probes.ngram_image_disjoint, report.probes.ngram_noun_disjoint):
        assert probe.pairwise is not None
        assert 0.4 <= probe.pairwise <= 0.6
