"""Prompts: the user's folder first, every shipped one valid, mistakes named."""

from pathlib import Path

import jsonschema
import pytest

from pipeline.config.registry import DEMO_PROMPTS
from prompts.loader import PromptError, load_prompt

SHIPPED = sorted((path.parent.name, path.stem) for path in (Path(__file__).parents[2] / "prompts").glob("*/*.yaml"))

WHOLE = "user: Hi\nanswer_schema: {}\ndecoding: {max_tokens: 1}\n"
TEXTS = """user: Hi
answer_schema: {properties: {long: {type: string}, short: {type: string}, size: {type: integer}}, required: [long, short]}
decoding: {max_tokens: 1}
"""


def write_prompt(folder: Path, version: str, text: str) -> Path:
    path = folder / "caption" / f"{version}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


@pytest.mark.parametrize(("task", "version"), SHIPPED)
def test_every_shipped_prompt_loads_and_has_a_valid_answer_schema(task: str, version: str) -> None:
    prompt = load_prompt(task, version)
    jsonschema.Draft202012Validator.check_schema(prompt.answer_schema)
    assert prompt.user


def test_a_users_prompt_comes_before_ours_and_ours_before_those_of_a_later_folder(tmp_path: Path) -> None:
    template = "user: '{} {{{{ alt }}}}'\nanswer_schema: {{type: object}}\ndecoding: {{max_tokens: 9}}\n"
    for version in ("v1", "demo"):
        write_prompt(tmp_path, version, template.format("Say"))
        assert load_prompt("caption", version, tmp_path, DEMO_PROMPTS).render({"alt": "cheese"}) == (None, "Say cheese")
        assert load_prompt("region_caption", version, tmp_path, DEMO_PROMPTS) == load_prompt("region_caption", version, after=DEMO_PROMPTS)
    later = write_prompt(tmp_path / "later", "v1", template.format("Tell"))
    assert load_prompt("caption", "v1", after=later) == load_prompt("caption", "v1")


def test_who_answered_a_prompt_is_no_part_of_what_is_hashed() -> None:
    prompt = load_prompt("caption", "v1")
    assert prompt.model_copy(update={"answered_by": ["some/model"]}).hashed() == prompt.hashed()
    assert prompt.model_copy(update={"example": None}).hashed() == prompt.hashed()
    assert prompt.model_copy(update={"user": "Else."}).hashed() != prompt.hashed()


def test_a_prompt_without_parts_is_hashed_as_before_there_were_any() -> None:
    assert all("parts" not in load_prompt(task, version).hashed() for task, version in SHIPPED if (task, version) != ("caption", "v3"))
    prompt = load_prompt("caption", "v3")
    assert prompt.hashed()["parts"] == {"names": ["long", "short"], "separator": "---"}
    assert prompt.model_copy(update={"parts": None}).hashed() == {key: part for key, part in prompt.hashed().items() if key != "parts"}


def test_a_missing_version_names_the_closest() -> None:
    with pytest.raises(PromptError, match="did you mean 'demo'"):
        load_prompt("caption", "demos", after=DEMO_PROMPTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user: [", "not YAML"),
        ("user: Hi\n", "answer_schema"),
        ("user: '{{ alt'\nanswer_schema: {}\ndecoding: {max_tokens: 1}\n", "template error in line 1"),
        ("user: Hi\nanswer_schema: {}\ndecoding: {max_tokens: 0}\n", "max_tokens"),
        (f"{WHOLE}example: {{words: {{size: []}}, answers: [{{}}]}}\n", r"example\.words\.size"),
        (f"{WHOLE}example: {{answers: [{{edits: {{each_word_of: '{{phrase}}'}}}}]}}\n", r"answers\.0\.edits.*item: Field required"),
        (f"{TEXTS}parts: {{names: [long, shrt], separator: '--'}}\n", r"parts.*'shrt' is no string .*; there are: long, short"),
        (f"{TEXTS}parts: {{names: [long, short, size], separator: '--'}}\n", "'size' is no string"),
        (f"{TEXTS}parts: {{names: [short], separator: '--'}}\n", "answer_schema requires long too"),
        (f"{TEXTS}parts: {{names: [long, short, long], separator: '--'}}\n", r"parts\.names.*each name once"),
        (f"{TEXTS}parts: {{names: [], separator: '--'}}\n", r"parts\.names"),
        (f"{TEXTS}parts: {{names: [long, short], separator: ''}}\n", r"parts\.separator.*one line that is not empty"),
        (f"{TEXTS}parts: {{names: [long, short], separator: '- '}}\n", r"parts\.separator.*without white space around it"),
        (f'{TEXTS}parts: {{names: [long, short], separator: "-\\n-"}}\n', r"parts\.separator.*one line"),
        (f"{TEXTS}parts: {{names: [long, short]}}\n", r"parts\.separator"),
        (f"{WHOLE}parts: {{names: [long], separator: '--'}}\n", "there are: none"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message) as error:
        load_prompt("caption", "x", write_prompt(tmp_path, "x", text))
    assert "\n" not in str(error.value)


def test_a_variable_that_the_stage_does_not_give_is_named(tmp_path: Path) -> None:
    folder = write_prompt(tmp_path, "x", "user: '{{ altt }}'\nanswer_schema: {}\ndecoding: {max_tokens: 1}\n")
    with pytest.raises(PromptError, match=r"altt.*known here: alt"):
        load_prompt("caption", "x", folder).render({"alt": None})
