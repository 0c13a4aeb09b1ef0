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


@pytest.mark.parametrize(
    ("total", "held", "asked", "share"),
    [
        (16, 0, 4, 4),
        (16, 12, 4, 4),  # a quarter is no more than anybody gets
        (16, 0, 5, 4),
        (16, 0, 100, 4),
        (16, 8, 100, 4),  # the third of them, which leaves a quarter
        (16, 9, 5, 0),
        (3, 0, 2, 1),
        (3, 1, 2, 1),
        (3, 2, 2, 0),
        (1, 0, 2, 1),  # none is too large for an idle service
        (1, 1, 2, 0),
    ],
)
def test_bulk_gets_a_quarter_and_leaves_one(total: int, held: int, asked: int, share: int) -> None:
    permits = Permits(total)
    with permits.taken(held):
        assert permits.share(asked, bulk=True) == share


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


@given(
    total=st.integers(1, 40),
    taken=st.integers(0, 40),
    count=st.integers(1, 100),
    bulk=st.booleans(),
)
def test_what_is_admitted_fits_and_less_of_it_would_be_admitted_too(
    total: int, taken: int, count: int, *, bulk: bool
) -> None:
    permits = Permits(total)
    permits.free -= min(taken, total)
    share = permits.share(count, bulk=bulk)
    assert 0 <= share <= min(count, permits.free)
    assert share == count or share <= max(1, total // 2)
    if share:
        assert all(permits.share(fewer, bulk=bulk) for fewer in range(1, count))
    assert Permits(total).share(count, bulk=bulk) > 0  # none is too large for an idle service
