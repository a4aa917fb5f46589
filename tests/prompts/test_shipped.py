"""Every prompt of the package, rendered as the stages render it: no template is left, the schema has a grammar."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.config.read import load_config
from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import load_prompt
from schemas.rows import Attribute
from stages.caption import CaptionParams
from stages.engines.grammar import schema_grammar
from stages.negatives.edits import known_of
from stages.negatives.edits_schema import Slot, is_quoted, quoted_schema, slots_of
from stages.negatives.judging.questions import JudgeQuestion, filled_schema, has_options
from stages.negatives.verdicts import Claim
from stages.words.domain import ANY_DOMAIN, Domain
from stages.words.lexicon import TYPES_OF_VALUE

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((path.parent.name, path.stem) for folder in (ROOT / "prompts", DEMO_PROMPTS) for path in folder.glob("*/*.yaml"))
WRITTEN = [(task, version) for task, version in SHIPPED if version in ("v1", "v2", "v3")]
VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])
# What each stage gives; docs/domains.md lists the same.
VARIABLES: dict[str, dict[str, Any]] = {
    "caption": {"alt": None},
    "phrases": {"caption": "CAPTION"},
    "region_caption": {"noun": "widget", "phrase": "PHRASE", "others": ["gadget"], "padded": True},
    "hard_negative": {
        "phrase": "PHRASE",
        "noun": "widget",
        "attributes": [Attribute(type="colour", value="VALUE")],
        "slots": [Slot("colour", "VALUE")],
    },
    "verify": {"noun": "widget", "type": "object", "value": "gadget", "text": "TEXT", "options": "OPTIONS", "values": [], "outline": ""},
}


def footwear() -> Domain:
    params = load_config(ROOT / "configs" / "footwear" / "run.yaml").stages["caption"]
    assert isinstance(params, CaptionParams)
    return params.domain


def rendered(task: str, version: str, domain: Domain = ANY_DOMAIN, **changed: Any) -> str:
    system, user = load_prompt(task, version, after=DEMO_PROMPTS).render({**VARIABLES[task], "domain": domain, **changed})
    return f"{system or ''}\n{user}"


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from nodes(part)


def test_every_task_that_has_a_prompt_is_rendered_here() -> None:
    assert {task for task, _ in SHIPPED} == set(VARIABLES)


@pytest.mark.parametrize(("task", "version"), SHIPPED)
def test_nothing_of_a_template_is_left_in_a_rendered_prompt(task: str, version: str) -> None:
    for domain in (ANY_DOMAIN, footwear()):
        text = rendered(task, version, domain)
        assert not re.search(r"\{\{|\}\}|\{%|%\}|\{#|None|Undefined|  +\n", text.replace("}]}", ""))
        assert "\n\n\n" not in text


@pytest.mark.parametrize(("task", "version"), SHIPPED)
def test_schemas_bound_their_lists_and_no_string_by_its_length(task: str, version: str) -> None:
    for node in nodes(load_prompt(task, version, after=DEMO_PROMPTS).answer_schema):
        assert "maxLength" not in node
        assert "maxItems" in node or node.get("type") != "array"
        assert node.get("additionalProperties") is False or node.get("type") != "object"
        assert set(node.get("required", node.get("properties", {}))) == set(node.get("properties", {}))


@pytest.mark.parametrize(("task", "version"), SHIPPED)
def test_schemas_have_a_grammar(task: str, version: str) -> None:
    pytest.importorskip("xgrammar")
    schema = load_prompt(task, version, after=DEMO_PROMPTS).answer_schema
    if is_quoted(schema):
        phrase = "a small red widget with a metal lid"
        filled = quoted_schema(schema, slots_of(phrase, "widget"), known_of([phrase]), "open")
        assert filled is not None
        assert '\\"red\\"' in schema_grammar(filled)
        schema = filled
    if has_options(schema):
        schema = filled_schema(schema, JudgeQuestion((Claim(0, "colour", "red"), Claim(0, "colour", "blue"))))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "root ::=" in schema_grammar(schema)


@pytest.mark.parametrize(("task", "version"), WRITTEN)
def test_a_prompt_names_each_field_of_its_answer_and_claims_no_model(task: str, version: str) -> None:
    prompt, text = load_prompt(task, version), rendered(task, version)
    assert all(f'"{name}"' in text for node in nodes(prompt.answer_schema) for name in node.get("properties", {}) if name != "answers")
    assert all((ROOT / claim.rpartition(": ")[2]).is_file() for claim in prompt.answered_by), "who answered, and where that is kept"
    assert ("JSON" in text) == (prompt.parts is None)
    assert prompt.parts is None or f"\n{prompt.parts.separator}\n" in text


@pytest.mark.parametrize(("task", "version"), WRITTEN)
def test_no_value_stands_in_a_prompt_as_an_example(task: str, version: str) -> None:
    """Small models copy an example's words: a colour in the prompt is a colour in the data."""
    words = set(re.findall(r"[a-z-]+", rendered(task, version).lower()))
    # Words that are values in some places ("a text print", "light blue") and ordinary words where prompts have them.
    ordinary = {"plain", "pattern", "text", "letters", "light", "check"}
    assert words & (TYPES_OF_VALUE["colour"] | TYPES_OF_VALUE["material"] | TYPES_OF_VALUE["pattern"]) - ordinary == set()


@pytest.mark.parametrize(("task", "version"), [pair for pair in WRITTEN if pair[0] in ("caption", "region_caption")])
def test_a_domains_words_reach_the_captioner(task: str, version: str) -> None:
    text = rendered(task, version, footwear())
    assert all(word in text for word in ("Product photographs of footwear", "nubuck", "toe cap", "A pair is one thing"))
    assert "nubuck" not in rendered(task, version)


@VERSIONS
def test_a_domains_words_are_what_the_writer_draws_new_ones_from(version: str) -> None:
    text = rendered("hard_negative", version, footwear())
    assert "For material the new word is one of: smooth leather, patent leather, suede, nubuck" in text
    assert "For object the new word is one of: sneaker" in text


@VERSIONS
def test_a_domains_nouns_reach_the_reader_of_phrases(version: str) -> None:
    text = rendered("phrases", version, footwear())
    assert "List these too: side, front, detail, sneaker" in text
    assert "Never list: price, shadow, reflection, model" in text


@VERSIONS
def test_a_region_is_asked_for_the_domains_attribute_types_only(version: str) -> None:
    assert "transparency, size" in rendered("region_caption", version)
    assert "transparency" not in rendered("region_caption", version, footwear())


@VERSIONS
def test_a_regions_question_does_not_tell_what_the_caption_said_of_it(version: str) -> None:
    assert "PHRASE" not in rendered("region_caption", version)
    assert 'the noun "widget"' in rendered("region_caption", version)


@pytest.mark.parametrize("version", [version for task, version in WRITTEN if task == "caption"])
def test_alt_text_is_shown_only_where_there_is_some(version: str) -> None:
    assert "The page" not in rendered("caption", version)
    assert 'says: "a fine day"' in rendered("caption", version, alt="a fine day")


@VERSIONS
@pytest.mark.parametrize("kind", ["object", "colour", "material", "pattern", "transparency", "size", "state", "shape", "count"])
def test_the_judge_is_asked_about_the_value_and_the_options_stand_last(kind: str, version: str) -> None:
    first, second = (rendered("verify", version, type=kind, value="VALUE", options=options) for options in ("A, B", "B, A"))
    assert first.count("VALUE") >= 1
    assert "TEXT" not in first
    shared = first.partition("Options:")[0]
    assert second.startswith(shared)
    assert len(shared) > 0.85 * len(first)


@VERSIONS
def test_the_judge_is_not_told_the_noun_when_asked_for_the_kind(version: str) -> None:
    assert "widget" not in rendered("verify", version)
    assert "this thing is an onion." in rendered("verify", version, value="onion")


@VERSIONS
def test_the_judge_is_asked_about_a_whole_text_where_there_is_no_single_value(version: str) -> None:
    assert '"TEXT"' in rendered("verify", version, value="")
