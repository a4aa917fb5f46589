"""A prompt may have come from anywhere: it reads what the stage tells it, and reaches nothing of Python."""

from pathlib import Path

import pytest

from prompts.loader import PromptError, load_prompt

REACHES = (
    "{{ caption.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('true').read() }}",
    "{{ regions.append('more') }}",
    "{{ self.__init__.__globals__ }}",
)


@pytest.mark.parametrize("text", REACHES)
def test_a_prompt_that_reaches_into_python_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "caption").mkdir()
    (tmp_path / "caption" / "v9.yaml").write_text(f'user: "{text}"\nanswer_schema: {{type: object}}\ndecoding: {{max_tokens: 8}}\n')
    prompt = load_prompt("caption", "v9", before=tmp_path)
    with pytest.raises(PromptError, match="caption/v9") as error:
        prompt.render({"caption": "a red car", "regions": ["a red car"]})
    assert "\n" not in str(error.value)
