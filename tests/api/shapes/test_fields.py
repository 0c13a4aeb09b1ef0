"""Fields: the values that each kind takes, and serde's errors for others."""

from typing import Any

import pytest

from app.api.shapes.fields import (
    MAX_U64,
    ArrayOf,
    Field,
    Misfit,
    Reader,
    Shape,
    Struct,
    Variant,
    anything,
    boolean,
    holds_anything,
    string,
    unsigned,
)

SIDE = Variant("`Left` or `Right`", {"Left": "left"}, "Side")
INNER = Shape("Inner", Field("name", string))
OUTER = Shape("Outer", Field("inner", Struct(INNER)), Field("flag", boolean, default=None))


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        (boolean, True, True),
        (string, "a", "a"),
        (unsigned, MAX_U64, MAX_U64),
        (SIDE, "Left", "left"),
        (ArrayOf(unsigned), [1, 2], [1, 2]),
        (Struct(INNER), {"name": "a", "other": 1}, {"name": "a"}),
    ],
)
def test_a_value_that_fits_is_read(read: Reader, value: Any, found: Any) -> None:
    assert read(value) == found


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (boolean, 1, "invalid type: integer `1`, expected a boolean"),
        (boolean, None, "invalid type: null, expected a boolean"),
        (string, True, "invalid type: boolean `true`, expected a string"),
        (string, [], "invalid type: sequence, expected a string"),
        (unsigned, 12.0, "invalid type: floating point `12.0`, expected usize"),
        (unsigned, True, "invalid type: boolean `true`, expected usize"),
        (unsigned, -1, "invalid value: integer `-1`, expected usize"),
        (unsigned, 2**64, "invalid type: floating point `1.8446744073709552e19`, expected usize"),
        (SIDE, "Up", "unknown variant `Up`, expected `Left` or `Right`"),
        (SIDE, 1, "expected value"),
        (ArrayOf(string), {}, "invalid type: map, expected a sequence"),
        (Struct(INNER), "a", 'invalid type: string "a", expected struct Inner'),
    ],
)
def test_a_value_that_does_not_fit_is_refused(read: Reader, value: Any, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        read(value)
    assert caught.value.message == message


def test_a_misfit_has_the_path_to_it() -> None:
    with pytest.raises(Misfit) as caught:
        Shape("Asked", Field("texts", ArrayOf(Struct(INNER)))).read({"texts": [{"name": 1}]})
    assert caught.value.path == "texts[0].name"


def test_a_field_that_is_left_out_or_null_has_its_default() -> None:
    inner = {"inner": {"name": "a"}}
    assert OUTER.read(inner) == OUTER.read({**inner, "flag": None}) == {**inner, "flag": None}
    with pytest.raises(Misfit) as caught:
        OUTER.read({})
    assert caught.value.message == "missing field `inner`"


def test_a_shape_knows_every_name_in_it() -> None:
    assert OUTER.names == {"inner", "name", "flag"}
    assert OUTER.quoted_names == {"flag": b'"flag"', "inner": b'"inner"', "name": b'"name"'}


def test_names_of_fields_include_nested_ones() -> None:
    several = Shape("Several", Field("all", ArrayOf(Struct(OUTER))), Field("name", string))
    inner = {"name": "a", "other": {"name": "b"}}
    found = {"all": [{"inner": inner}, {"inner": 1, "flag": True}, "name"], "name": "c", "flag": 1}
    assert sorted(several.names_in(found)) == ["all", "flag", "inner", "inner", "name", "name"]


def test_only_what_is_not_looked_into_may_have_any_depth() -> None:
    assert holds_anything(anything)
    assert holds_anything(ArrayOf(ArrayOf(anything)))
    assert not holds_anything(ArrayOf(string))
