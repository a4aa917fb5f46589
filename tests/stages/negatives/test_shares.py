"""New values are dealt as often as things of the noun, or of its kind, have them in a sample."""

import random
from collections import Counter

from prompts.loader import load_prompt
from stages.negatives.edits import known_of
from stages.negatives.edits_schema import quoted_schema, slots_of
from stages.negatives.reciprocal import parse
from stages.negatives.shares import Shares, shares_of

SAMPLE = [("mug", f"a {colour} mug") for colour in ["white"] * 60 + ["green"] * 3] + [("vase", "a pink vase"), ("chair", "a wooden chair")]
SHARES = shares_of((noun, text, parse(text, noun, text, ())) for noun, text in SAMPLE)


def test_a_rare_noun_has_the_values_of_its_kind_and_no_others() -> None:
    assert set(SHARES.chances("colour", "vase", "blue")) == {"white", "green", "pink"}
    assert SHARES.chances("colour", "chair", "green")["white"] > 0  # of its kind nothing is known: what all things have
    assert SHARES.chances("object", "mug", "mug") == {"vase": 1 / 63}
    assert SHARES.chances("object", "vases", "vases") == {}  # the sample has no plural
    several = shares_of(
        (noun, text, None) for noun, text in [("foot", "bare feet"), ("foot", "a foot"), ("hand", "two hands"), ("nose", "a nose")]
    )
    assert several.chances("object", "hand", "hands") == {"feet": 1}  # in the number and the words of the sample
    assert several.chances("object", "nose", "nose") == {"foot": 1}


def test_as_many_edits_lead_from_a_value_to_another_as_lead_back_and_the_list_survives_its_file() -> None:
    template = load_prompt("hard_negative", "small").answer_schema
    shares, dealt = Shares.model_validate_json(SHARES.model_dump_json()), Counter[tuple[str, str]]()
    for seed in range(2100):  # twenty to one, as in the sample
        old = "green" if seed % 21 == 0 else "white"
        phrase, draw = f"a {old} mug", random.Random(seed)
        known = known_of([phrase], nouns=["mug"])
        schema = quoted_schema(template, slots_of(phrase, "mug"), known, "drawn", draw, lambda kind, old: shares.chances(kind, "mug", old))
        edits = schema["properties"]["edits"]["prefixItems"] if schema else []
        offered = [new for edit in edits for new in edit["properties"]["new"]["enum"]]
        assert set(offered) <= {"white", "green", "pink"} - {old}
        dealt.update((old, new) for new in offered)
    assert dealt["green", "white"] == 100
    assert 70 <= dealt["white", "green"] <= 140


def test_where_nothing_is_dealt_nobody_is_asked() -> None:
    template, phrase = load_prompt("hard_negative", "small").answer_schema, "a white mug"
    known, slots = known_of([phrase], nouns=["mug"]), slots_of(phrase, "mug")
    assert quoted_schema(template, slots, known, "drawn", random.Random(0), lambda *_: {"green": 0.0}) is None
