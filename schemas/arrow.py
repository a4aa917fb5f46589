"""Row types to Arrow tables and back. The Arrow schema is read off the pydantic model: one truth."""

import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, Union

import pyarrow as pa
from pydantic import BaseModel

from schemas.rows import Row
from schemas.text import storable

_SCALARS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
AnyRow = TypeVar("AnyRow", bound=Row)


def arrow_schema(row_type: type[BaseModel]) -> pa.Schema:
    """The Arrow schema of a row type: lists for lists, structs for nested models, maps for dicts."""
    return pa.schema([_field(name, field.annotation) for name, field in row_type.model_fields.items()])


def to_table(rows: Sequence[Row], row_type: type[Row]) -> pa.Table:
    """Rows as one table, in order. A text that UTF-8 cannot hold is written with escapes: it costs nobody its unit."""
    records, schema = [row.model_dump() for row in rows], arrow_schema(row_type)
    try:
        return pa.Table.from_pylist(records, schema=schema)
    except UnicodeEncodeError:
        return pa.Table.from_pylist([storable(record) for record in records], schema=schema)


def from_table(table: pa.Table, row_type: type[AnyRow]) -> list[AnyRow]:
    """The rows of a table that `to_table` made.

    Raises: pydantic.ValidationError where the table is of another type.
    """
    return [row_type.model_validate(record) for record in table.to_pylist(maps_as_pydicts="strict")]


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
