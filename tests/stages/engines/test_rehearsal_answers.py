"""What an example of a prompt makes of an answer: its words where they fit the schema, and any words where it has none."""

import json
import random
import re
from typing import Any

import jsonschema
import pytest
import yaml

from prompts.example import Example
from prompts.loader import Prompt, PromptError
from stages.answers import question
from stages.engines.base import Request
from stages.engines.rehearsal_answers import write_answer

SCENE = """
words:
  place: [left, middle, right]
  animal: [cat, dog, hen, cow, pig, fox]
  colour: [red, grey]
  one: a {colour} {animal}
answers:
  - {long: "{one} at the {place}, {one} at the {place}, {one} at the {place}", short: "{one} at the {place}", num: 3}
"""
LOOKS = {"colour": ["red", "grey", "black", "white"], "size": ["small", "large"]}
TEXT = {"type": "string"}


def prompt_with(example: str | dict[str, Any] | None, schema: dict[str, Any], user: str = "Say.") -> Prompt:
    content = yaml.safe_load(example) if isinstance(example, str) else example
    fields = {"task": "t", "version": "x", "user": user, "answer_schema": schema, "decoding": {"max_tokens": 99}}
    return Prompt.model_validate({**fields, "example": content})


def asked(example: str | dict[str, Any] | None, schema: dict[str, Any], *, draw: int = 0, shown: str = "", value: str = "") -> Any:
    """The parsed answer to one question about `value`."""
    answer = answered(prompt_with(example, schema), draw=draw, shown=shown, value=value)
    jsonschema.validate(answer, schema)
    return answer


def answered(prompt: Prompt, *, draw: int = 0, shown: str = "", value: str = "") -> Any:
    return json.loads(write_answer(question(prompt, {"value": value}, seed=0), random.Random(draw), shown))


def fields(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def test_the_nth_mention_is_the_same_in_each_text_and_lists_do_not_repeat_themselves() -> None:
    for draw in range(20):
        answer = asked(SCENE, fields(long=TEXT, short=TEXT, num={"type": "integer"}), draw=draw)
        first, *others = answer["long"].split(", ")
        assert answer["short"] == first
        assert answer["num"] == 3
        places = {mention.rpartition(" ")[2] for mention in (first, *others)}
        assert places == {"left", "middle", "right"}
        assert all(re.fullmatch(r"a (red|grey) (cat|dog|hen|cow|pig|fox) at the \w+", mention) for mention in (first, *others))


def test_what_the_example_leaves_out_or_the_schema_refuses_is_made_up() -> None:
    schema = fields(long=TEXT, tone={"enum": ["dry", "warm"]}, more={"type": "array", "items": TEXT, "minItems": 2, "maxItems": 4})
    answer = asked({"answers": [{"long": "As told.", "tone": "loud"}]}, schema)
    assert answer["long"] == "As told."
    assert answer["tone"] in ("dry", "warm")
    assert asked(None, schema)["long"]


def test_a_list_of_the_example_is_taken_in_its_order() -> None:
    schema = fields(parts={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 9})
    lists = {tuple(asked({"answers": [{"parts": ["a", "b", "c"]}]}, schema, draw=draw)["parts"]) for draw in range(30)}
    assert lists == {("a",), ("a", "b"), ("a", "b", "c")}


def test_whoever_is_asked_about_an_image_sees_the_same() -> None:
    says = {"shown": LOOKS, "answers": [{"text": "{size} and {colour}"}]}
    judges = {"shown": LOOKS, "answers": [{"answer": {"where_shown": "{value}", "then": "yes", "otherwise": "no"}}]}
    verdict = fields(answer={"enum": ["yes", "no"]})
    seen = set()
    for image in map(str, range(12)):
        size, _, colour = asked(says, fields(text=TEXT), shown=image, draw=int(image))["text"].split()
        seen.add((size, colour))
        for value in (*LOOKS["size"], *LOOKS["colour"]):
            assert asked(judges, verdict, value=value, shown=f"{image}@thing")["answer"] == ("yes" if value in (size, colour) else "no")
        assert asked(judges, verdict, value=f"a {size} {colour} thing", shown=image)["answer"] == "yes"
        assert asked(judges, verdict, value="unheard of", shown=image)["answer"] == "no"
    assert len(seen) > 3


def test_a_judge_doubts_now_and_then_and_goes_by_the_order_of_the_options() -> None:
    judges = {"shown": LOOKS, "answers": [{"answer": {"where_shown": "{question}", "then": "yes", "otherwise": "no", "unsure": "maybe"}}]}
    schema = fields(answer={"enum": ["yes", "no", "maybe"]})

    def ask(options: str) -> list[str]:
        prompt = prompt_with(judges, schema, f"Is it {{{{ value }}}}? {options}")
        return [answered(prompt, value="red", shown=str(i))["answer"] for i in range(600)]

    yes_first, no_first = ask("yes or no"), ask("no or yes")
    pairs = list(zip(yes_first, no_first, strict=True))
    assert 6 <= pairs.count(("maybe", "maybe")) <= 36
    assert 12 <= pairs.count(("yes", "no")) <= 60
    assert ("no", "yes") not in pairs
    assert pairs.count(("yes", "yes")) < pairs.count(("no", "no"))


WORDS = {"colour": ["red", "grey", "light blue"], "animal": ["cat", "dog"]}
EDIT = {"kind": "{list}", "from": "{word}", "to": "{other}", "whole": "{changed}"}
EDITS = {"words": WORDS, "answers": [{"edits": {"each_word_of": "{value}", "item": EDIT, "num_items": 6}}]}


def edits(schema: dict[str, Any], value: str = "a light blue cat with a red collar") -> list[dict[str, str]]:
    return list(asked(EDITS, fields(edits=schema), value=value)["edits"])


def test_each_known_word_of_a_text_is_changed_in_turn() -> None:
    made = edits({"type": "array", "items": fields(**{"kind": TEXT, "from": TEXT, "to": TEXT, "whole": TEXT})})
    assert [(edit["kind"], edit["from"]) for edit in made] == 2 * [("colour", "light blue"), ("animal", "cat"), ("colour", "red")]
    for edit in made:
        assert edit["to"] in WORDS[edit["kind"]]
        assert edit["whole"] == "a light blue cat with a red collar".replace(edit["from"], edit["to"])


def test_the_schema_says_which_words_may_be_changed_and_under_which_list() -> None:
    some = fields(kind={"enum": ["animal"]}, **{"from": {"enum": ["cat", "collar"]}, "to": TEXT})
    others = fields(kind={"enum": ["colour"]}, **{"from": TEXT, "to": {"enum": ["green"]}})
    made = edits({"type": "array", "items": {"anyOf": [some, others]}, "maxItems": 4})
    assert [(edit["kind"], edit["from"]) for edit in made] == [
        ("animal", "cat"),
        ("colour", "light blue"),
        ("animal", "collar"),
        ("colour", "red"),
    ]
    assert {edit["to"] for edit in made} <= {"dog", "cat", "green"}


def test_a_text_without_known_words_has_its_last_changed() -> None:
    (edit,) = edits({"type": "array", "items": fields(**{"kind": TEXT, "from": TEXT, "to": TEXT}), "maxItems": 1}, "a stray horse")
    assert (edit["kind"], edit["from"]) == ("animal", "horse")


def test_each_known_noun_of_a_caption_is_found_with_what_stands_before_it() -> None:
    item = {"text": "{noun_phrase}", "noun": "{word}"}
    example = {"words": {"noun": ["cat", "dog", "rug"]}, "answers": [{"phrases": {"each_word_of": "{value}", "item": item}}]}
    schema = fields(phrases={"type": "array", "items": fields(text=TEXT, noun=TEXT), "maxItems": 40})
    caption = "A small grey cat sleeps on the rug. Two dogs and a dog watch a red ball beside the cat."
    assert [(phrase["text"], phrase["noun"]) for phrase in asked(example, schema, value=caption)["phrases"]] == [
        ("A small grey cat", "cat"),
        ("the rug", "rug"),
        ("a dog", "dog"),
        ("the cat", "cat"),
    ]


def test_a_name_that_is_nothing_is_said() -> None:
    with pytest.raises(PromptError, match=r"\{colur\}.*known here: colour, question, size, value"):
        asked({"shown": LOOKS, "answers": [{"text": "{colur}"}]}, fields(text=TEXT))


def test_without_a_schema_the_first_text_is_the_answer() -> None:
    example = Example(words={"animal": ["cat"]}, answers=[{"text": "A {animal}."}])
    assert write_answer(Request("Say.", example=example), random.Random(0)) == "A cat."
