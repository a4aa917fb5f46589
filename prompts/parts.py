"""Answers in plain text: texts in order, a line between each two, read as an object. Knows no engine, no stage and no schema."""

import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, field_validator

_FENCED = re.compile(r"```[^\n`]*\n((?:(?!```).)*)\n```", re.DOTALL)
_BLANK_LINE = re.compile(r"\n\s*\n")


class Parts(BaseModel):
    """The texts of an answer. Each is one paragraph: what a blank line sets apart is a greeting, a thought or a remark, not the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    names: tuple[str, ...] = Field(min_length=1, description="The answer's fields, in the order of their texts.")
    separator: str = Field(description="The line between two texts. Where it repeats one character, a longer line of it is one too.")

    @field_validator("names")
    @classmethod
    def _once_each(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"each name once, not {', '.join(names)}")
        return names

    @field_validator("separator")
    @classmethod
    def _one_line(cls, separator: str) -> str:
        if separator != separator.strip() or len(separator.splitlines()) != 1:
            raise ValueError(f"one line that is not empty, without white space around it, not {separator!r}")
        return separator

    def write(self, content: Mapping[str, str]) -> str:
        """The answer that holds these texts."""
        return f"\n{self.separator}\n".join(content[name] for name in self.names)

    def read(self, text: str) -> dict[str, str]:
        """The texts by name. A first or last line that separates nothing, code fences and a text's own name before it are left out.

        Raises: ValueError where there are more or fewer texts, one is empty or no paragraph, or another's name stands before it.
        """
        whole = _unfenced(text.replace("\r\n", "\n").replace("\r", "\n"))
        texts = [part.strip() for part in re.split(rf"^[^\S\n]*{self._line}[^\S\n]*$", whole, flags=re.MULTILINE)]
        if not texts[0]:
            del texts[0]
        if texts and not texts[-1]:
            del texts[-1]
        if len(texts) != len(self.names):
            raise ValueError(f"{len(texts)} texts between lines of {self.separator}, not {len(self.names)}: {', '.join(self.names)}")
        return {name: self._paragraph(name, part) for name, part in zip(self.names, texts, strict=True)}

    @property
    def _line(self) -> str:
        first, length = self.separator[0], len(self.separator)
        return f"{re.escape(first)}{{{length},}}" if self.separator == first * length else re.escape(self.separator)

    def _paragraph(self, name: str, part: str) -> str:
        text = re.sub(rf"^(\**){re.escape(name)}(?:\1:|:\1)", "", _unfenced(part), count=1, flags=re.IGNORECASE).strip()
        label = re.match(rf"\W*(?:{'|'.join(map(re.escape, self.names))})\W*:", text, re.IGNORECASE)
        if label:
            raise ValueError(f"{label[0]!r} stands before {name}")
        if not text or "```" in text or _BLANK_LINE.search(text):
            raise ValueError(f"{name} is {'not one paragraph' if text else 'empty'}")
        return text


def _unfenced(text: str) -> str:
    fenced = _FENCED.fullmatch(text.strip())
    return fenced[1].strip() if fenced else text.strip()
