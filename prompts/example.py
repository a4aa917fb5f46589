"""The example of a prompt: what a rehearsal answers with, as word lists and texts. Knows no engine; it is never hashed."""

from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

_STRICT = ConfigDict(frozen=True, extra="forbid")


class EachWordOf(BaseModel):
    """In place of a list: an item for each word of a text that a list knows."""

    model_config = _STRICT
    each_word_of: str = Field(description="The text. Where no list knows a word of it, its last word counts as one of the last list.")
    item: dict[str, str] = Field(
        description="Texts, in which {word} is the word, {list} its list's name, {other} another word of that list, {changed} the whole "
        "text with the other word in its place, {noun_phrase} what stands before the word back to its article, and the word."
    )
    num_items: int | None = Field(None, ge=1, description="The words in turn, so often; null: each word once.")


class WhereShown(BaseModel):
    """In place of a word: one or another, by whether a text fits what the image shows. Now and then a judge's doubts."""

    model_config = _STRICT
    where_shown: str = Field(description="The text. Of its words those count that a list of `shown` knows, or that a text of `shown` is.")
    then: str = Field(description="The answer where there are such words and all are what the image shows.")
    otherwise: str
    unsure: str | None = Field(None, description="The answer to 3 questions in 100; to 5 it is what the question names first of the two.")
    among: str | None = Field(
        None,
        description="A variable of the prompt that lists texts. Where it lists any, the answer is a list: those of them that the image "
        "shows, or `unsure` alone; now and then the first of them.",
    )


def _read(value: Any) -> Any:
    """A value of an answer, its two forms as models."""
    if isinstance(value, list):
        return [_read(part) for part in value]
    if not isinstance(value, dict):
        return value
    form = next((form for mark, form in _FORMS.items() if mark in value), None)
    if form is None:
        return {name: _read(part) for name, part in value.items()}
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


_FORMS: dict[str, type[BaseModel]] = {"each_word_of": EachWordOf, "where_shown": WhereShown}


class Example(BaseModel):
    """Answers whose texts name in braces what stands in them.

    A name is a list of `words` or `shown`, a variable of the prompt, or {question}: the prompt's text up to its first
    question mark. Of a list in an answer one to three items are taken.
    """

    model_config = _STRICT
    words: dict[str, Annotated[list[str], Field(min_length=1)] | str] = Field(
        default_factory=dict,
        description="Lists to draw from for each question; the n-th mention is the same word in each text of the answer. A text in "
        "place of a list is made of words of lists, anew for each mention.",
    )
    shown: dict[str, Annotated[list[str], Field(min_length=1)] | str] = Field(
        default_factory=dict,
        description="Lists of which an image shows one word each, whoever is asked about it and in whatever words; a text: what it shows.",
    )
    answers: list[dict[str, Annotated[Any, BeforeValidator(_read)]]] = Field(
        min_length=1, description="One is drawn. What it does not hold is made up from the schema."
    )

    @cached_property
    def lists(self) -> dict[str, list[str]]:
        """The lists of `words` and `shown` by name."""
        return {name: words for name, words in {**self.words, **self.shown}.items() if isinstance(words, list)}

    @cached_property
    def list_of(self) -> dict[str, str]:
        """Word -> the name of its list."""
        return {word: name for name, words in self.lists.items() for word in words}
