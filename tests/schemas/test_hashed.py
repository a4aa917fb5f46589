"""A field that is added later changes no fingerprint until a user sets it."""

from collections.abc import Mapping

import pytest
from pydantic import BaseModel

from schemas.hashed import added, former_names, hashed, renamed


class Inner(BaseModel):
    words: tuple[str, ...] = ()
    limit: int | None = added(None, before=None, description="Of words.")


class Outer(BaseModel):
    size: int = 3
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = {}
    method: str = added("new", before="old")


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (Outer(method="old"), {"size": 3, "inner": {"words": []}, "many": [], "named": {}}),
        (Outer(), {"size": 3, "inner": {"words": []}, "many": [], "named": {}, "method": "new"}),
        (Outer(method="old", inner=Inner(limit=2)), {"size": 3, "inner": {"words": [], "limit": 2}, "many": [], "named": {}}),
        (
            Outer(method="old", many=(Inner(), Inner(limit=0)), named={"a": Inner(words=("b",))}),
            {"size": 3, "inner": {"words": []}, "many": [{"words": []}, {"words": [], "limit": 0}], "named": {"a": {"words": ["b"]}}},
        ),
    ],
)
def test_an_added_field_is_left_out_where_it_says_what_was_true_before(model: Outer, content: dict[str, object]) -> None:
    assert hashed(model) == content


def test_a_field_that_is_never_hashed_is_left_out_too() -> None:
    assert hashed(Outer(method="old"), without={"inner", "many", "named"}) == {"size": 3}


class Named(BaseModel):
    first: int = 1
    min_score: float = renamed(0.5, was="floor", ge=0)


def test_a_renamed_field_is_hashed_by_its_former_name() -> None:
    assert hashed(Named()) == {"first": 1, "floor": 0.5}
    assert hashed(Named(), without={"min_score"}) == {"first": 1}
    assert former_names(Named) == {"floor": "min_score"}


def test_an_added_field_keeps_its_default_and_its_description() -> None:
    assert Outer().method == "new"
    assert Inner.model_fields["limit"].description == "Of words."
