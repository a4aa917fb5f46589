"""Prompts: the user's folder first, every shipped one valid, mistakes named."""

from pathlib import Path

import jsonschema
import pytest

from prompts.loader import PromptError, load_prompt

SHIPPED = sorted((path.parent.name, path.stem) for path in (Path(__file__).parents[2] / "prompts").glob("*/*.yaml"))


@pytest.mark.parametrize(("task", "version"), SHIPPED)
def test_every_shipped_prompt_loads_and_has_a_valid_answer_schema(task: str, version: str) -> None:
    prompt = load_prompt(task, version)
    jsonschema.Draft202012Validator.check_schema(prompt.answer_schema)
    assert prompt.user


def test_a_users_prompt_comes_before_ours(tmp_path: Path) -> None:
    (tmp_path / "caption").mkdir()
    mine = tmp_path / "caption" / "demo.yaml"
    mine.write_text("user: 'Say {{ alt }}'\nanswer_schema: {type: object}\ndecoding: {max_tokens: 9}\n")
    assert load_prompt("caption", "demo", tmp_path).render({"alt": "cheese"}) == (None, "Say cheese")
    assert load_prompt("region_caption", "demo", tmp_path).user == load_prompt("region_caption", "demo").user


def test_who_answered_a_prompt_is_no_part_of_what_is_hashed() -> None:
    prompt = load_prompt("caption", "v1")
    assert prompt.model_copy(update={"answered_by": ["some/model"]}).hashed() == prompt.hashed()
    assert prompt.model_copy(update={"user": "Else."}).hashed() != prompt.hashed()


def test_a_missing_version_names_the_closest() -> None:
    with pytest.raises(PromptError, match="did you mean 'demo'"):
        load_prompt("caption", "demos")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user: [", "not YAML"),
        ("user: Hi\n", "answer_schema"),
        ("user: '{{ alt'\nanswer_schema: {}\ndecoding: {max_tokens: 1}\n", "template error in line 1"),
        ("user: Hi\nanswer_schema: {}\ndecoding: {max_tokens: 0}\n", "max_tokens"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "caption").mkdir()
    (tmp_path / "caption" / "x.yaml").write_text(text)
    with pytest.raises(PromptError, match=said) as error:
        load_prompt("caption", "x", tmp_path)
    assert "\n" not in str(error.value)


def test_a_variable_that_the_stage_does_not_give_is_named(tmp_path: Path) -> None:
    (tmp_path / "caption").mkdir()
    (tmp_path / "caption" / "x.yaml").write_text("user: '{{ altt }}'\nanswer_schema: {}\ndecoding: {max_tokens: 1}\n")
    with pytest.raises(PromptError, match=r"altt.*known here: alt"):
        load_prompt("caption", "x", tmp_path).render({"alt": None})
