"""New values are dealt as often as things of the noun, or of its kind, have them in a sample."""

import random
from collections import Counter

from prompts.loader import load_prompt
from stages.negatives.edits import known_of
from stages.negatives.edits_schema import quoted_schema, slots_of
from stages.negatives.reciprocal import parse
from stages.negatives.shares import Shares, shares_of

SAMPLE = [("mug", f"a {colour} mug") for colour in ["white"] * 60 + ["green"] * 3] + [("vase", "a pink vase"), ("chair", "a wooden chair")]
SHARES = shares_of((noun, parse(text, noun, text, ())) for noun, text in SAMPLE)


def test_a_rare_noun_has_the_values_of_its_kind_and_no_others() -> None:
    assert set(SHARES.weights("colour", "vase", "blue")) == {"white", "green", "pink"}
    assert SHARES.weights("colour", "mug", "blue")["white"] > 10 * SHARES.weights("colour", "mug", "blue")["pink"]
    assert SHARES.weights("colour", "chair", "blue")["white"] > 0  # of its kind nothing is known: what all things have
    assert SHARES.weights("object", "mug", "mug") == {"vase": 1.0}


def test_values_are_dealt_by_the_sample_and_the_list_survives_its_file() -> None:
    template, phrase = load_prompt("hard_negative", "small").answer_schema, "a blue mug"
    shares, first = Shares.model_validate_json(SHARES.model_dump_json()), Counter[str]()
    for seed in range(60):
        known, draw = known_of([phrase], nouns=["mug"]), random.Random(seed)
        schema = quoted_schema(template, slots_of(phrase, "mug"), known, "drawn", draw, lambda kind, old: shares.weights(kind, "mug", old))
        assert schema is not None
        offered = [new for edit in schema["properties"]["edits"]["prefixItems"] for new in edit["properties"]["new"]["enum"]]
        assert set(offered) <= {"white", "green", "pink"}
        first[offered[0]] += 1
    assert first["white"] > 45
