"""What of a model enters a fingerprint, and how a later version adds or renames a field without changing any. Hashes nothing."""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, Field

_BEFORE, _WAS = "before", "was"


def added(default: Any, *, before: Any, **options: Any) -> Any:
    """A field that a later version added. At `before`, the value at which all is as it was without it, it is left out of the hash.

    So an upgrade recomputes nothing by itself: a user's fingerprints change where the user sets the field to something else.
    `options` are those of pydantic's Field.
    """
    return Field(default, json_schema_extra={_BEFORE: before}, **options)


def renamed(default: Any, *, was: str, **options: Any) -> Any:
    """A field that had the name `was` in earlier versions, by which it is still hashed, and may still be written in a configuration."""
    return Field(default, json_schema_extra={_WAS: was}, **options)


def former_names(model: type[BaseModel]) -> dict[str, str]:
    """Former name -> name, of the model's renamed fields."""
    extras = {name: field.json_schema_extra for name, field in model.model_fields.items()}
    return {str(extra[_WAS]): name for name, extra in extras.items() if isinstance(extra, dict) and _WAS in extra}


def hashed(model: BaseModel, without: Collection[str] = ()) -> dict[str, Any]:
    """The model as JSON would hold it, less the fields `without` and those that were added later and say what was true before.
    Renamed fields stand under their former names.

    Models inside it, in lists and mappings too, are treated alike.
    """
    content = model.model_dump(mode="json", exclude=set(without))
    _as_before(model, content)
    return content


def _as_before(value: Any, dumped: Any) -> None:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            extra = field.json_schema_extra
            if name not in dumped:
                continue
            if isinstance(extra, dict) and _BEFORE in extra and getattr(value, name) == extra[_BEFORE]:
                del dumped[name]
            else:
                _as_before(getattr(value, name), dumped[name])
        for was, name in former_names(type(value)).items():
            if name in dumped:
                dumped[was] = dumped.pop(name)
    elif isinstance(value, dict):
        for inner, part in zip(value.values(), dumped.values(), strict=True):
            _as_before(inner, part)
    elif isinstance(value, (list, tuple)):
        for inner, part in zip(value, dumped, strict=True):
            _as_before(inner, part)
