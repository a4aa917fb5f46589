"""A record as the standard library writes it as JSON, sorted and with letters as they are: the same bytes, sooner."""

import json
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel


class _OtherwiseWrittenError(Exception):
    """A number that the two write differently."""


def json_bytes(record: BaseModel, names: Sequence[str] | None = None) -> bytes:
    """One line of UTF-8: what `json.dumps` makes of the record, or of these fields, with `sort_keys` and without `ensure_ascii`.

    Raises: UnicodeEncodeError where a text holds what UTF-8 cannot.
    """
    values = vars(record)
    chosen = values if names is None else {name: values[name] for name in names}
    try:
        _check(record)
        return msgspec.json.format(_ENCODER.encode(chosen), indent=0)
    except (_OtherwiseWrittenError, OverflowError):
        return json.dumps(chosen, sort_keys=True, ensure_ascii=False, default=vars).encode()


def _check(record: Any) -> None:
    """Floats in plain digits are written alike; those with an exponent, and what is no number, are not."""
    values: dict[str, Any] = vars(record)
    for name, is_flat in _WITH_FLOATS[type(record)]:
        value = values[name]
        for leaf in (value if type(value) is tuple else (value,)) if is_flat else _leaves(value):
            if type(leaf) is float:
                if leaf and not 1e-4 <= abs(leaf) < 1e16:
                    raise _OtherwiseWrittenError
            elif isinstance(leaf, BaseModel):
                _check(leaf)


class _WithFloats(dict[type[BaseModel], tuple[tuple[str, bool], ...]]):
    """For each type the fields that may hold floats, in models of theirs too; whether they hold one, or a tuple of nothing else."""

    def __missing__(self, model: type[BaseModel]) -> tuple[tuple[str, bool], ...]:
        fields = [(name, field.annotation) for name, field in model.model_fields.items()]
        self[model] = tuple((name, not _is_nested(annotation)) for name, annotation in fields if _holds_floats(annotation))
        return self[model]


_WITH_FLOATS = _WithFloats()
_ENCODER = msgspec.json.Encoder(order="sorted", enc_hook=vars)


def _holds_floats(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(_holds_floats(field.annotation) for field in annotation.model_fields.values())
    return annotation is float or any(map(_holds_floats, typing.get_args(annotation)))


def _is_nested(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        return any(part is not float and part is not Ellipsis for part in parts)
    return typing.get_origin(annotation) in (list, dict) or any(map(_is_nested, parts))


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    else:
        yield value
