"""What of a model enters a fingerprint, and how a later version adds a field without changing any fingerprint. Hashes nothing."""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, Field

_BEFORE = "before"


def added(default: Any, *, before: Any, **options: Any) -> Any:
    """A field that a later version added. At `before`, the value at which all is as it was without it, it is left out of the hash.

    So an upgrade recomputes nothing by itself: a user's fingerprints change where the user sets the field to something else.
    `options` are those of pydantic's Field.
    """
    return Field(default, json_schema_extra={_BEFORE: before}, **options)


def hashed(model: BaseModel, without: Collection[str] = ()) -> dict[str, Any]:
    """The model as JSON would hold it, less the fields `without` and those that were added later and say what was true before.

    Models inside it, in lists and mappings too, are treated alike.
    """
    content = model.model_dump(mode="json", exclude=set(without))
    _leave_out(model, content)
    return content


def _leave_out(value: Any, dumped: Any) -> None:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            extra = field.json_schema_extra
            if name not in dumped:
                continue
            if isinstance(extra, dict) and _BEFORE in extra and getattr(value, name) == extra[_BEFORE]:
                del dumped[name]
            else:
                _leave_out(getattr(value, name), dumped[name])
    elif isinstance(value, dict):
        for inner, part in zip(value.values(), dumped.values(), strict=True):
            _leave_out(inner, part)
    elif isinstance(value, (list, tuple)):
        for inner, part in zip(value, dumped, strict=True):
            _leave_out(inner, part)
