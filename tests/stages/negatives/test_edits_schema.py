"""A request's own schema: no answer that it admits can quote what the phrase does not say."""

import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.rows import Attribute
from stages.answers import question
from stages.engines.rehearsal_answers import write_answer
from stages.negatives.edits import Proposal, accept, known_of
from stages.negatives.edits_schema import NewValues, Slot, is_quoted, new_values, quoted_schema, slots_of
from stages.words.domain import ANY_DOMAIN, Domain

PHRASES = st.sampled_from(
    [
        ("A dark brown wooden handle attached to a grey metal knife.", "knife"),
        ("A black and white dog with a black head and white ears.", "dog"),
        ("a small open transparent plastic box", "box"),
        ("A tall round striped rattan basket", "basket"),
        ("the two red cars", "car"),
    ]
)
PROMPT = load_prompt("hard_negative", "v1")
TEMPLATE = PROMPT.answer_schema


def edits_within(schema: dict[str, Any], phrase: str, noun: str, seed: int) -> list[dict[str, str]]:
    """What a rehearsal proposes for a phrase, within the schema."""
    variables = {"phrase": phrase, "noun": noun, "attributes": [], "slots": [], "domain": ANY_DOMAIN}
    answer = json.loads(write_answer(question(PROMPT, variables, seed=0, answer_schema=schema), random.Random(seed)))
    jsonschema.validate(answer, schema)
    return list(answer["edits"])


def admits(phrase: str, noun: str, *edits: tuple[str, str, str], values: NewValues = "open", known: tuple[str, ...] = ()) -> list[bool]:
    schema = quoted_schema(TEMPLATE, slots_of(phrase, noun), known_of([phrase, *known]), values)
    assert schema is not None
    answers = [{"edits": [{"type": kind, "old": old, "new": new}]} for kind, old, new in edits]
    return [jsonschema.Draft202012Validator(schema).is_valid(answer) for answer in answers]


def test_only_words_of_the_phrase_can_be_replaced_and_each_under_its_type() -> None:
    phrase = "a light grey plastic pipe"
    good = [("colour", "light grey", "green"), ("material", "plastic", "metal"), ("object", "pipe", "hose")]
    bad = [("colour", "red", "green"), ("colour", "plastic", "mint"), ("material", "pipe", "metal"), ("object", "plastic", "hose")]
    assert admits(phrase, "pipe", *good) == [True] * 3
    assert admits(phrase, "pipe", *bad) == [False] * 4


def test_listed_values_are_those_that_cannot_be_true() -> None:
    edits = [("colour", "red", new) for new in ("green", "orange", "white", "mint")]
    assert admits("a red car", "car", *edits, values="listed", known=("a car with white wheels",)) == [True, False, False, False]
    assert admits("a red car", "car", ("object", "car", "bus"), ("object", "car", "vehicle"), values="listed") == [True, False]


def test_a_part_a_relation_and_a_swap_are_found_in_the_phrase() -> None:
    slots = slots_of("a black dog on a chair with a white collar", "dog")
    assert {Slot("part", "collar"), Slot("relation", "on"), Slot("swap", "black", ("white",))} <= set(slots)
    assert not {Slot("part", "dog"), Slot("part", "chair")} & set(slots)


@pytest.mark.parametrize(
    "phrase",
    ["a yellow and black frog", "a red, white and blue frog", "a green/brown frog", "a black or white frog", "a long thin red frog"],
)
def test_values_that_are_joined_have_no_swap(phrase: str) -> None:
    slots = slots_of(phrase, "frog")
    assert not any(slot.type == "swap" for slot in slots)
    first, second = [slot.old for slot in slots if slot.type in ("colour", "size")][:2]
    _, rejects = accept([Proposal(type="swap", old=first, new=second)], phrase, "frog", known_of([phrase]), 9)
    assert rejects == {"same_thing": 1}


def test_only_a_part_can_become_another_part() -> None:
    phrase = "a black dog on a chair with a collar"
    edits = [Proposal(type="part", old="chair", new="bed"), Proposal(type="part", old="collar", new="bell")]
    accepted, rejects = accept(edits, phrase, "dog", known_of([phrase]), 9)
    assert [negative.edits[0].new for negative in accepted] == ["bell"]
    assert rejects == {"wrong_type": 1}


def test_a_value_of_two_types_and_a_hyphen_are_no_mistake() -> None:
    phrase = "a plastic orange box"
    edits = [
        Proposal(type="material", old="plastic", new="gold"),
        Proposal(type="material", old="plastic", new="stainless-steel"),
        Proposal(type="object", old="box", new="glass"),
    ]
    accepted, rejects = accept(edits, phrase, "box", known_of([phrase]), 9)
    assert len(accepted) == 3, rejects
    assert admits("a red car", "car", ("colour", "red", "blue-green")) == [True]


def test_an_attribute_that_only_the_captioner_typed_may_be_edited_under_its_type() -> None:
    assert Slot("state", "wobbly") in slots_of("a wobbly dog", "dog", [Attribute(type="state", value="wobbly")])
    assert Slot("state", "wobbly") not in slots_of("a wobbly dog", "dog")


def test_a_domains_own_values_can_be_edited_and_are_what_is_offered() -> None:
    domain = Domain(nouns=("chip", "relay"), values={"pattern": ("knurled", "embossed")})
    phrase = "a knurled metal chip"
    slots = slots_of(phrase, "chip", domain=domain)
    assert {Slot("pattern", "knurled"), Slot("material", "metal"), Slot("object", "chip")} == set(slots)
    known = known_of([phrase], nouns=["chip"], domain=domain)
    assert new_values(Slot("pattern", "knurled"), known) == ["embossed"]
    assert new_values(Slot("object", "chip"), known) == ["relay"]
    _, rejects = accept([Proposal(type="colour", old="metal", new="embossed")], phrase, "chip", known, 9)
    assert rejects == {"wrong_type": 1}


def test_a_noun_that_is_also_a_value_is_the_object_alone() -> None:
    assert slots_of("a tall glass", "glass") == [Slot("size", "tall"), Slot("object", "glass")]


@pytest.mark.parametrize(
    ("phrase", "noun", "compound"),
    [
        ("a small blue fishing boat moored at the left", "boat", "fishing boat"),
        ("three identical computer monitors", "monitor", "computer monitors"),
        ("a low glass coffee table", "table", "coffee table"),
        ("a dented orange traffic cone", "cone", "traffic cone"),
        ("a young woman in a red hat", "woman", None),
        ("a sleeping puppy", "puppy", None),
        ("the left front wheel", "wheel", None),
        ("a spotted cow", "cow", None),
    ],
)
def test_a_noun_is_offered_with_the_nouns_before_it_on_request(phrase: str, noun: str, compound: str | None) -> None:
    offered = [slot.old for slot in slots_of(phrase, noun, compounds=True) if slot.type == "object"]
    assert offered[1:] == ([compound] if compound else [])
    assert slots_of(phrase, noun) == [slot for slot in slots_of(phrase, noun, compounds=True) if slot.old != compound]


def test_a_compound_becomes_another_thing_as_a_whole() -> None:
    phrase = "a small blue fishing boat moored at the left"
    edits = [Proposal(type="object", old=old, new="ferry") for old in ("fishing boat", "blue fishing boat")]
    (negative,), rejects = accept(edits, phrase, "boat", known_of([phrase]), 10)
    assert negative.text == "a small blue ferry moored at the left"
    assert rejects == {"noun_not_changed_alone": 1}


def test_a_word_that_stands_twice_cannot_be_named() -> None:
    assert slots_of("a red cup on a red saucer", "cup") == [
        Slot("object", "cup"),
        Slot("relation", "on"),
    ]


@settings(deadline=None)
@given(PHRASES, st.integers(0, 2**20))
def test_dealt_values_come_once_whatever_the_writer_chooses(case: tuple[str, str], seed: int) -> None:
    phrase, noun = case
    known = known_of([phrase], nouns=[noun])
    schema = quoted_schema(TEMPLATE, slots_of(phrase, noun), known, "drawn", random.Random(seed))
    assert schema is not None
    edits = edits_within(schema, phrase, noun, seed)
    closed = [(edit["old"], edit["new"]) for edit in edits if edit["type"] in ("colour", "material", "pattern", "size")]
    assert len(set(closed)) == len(closed)
    _, rejects = accept([Proposal(**edit) for edit in edits if edit["type"] in ("colour", "material", "pattern")], phrase, noun, known, 99)
    assert rejects == {}


def test_a_phrase_with_nothing_to_edit_has_no_schema() -> None:
    assert quoted_schema(TEMPLATE, slots_of("it", "dog"), known_of(["it"]), "open") is None


def test_equal_slots_give_equal_schemas() -> None:
    first, second = (
        quoted_schema(TEMPLATE, slots_of(phrase, "mug"), known_of([phrase]), "listed") for phrase in ("a red mug", "the red mug")
    )
    assert json.dumps(first) == json.dumps(second)


def test_a_prompt_says_by_its_schema_whether_it_is_filled() -> None:
    assert is_quoted(TEMPLATE)
    assert not is_quoted(load_prompt("hard_negative", "demo", DEMO_PROMPTS).answer_schema)


@settings(deadline=None)
@given(PHRASES, st.sampled_from(["open", "listed", "drawn"]), st.integers(0, 2**20))
def test_whatever_the_schema_admits_quotes_the_phrase_and_replays(case: tuple[str, str], values: NewValues, seed: int) -> None:
    phrase, noun = case
    known = known_of([phrase], nouns=[noun])
    schema = quoted_schema(TEMPLATE, slots_of(phrase, noun), known, values)
    assert schema is not None
    _, rejects = accept([Proposal(**edit) for edit in edits_within(schema, phrase, noun, seed)], phrase, noun, known, 99)
    assert not {"not_quoted", "ambiguous_span", "noun_changed", "noun_not_changed_alone", "computed_type"} & set(rejects)
    if values != "open":
        assert set(rejects) - {"duplicate", "neighbour"} == set(), rejects


@pytest.mark.parametrize("values", ["open", "listed", "drawn"])
def test_a_filled_schema_has_a_grammar(values: NewValues) -> None:
    pytest.importorskip("xgrammar")
    from stages.engines.grammar import schema_grammar

    phrase = "a large red striped metal car with a black wheel"
    schema = quoted_schema(TEMPLATE, slots_of(phrase, "car"), known_of([phrase]), values)
    assert schema is not None
    assert "striped" in schema_grammar(schema)
