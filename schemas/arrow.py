"""Row types to Arrow tables and back. The Arrow schema is read off the pydantic model: one truth."""

import types
import typing
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, Literal, TypeVar, Union

import pyarrow as pa
from pydantic import BaseModel

from schemas.rows import Row
from schemas.text import storable

_SCALARS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
AnyRow = TypeVar("AnyRow", bound=Row)
_Column = Callable[[Sequence[Any]], pa.Array]
_Columns = Callable[[Sequence[BaseModel | None]], list[pa.Array]]


@lru_cache(maxsize=256)
def arrow_schema(row_type: type[BaseModel]) -> pa.Schema:
    """The Arrow schema of a row type: lists for lists, structs for nested models, maps for dicts."""
    return pa.schema([_field(name, field.annotation) for name, field in row_type.model_fields.items()])


def to_table(rows: Sequence[BaseModel], row_type: type[BaseModel]) -> pa.Table:
    """Rows as one table, in order. A text that UTF-8 cannot hold is written with escapes: it costs nobody its unit."""
    schema = arrow_schema(row_type)
    try:
        return pa.Table.from_arrays(_columns(row_type)(rows), schema=schema)
    except UnicodeEncodeError:
        return pa.Table.from_pylist([storable(row.model_dump()) for row in rows], schema=schema)


def from_table(table: pa.Table, row_type: type[AnyRow]) -> list[AnyRow]:
    """The rows of a table that `to_table` made.

    Raises: pydantic.ValidationError where the table is of another type.
    """
    return [row_type.model_validate(record) for record in table.to_pylist(maps_as_pydicts="strict")]


@lru_cache(maxsize=256)
def _columns(model: type[BaseModel]) -> _Columns:
    """What makes the columns of models' fields, of their values themselves: half of the time went into records of them."""
    columns = [(itemgetter(name), _column(field.annotation)) for name, field in model.model_fields.items()]
    nothing = dict.fromkeys(model.model_fields)

    def made(values: Sequence[BaseModel | None]) -> list[pa.Array]:
        records = [nothing if value is None else vars(value) for value in values]
        return [column([*map(read, records)]) for read, column in columns]

    return made


def _column(annotation: Any) -> _Column:
    inner, _ = _strip_none(annotation)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return _struct_column(inner)
    if typing.get_origin(inner) is list and _holds_models(typing.get_args(inner)[0]):
        return _list_column(inner)
    data_type = _data_type(inner)
    if _holds_models(inner):  # in a dict or a tuple, where no row type has any yet
        return lambda values: pa.array([*map(_dumped, values)], data_type)
    return lambda values: pa.array(values, data_type)


def _struct_column(model: type[BaseModel]) -> _Column:
    fields, columns = [*_data_type(model)], _columns(model)
    return lambda values: pa.StructArray.from_arrays(columns(values), fields=fields, mask=_nulls(values))


def _list_column(annotation: Any) -> _Column:
    data_type, items = _data_type(annotation), _column(typing.get_args(annotation)[0])

    def column(values: Sequence[Any]) -> pa.Array:
        lists = [value or () for value in values]
        offsets = pa.array(accumulate(map(len, lists), initial=0), pa.int32())
        return pa.ListArray.from_arrays(offsets, items([*chain.from_iterable(lists)]), type=data_type, mask=_nulls(values))

    return column


def _nulls(values: Sequence[Any]) -> pa.Array | None:
    is_null = [value is None for value in values]
    return pa.array(is_null) if any(is_null) else None


def _holds_models(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_holds_models(part) for part in typing.get_args(annotation))


def _dumped(content: Any) -> Any:
    if isinstance(content, BaseModel):
        return content.model_dump()
    if isinstance(content, dict):
        return {key: _dumped(value) for key, value in content.items()}
    return [*map(_dumped, content)] if isinstance(content, list | tuple) else content


def _field(name: str, annotation: Any) -> pa.Field:
    inner, nullable = _strip_none(annotation)
    return pa.field(name, _data_type(inner), nullable=nullable)


def _strip_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        rest = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False


def _data_type(annotation: Any) -> pa.DataType:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return pa.string()
    if origin is list:
        return pa.list_(_field("item", arguments[0]))
    if origin is tuple:
        return pa.list_(_field("item", arguments[0]), -1 if arguments[-1] is Ellipsis else len(arguments))
    if origin is dict:
        return pa.map_(_data_type(arguments[0]), _field("value", arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct([_field(name, field.annotation) for name, field in annotation.model_fields.items()])
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    raise TypeError(f"no Arrow type for {annotation!r}: use str, int, float, bool, list, tuple, dict or a model")
