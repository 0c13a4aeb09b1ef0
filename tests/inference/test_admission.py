"""Permits: what a request gets of them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Overloaded
from app.inference.admission import Permits


@given(total=st.integers(1, 40), taken=st.integers(0, 40), count=st.integers(1, 100))
def test_what_is_admitted_fits_and_less_of_it_would_be_admitted_too(
    total: int, taken: int, count: int
) -> None:
    permits = Permits(total)
    permits.free -= min(taken, total)
    share = permits.share(count)
    assert 0 <= share <= min(count, permits.free)
    assert share == count or share <= max(1, total // 2)
    if share:
        assert all(permits.share(fewer) for fewer in range(1, count))
    assert Permits(total).share(count) > 0  # none is too large for an idle service


def test_permits_are_free_again_however_the_request_ends() -> None:
    permits = Permits(4)
    with contextlib.suppress(ValueError), permits.taken(3) as share:
        assert (share, permits.free) == (3, 1)
        raise ValueError("its own")
    assert permits.free == 4


def test_who_finds_too_few_permits_is_refused_and_takes_none() -> None:
    permits = Permits(4)
    with permits.taken(3):
        with pytest.raises(Overloaded), permits.taken(2):
            pytest.fail("there was one")
        assert permits.free == 1


def test_a_request_of_more_than_are_free_gets_half_of_all() -> None:
    permits = Permits(10)
    with permits.taken(100) as share:
        assert share == 5
    with permits.taken(0) as share:
        assert share == 0
