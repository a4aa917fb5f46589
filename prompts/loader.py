"""Loads a prompt: one YAML of a task and version, from the folders that are named and this one. Knows no stage and no engine."""

import difflib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from prompts.example import Example
from prompts.parts import Parts
from schemas.hashed import added, hashed


class PromptError(ValueError):
    """A prompt is missing or wrong; the message says which, where, and what to do."""


class PromptDecoding(BaseModel):
    """How answers to this prompt are drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_tokens: int = Field(gt=0, description="An answer that reaches this length is a failure.")
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)


class Prompt(BaseModel):
    """One version of one task's prompt. All of it but `answered_by`, `notes` and `example` is hashed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str
    version: str
    system: str | None = None
    user: str = Field(description="Jinja; an undefined variable is an error.")
    answer_schema: dict[str, Any] = Field(description="JSON schema of the answer.")
    parts: Parts | None = added(
        None, before=None, description="The answer is plain text with these parts, asked for without a grammar; null: it is JSON."
    )
    decoding: PromptDecoding
    answered_by: list[str] = Field(default_factory=list, description="Models whose answers to this prompt were looked at; empty: none yet.")
    notes: str | None = None
    example: Example | None = Field(None, description="What a rehearsal answers with; null: any words that fit the schema.")

    @field_validator("parts")
    @classmethod
    def _all_of_the_answer(cls, parts: Parts | None, info: ValidationInfo) -> Parts | None:
        if parts is None or "answer_schema" not in info.data:
            return parts
        fields, required = (info.data["answer_schema"].get(key) for key in ("properties", "required"))
        fields = fields.items() if isinstance(fields, dict) else ()
        strings = [name for name, field in fields if isinstance(field, dict) and field.get("type") == "string"]
        for name in parts.names:
            if name not in strings:
                raise ValueError(f"'{name}' is no string of answer_schema; there are: {', '.join(strings) or 'none'}")
        if missing := [name for name in required or () if name not in parts.names]:
            raise ValueError(f"answer_schema requires {', '.join(map(str, missing))} too")
        return parts

    def hashed(self) -> dict[str, Any]:
        """What enters a fingerprint."""
        return hashed(self, without={"answered_by", "notes", "example"})

    def render(self, variables: Mapping[str, Any]) -> tuple[str | None, str]:
        """The system and user texts.

        Raises: PromptError where the template names a variable that the stage does not give.
        """
        try:
            system = _template(self.system).render(variables) if self.system else None
            return system, _template(self.user).render(variables).strip()
        except jinja2.UndefinedError as error:
            raise PromptError(f"prompt {self.task}/{self.version}: {error}; known here: {', '.join(sorted(variables))}") from error
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise PromptError(f"prompt {self.task}/{self.version} does not render: {type(error).__name__}: {error}") from error


# A prompt reads what the stage tells it, and reaches nothing of Python. It makes plain text, not HTML.
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)


@lru_cache(maxsize=64)
def _template(text: str) -> jinja2.Template:
    """Compiled once: a judge's prompt is rendered tens of times an image, and compiling took longer than all else."""
    return _ENVIRONMENT.from_string(text)


def load_prompt(task: str, version: str, before: Path | None = None, after: Path | None = None) -> Prompt:
    """The prompt `task/version.yaml`: from the folder `before` where it has one, else from this package, else from `after`.

    Raises: PromptError where there is none, or it is not a prompt.
    """
    folders = [folder for folder in (before, Path(__file__).parent, after) if folder is not None]
    for folder in folders:
        path = folder / task / f"{version}.yaml"
        if path.is_file():
            return _parse(path, task, version)
    known = sorted({path.stem for folder in folders for path in (folder / task).glob("*.yaml")})
    close = difflib.get_close_matches(version, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known) or 'none'}"
    raise PromptError(f"no prompt '{version}' for the task {task} in {' or '.join(str(folder) for folder in folders)}; {hint}")


def _parse(path: Path, task: str, version: str) -> Prompt:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        prompt = Prompt.model_validate({"task": task, "version": version, **fields})
        for text in (prompt.system, prompt.user):
            if text:
                _ENVIRONMENT.parse(text)
        return prompt
    except yaml.YAMLError as error:
        raise PromptError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PromptError(f"{path} is not a prompt: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except TypeError as error:
        raise PromptError(f"{path} is not a prompt: it must hold user, answer_schema and decoding") from error
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"{path}: template error in line {error.lineno}: {error.message}") from error
