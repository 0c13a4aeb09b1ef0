"""Tests of records: what they keep of a frozen dataclass."""

from dataclasses import replace

import pytest

from app.records import record


@record()
class Point:
    """Two numbers."""

    x: int
    y: int = 0


@record(eq=False)
class Apart:
    """A number that is equal to no other."""

    x: int


def test_records_are_equal_by_value_unless_told_otherwise() -> None:
    assert Point(1) == Point(1, 0) != Point(1, 2)
    assert Apart(1) != Apart(1)


def test_a_record_has_its_fields_and_no_others() -> None:
    changed = replace(Point(1), y=3)
    assert (changed.x, changed.y) == (1, 3)
    with pytest.raises(AttributeError):
        changed.z = 1  # type: ignore[attr-defined]


def test_a_record_is_frozen_for_mypy() -> None:
    Point(1).x = 2  # type: ignore[misc]  # mypy complains of an ignore without an error
