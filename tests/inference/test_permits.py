"""Permits: who gets how many, and who is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Overloaded
from app.inference.permits import Permits


@pytest.mark.parametrize(
    ("total", "held", "asked", "share"),
    [
        (8, 0, 8, 8),
        (8, 3, 5, 5),
        (8, 0, 9, 4),  # more than there are: half, a part at a time
        (8, 3, 6, 4),  # more than are free, and more than half
        (8, 5, 4, 0),  # a later try finds room for all of it
        (8, 5, 100, 0),  # not even half is free
        (1, 0, 2, 1),
        (8, 8, 0, 0),
    ],
)
def test_a_request_gets_one_for_each_input_or_half_of_all(
    total: int, held: int, asked: int, share: int
) -> None:
    permits = Permits(total)
    with permits.taken(held):
        assert permits.share(asked) == share


def test_what_is_refused_takes_none_and_what_fails_gives_back() -> None:
    permits = Permits(4)
    with permits.taken(4), pytest.raises(Overloaded), permits.taken(1):
        pass
    assert permits.free == 4
    with pytest.raises(ValueError, match="broken"), permits.taken(3):
        raise ValueError("broken")
    assert permits.free == 4


def test_nothing_needs_no_permit() -> None:
    permits = Permits(1)
    with permits.taken(1), permits.taken(0) as share:
        assert share == 0


@given(total=st.integers(1, 600), asked=st.integers(1, 5000))
def test_no_request_is_too_large_for_an_idle_service(total: int, asked: int) -> None:
    assert 1 <= Permits(total).share(asked) <= min(total, asked)
