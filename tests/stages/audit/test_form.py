"""Leaks in what is no word are named, in words' places too; what differs in form alone is no other text."""

import random
import unicodedata
from collections.abc import Callable

import pytest

from schemas.audit import AuditItem
from stages.audit.audit import audit
from stages.audit.form.sameness import bare_form
from stages.audit.tokens import tokens_of
from tests.support.audit_sets import MATERIALS, NOUNS, reciprocal_blocks, skewed_values


def capital(text: str, place: int) -> str:
    return " ".join(word.capitalize() if number == place else word for number, word in enumerate(text.split()))


PLANTED: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {  # what becomes of positives, of negatives
    "mark": (str, lambda text: text.replace(".", "!")),
    "quotes": (lambda text: f'"{text}"', lambda text: f"\u201c{text}\u201d"),
    "space that does not break": (str, lambda text: "\u00a0".join(text.rsplit(" ", 1))),
    "invisible character": (lambda text: text.replace(" ", "\u200d ", 1), str),
    "emoji": (lambda text: f"{text} \U0001f621", lambda text: f"{text} \U0001f600"),
    "capital of another word": (lambda text: capital(text, 2), lambda text: capital(text, 1)),
    "full-width mark": (str, lambda text: text.replace(".", "\uff0e")),
    "spelling of letters": (
        lambda text: text.replace("a ", "\u00e0 ", 1),
        lambda text: unicodedata.normalize("NFD", text.replace("a ", "\u00e0 ", 1)),
    ),
    "digits": (lambda text: f"{text} 4", lambda text: f"{text} four"),
}


@pytest.mark.parametrize("name", list(PLANTED))
def test_a_leak_in_the_form_of_texts_is_named(name: str) -> None:
    of_positive, of_negative = PLANTED[name]
    items = [
        item.model_copy(update={"positive": of_positive(item.positive), "negatives": tuple(map(of_negative, item.negatives))})
        for item in reciprocal_blocks(num_blocks=40)
    ]
    report = audit(items)
    assert "surface" in report.leaks
    assert report.verdict == "fail"


def test_a_leak_in_half_of_the_items_is_not_hidden_by_ties_of_the_others() -> None:
    items = [
        item.model_copy(update={"negatives": (item.negatives[0].replace(".", "" if number % 2 else "."),), "types": ()})
        for number, item in enumerate(reciprocal_blocks())
    ]
    report = audit(items)
    assert "spacing" not in report.leaks  # half right, half tied: chance of two options
    assert "surface" in report.leaks


def exchanged(is_leaking: bool, num: int) -> list[AuditItem]:
    """What acts stands first in a true text, with words between that hide who stands beside whom."""
    rng, items = random.Random(7), []
    fillers = "very really quite rather fairly almost nearly somewhat truly barely".split()
    for number in range(num):
        actor, acted_on = rng.choice("dog cat child man woman bird".split()), rng.choice("tree wall bench rock fence car".split())
        first, second, third, last = (rng.choice(fillers) for _ in range(4))
        texts = [f"{first} {a} {second} {third} {b} {last}" for a, b in ((actor, acted_on), (acted_on, actor))]
        own, other = texts if is_leaking or rng.random() < 0.5 else texts[::-1]
        items.append(AuditItem(positive=own, negatives=(other,), image=str(number), noun=actor))
    return items


def test_a_leak_in_the_order_of_words_is_named_and_no_order_is_where_there_is_none() -> None:
    assert "order" in audit(exchanged(is_leaking=True, num=400)).leaks
    assert audit(exchanged(is_leaking=False, num=400)).leaks == []


def test_a_length_that_stands_in_the_middle_is_told() -> None:
    rng, items = random.Random(8), []
    for number in range(300):
        word = "".join(rng.choice("bcdfghklmnprst") for _ in range(8))
        noun = NOUNS[number % len(NOUNS)]
        items.append(
            AuditItem(positive=f"a {word} {noun}", negatives=(f"a {word}s {noun}", f"a {word[1:]} {noun}"), image=str(number), noun=noun)
        )
    padded = [item.model_copy(update={"positive": pad(item.positive), "negatives": tuple(map(pad, item.negatives))}) for item in items]
    assert "surface" in audit(padded).leaks


def pad(text: str) -> str:
    """To texts of one length of noun."""
    article, word, noun = text.split()
    return f"{article} {word} {noun:x<6}"


def form_of(text: str, number: int) -> str:
    return [text.upper(), text.replace(" ", "  "), unicodedata.normalize("NFD", text) + "!", text.title(), f"\u201c{text}\u201d"][
        number % 5
    ]


def test_a_negative_that_says_what_its_positive_says_hides_no_leak_and_fails_no_sound_set() -> None:
    for items, verdict in ((reciprocal_blocks(), "pass"), (skewed_values(), "fail")):
        dirty = audit(
            [
                item.model_copy(update={"negatives": (*item.negatives, form_of(item.positive, n)), "types": ()})
                for n, item in enumerate(items)
            ]
        )
        clean = audit([item.model_copy(update={"types": ()}) for item in items])
        assert dirty.dropped == {"negative_is_positive": len(items)}
        assert dirty.model_copy(update={"dropped": {}}) == clean
        assert clean.verdict == verdict


def test_items_again_in_another_form_and_order_narrow_no_bound() -> None:
    few = [item.model_copy(update={"types": ()}) for item in reciprocal_blocks(num_blocks=20)]
    again = [
        item.model_copy(
            update={
                "positive": item.positive.upper(),
                "negatives": tuple(map(str.upper, item.negatives[::-1])),
                "image": f"{n} {item.image}",
            }
        )
        for n in range(8)
        for item in few
    ]
    assert audit(few).verdict == "insufficient"
    assert audit(few + again).verdict == "insufficient"


def test_a_name_that_all_items_have_names_no_image() -> None:
    for image in ("image", ""):
        assert audit([item.model_copy(update={"image": image}) for item in skewed_values()]).verdict == "fail"


def test_a_leak_in_one_type_or_in_items_of_many_options_is_said() -> None:
    items = []
    for number, item in enumerate(reciprocal_blocks(num_blocks=150)):
        is_small = number % 10 == 0
        negatives = tuple(text.replace(".", " .") for text in item.negatives) if is_small else item.negatives
        items.append(item.model_copy(update={"negatives": negatives, "types": (("size" if is_small else "colour"),) * 3}))
    report = audit(items)
    assert "spacing" in report.leaks_by_type["size"]
    assert "colour" not in report.leaks_by_type
    shades = "plum teal gold pink grey navy ruby sand mint lime rust wine rose jade aqua cyan".split()
    many = [
        AuditItem(
            positive=f"a black {rng.choice(MATERIALS)} {noun}.",
            negatives=tuple(f"a {shade} {rng.choice(MATERIALS)} {noun}." for shade in shades),
            image=f"m{noun}{number}",
            noun=noun,
        )
        for number in range(3)
        for noun in NOUNS
        for rng in (random.Random(number),)
    ]
    assert "ngram_image_disjoint" in audit([*reciprocal_blocks(num_blocks=300), *many]).leaks_by_options["17"]


def test_words_keep_their_signs_in_any_script() -> None:
    assert tokens_of("\u090f\u0915 \u0915\u093e\u0932\u093e \u0932\u093e\u0932") == [
        "\u090f\u0915",
        "\u0915\u093e\u0932\u093e",
        "\u0932\u093e\u0932",
    ]
    assert tokens_of("cafe\u0301 re\u200bd \uff32\uff25\uff24") == ["caf\u00e9", "red", "red"]
    assert bare_form("A Red  cup.") == bare_form("a red\u00a0cup") == bare_form("\u201ca red cup\u201d")
    assert bare_form("a cup \U0001f600") != bare_form("a cup \U0001f621")


@pytest.mark.parametrize("texts", [("", "x", " "), ("\t", "\n", "1"), ("a\0", "b\0", "a"), ("\ud800", "a \udc00", "b")])
def test_odd_texts_are_read(texts: tuple[str, str, str]) -> None:
    items = [AuditItem(positive=f"{texts[0]}{n // 2}", negatives=texts[1:], image=str(n), noun=texts[0] or None) for n in range(24)]
    assert audit(items).items > 0
