"""Numbers as serde_json reads them: which are integers, how they are rounded, which are refused."""

import math
from typing import Any

import pytest

from app.api.body import numerals
from app.api.shapes.faults import Fault


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"-1", -1),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", float(2**64)),  # 64 bits do not hold it
        (b"-9223372036854775808", -(2**63)),
        (b"-9223372036854775809", float(-(2**63))),
        (b"-0", -0.0),
        (b"12.0", 12.0),
        (b"1e2", 100.0),
        (b"25e-1", 2.5),
        (b"1e-400", 0.0),
        (b"0e99999999999", 0.0),
    ],
)
def test_a_number_has_its_value_and_its_type(text: bytes, value: Any) -> None:
    found, end = numerals.read(b"[" + text + b"]", 1)
    assert (type(found), found, end) == (type(value), value, 1 + len(text))
    assert math.copysign(1, found) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        (b"-", "EOF while parsing a value", 1),
        (b"01", "invalid number", 2),
        (b"-a", "invalid number", 2),
        (b"1.", "EOF while parsing a value", 2),
        (b"1.x", "invalid number", 3),
        (b"1e+", "EOF while parsing a value", 3),
        (b"1e999", "number out of range", 5),
        (b"1e99999999999", "number out of range", 12),
    ],
)
def test_an_invalid_number_is_refused_at_its_byte(text: bytes, message: str, at: int) -> None:
    with pytest.raises(Fault) as caught:
        numerals.read(text, 0)
    assert (caught.value.message, caught.value.at, caught.value.syntax) == (message, at, True)


def test_an_ignored_number_may_have_any_size() -> None:
    assert numerals.skip(b"1e99999999999,", 0) == 13
    with pytest.raises(Fault, match="invalid number"):
        numerals.skip(b"1.", 0)
