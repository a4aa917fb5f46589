"""Tables and JSON are made of rows directly; both are held against what pydantic's records give."""

import json
import math
import typing
from types import UnionType
from typing import Any, Literal, Union

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from schemas import rows
from schemas.arrow import arrow_schema, to_table
from schemas.dataset import ExportRecord, ExportRegion, ShardStats, TableRecord
from schemas.json_text import json_bytes
from schemas.rows import Record

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
_FLOATS = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, 1e-4, 9.999e-5, 1e15, 9999999999999998.0, 1e16, 1e22, 5e-324, 1 / 3, math.inf, -math.inf, math.nan]),
)


class Nested(Record):
    """What no row has yet: models that may be missing, in dicts and in tuples, and floats in all of them."""

    maybe: ExportRegion | None
    some: list[ExportRegion] | None
    named: dict[str, rows.Attribute]
    pair: tuple[rows.Attribute, rows.Attribute]
    figures: dict[str, float]
    numbers: list[tuple[float, float] | None]


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, UnionType):
        return st.one_of(*(st.none() if part is type(None) else values_of(part) for part in arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        return st.lists(values_of(arguments[0]), max_size=3).map(origin)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=2)
    if issubclass(annotation, BaseModel):
        return st.builds(annotation, **{name: values_of(field.annotation) for name, field in annotation.model_fields.items()})
    return {str: _TEXT, float: _FLOATS, bool: st.booleans(), int: st.integers(-(2**63), 2**63 - 1)}[annotation]


@pytest.mark.parametrize("model", [rows.CorpusRow, rows.GroundRow, rows.VerifyRow, TableRecord, ShardStats, Nested])
@settings(deadline=None, max_examples=8)
@given(st.data())
def test_a_table_of_rows_is_the_table_of_their_records(model: type[Record], data: st.DataObject) -> None:
    made = data.draw(st.lists(values_of(model), max_size=3))
    table, records = to_table(made, model), [row.model_dump() for row in made]
    table.validate(full=True)
    expected = pa.Table.from_pylist(records, schema=arrow_schema(model))
    assert table.schema == expected.schema
    assert repr(table.to_pylist()) == repr(expected.to_pylist())  # by repr, NaN is itself


@pytest.mark.parametrize("model", [ExportRecord, Nested])
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_record_as_json_is_what_the_standard_library_writes(model: type[Record], data: st.DataObject) -> None:
    record = data.draw(values_of(model))
    content = record.model_dump()
    assert json_bytes(record) == json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    some = [*model.model_fields][:2]
    assert json_bytes(record, some) == json.dumps({name: content[name] for name in some}, sort_keys=True, ensure_ascii=False).encode()


def test_a_text_that_utf_8_cannot_hold_is_no_json() -> None:
    with pytest.raises(UnicodeEncodeError):
        json_bytes(rows.Attribute(type="colour", value="\ud800"))
