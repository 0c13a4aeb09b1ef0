"""Permits: how many each request gets, and which are refused."""

import asyncio

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
        (8, 0, 9, 4),  # more than all permits: half, in parts
        (8, 3, 6, 4),  # more than are free, and more than half
        (8, 5, 4, 0),  # a retry finds room for all of it
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
        (16, 12, 4, 4),  # a quarter is the most for any request
        (16, 0, 5, 4),
        (16, 0, 100, 4),
        (16, 8, 100, 4),  # the third bulk request, which leaves a quarter
        (16, 9, 5, 0),
        (3, 0, 2, 1),
        (3, 1, 2, 1),
        (3, 2, 2, 0),
        (1, 0, 2, 1),  # no request is too large for an idle service
        (1, 1, 2, 0),
    ],
)
def test_bulk_gets_a_quarter_and_leaves_one(total: int, held: int, asked: int, share: int) -> None:
    permits = Permits(total)
    with permits.taken(held):
        assert permits.share(asked, bulk=True) == share


def test_a_refused_request_takes_no_permit_and_a_failed_one_gives_back() -> None:
    permits = Permits(4)
    with permits.taken(4), pytest.raises(Overloaded), permits.taken(1):
        pass
    assert permits.free == 4
    with pytest.raises(ValueError, match="broken"), permits.taken(3):
        raise ValueError("broken")
    assert permits.free == 4


@pytest.mark.parametrize(("held", "asked", "more"), [(1, 7, 7), (2, 7, 4), (5, 4, 0), (8, 1, 0)])
def test_a_holder_gets_more_permits_or_continues_without(held: int, asked: int, more: int) -> None:
    permits = Permits(8)
    taken = permits.taken(held)
    with taken:
        assert taken.more(asked) == held + more
        assert permits.free == 8 - held - more
        taken.hold(1)
        assert permits.free == 7
        taken.hold(20)
        assert permits.free == 8 - held - more
    assert permits.free == 8


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
def test_admitted_requests_fit_and_smaller_ones_would_too(
    total: int, taken: int, count: int, *, bulk: bool
) -> None:
    permits = Permits(total)
    permits.held += min(taken, total)
    share = permits.share(count, bulk=bulk)
    assert 0 <= share <= min(count, permits.free)
    assert share == count or share <= max(1, total // 2)
    if share:
        assert all(permits.share(fewer, bulk=bulk) for fewer in range(1, count))
    assert Permits(total).share(count, bulk=bulk) > 0  # no request is too large for an idle service


def test_unneeded_permits_are_given_back_and_taken_again() -> None:
    permits = Permits(8)
    held = permits.taken(6)
    with held:
        held.hold(2)
        assert permits.free == 6
        with permits.taken(6):
            held.hold(20)  # never more than were granted; other requests keep theirs
            assert permits.free == -4
            with pytest.raises(Overloaded), permits.taken(1):
                pass
            held.hold(0)
            assert permits.free == 2
    assert permits.free == 8


def two(total: int) -> list[Permits]:
    """The permits of two models."""
    among: list[Permits] = []
    for _ in range(2):
        Permits(total, among)
    return among


def test_a_quarter_is_kept_for_each_of_two_models() -> None:
    flooded, other = two(8)
    assert (flooded.free, other.free) == (6, 6)
    with flooded.taken(6):
        assert (flooded.free, other.free) == (0, 2)
        with pytest.raises(Overloaded), flooded.taken(1):
            pass
        with other.taken(2):
            assert (flooded.free, other.free) == (0, 0)
            assert flooded.taken_by_all == other.taken_by_all == 8
    assert (flooded.free, other.free) == (6, 6)


@pytest.mark.parametrize(
    ("held", "asked", "share"),
    [
        (0, 6, 6),
        (0, 100, 4),  # half of all
        (5, 100, 2),  # its reserve
        (6, 100, 2),
        (6, 1, 1),
    ],
)
def test_no_request_to_a_model_is_refused_because_of_another(
    held: int, asked: int, share: int
) -> None:
    flooded, other = two(8)
    with flooded.taken(held):
        assert other.share(asked) == share


def test_too_few_permits_for_reserves_are_open_to_all() -> None:
    one, other = two(1)
    with one.taken(1):
        assert other.share(1) == 0
    assert other.share(1) == 1


@given(
    total=st.integers(1, 40),
    taken=st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=20),
)
def test_models_together_never_have_more_than_all(
    total: int, taken: list[tuple[bool, int]]
) -> None:
    models = two(total)
    for place, count in taken:
        share = models[place].share(count)
        models[place].held += share
        assert models[0].taken_by_all <= total
        assert all(one.free >= 0 for one in models)
    for one in models:
        assert one.held or one.share(1) or total < 4


class Waiter:
    """A request that waits for permits, and holds them until the test ends it."""

    def __init__(self, permits: Permits, count: int = 1) -> None:
        self.share = 0
        self._ended = asyncio.Event()
        self.task = asyncio.create_task(self._hold(permits, count))

    async def _hold(self, permits: Permits, count: int) -> None:
        async with permits.waited(count) as self.share:
            await self._ended.wait()

    async def end(self) -> None:
        self._ended.set()
        await self.task
        await turns()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_waiting_requests_are_served_in_order_and_before_others() -> None:
    async def scenario() -> None:
        permits = Permits(4)
        with permits.taken(4):
            first, second = Waiter(permits), Waiter(permits, 2)
            await turns()
            assert (first.share, second.share) == (0, 0)
        await turns()
        assert (first.share, second.share, permits.held) == (1, 2, 3)
        await first.end()
        await second.end()
        assert permits.free == 4

    asyncio.run(scenario())


def test_waiting_requests_hold_three_quarters_at_most() -> None:
    async def scenario() -> None:
        permits = Permits(8)
        each = [Waiter(permits) for _ in range(9)]
        await turns()
        assert [one.share for one in each] == [1] * 6 + [0] * 3
        with permits.taken(2) as share:
            assert share == 2
        assert permits.free == 2
        await each[0].end()
        assert each[6].share == 1
        for one in each[1:]:
            await one.end()
        assert permits.free == 8

    asyncio.run(scenario())


@pytest.mark.parametrize(("free", "asked", "share"), [(8, 5, 5), (8, 9, 6), (3, 5, 3), (1, 5, 1)])
def test_one_that_waits_takes_what_is_free(free: int, asked: int, share: int) -> None:
    async def scenario() -> None:
        permits = Permits(8)
        with permits.taken(8 - free):
            one = Waiter(permits, asked)
            await turns()
            assert one.share == share
            await one.end()
        assert permits.free == 8

    asyncio.run(scenario())


def test_one_that_is_cancelled_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        permits = Permits(1)
        with permits.taken(1):
            waiting, next_one, last = Waiter(permits), Waiter(permits), Waiter(permits)
            await turns()
            waiting.task.cancel()
            await turns()
        # The permit was handed to this one, but it is cancelled before it runs.
        next_one.task.cancel()
        await turns()
        assert last.share == 1
        await last.end()
        assert permits.free == 1

    asyncio.run(scenario())


def test_a_waiting_model_gets_permits_that_another_gives_back() -> None:
    async def scenario() -> None:
        among: list[Permits] = []
        one, other = Permits(4, among), Permits(4, among)
        with one.taken(3):
            waiter, second = Waiter(other), Waiter(other)
            await turns()
            assert (waiter.share, second.share) == (1, 0)
        await turns()
        assert second.share == 1
        await waiter.end()
        await second.end()
        assert one.taken_by_all == 0

    asyncio.run(scenario())


def test_requests_that_got_permits_are_counted_for_all_models() -> None:
    among: list[Permits] = []
    first, second = (Permits(4, among) for _ in range(2))
    for permits in (first, second, second):
        with permits.taken(1):
            pass
    assert (first.entered_by_all, second.entered_by_all, first.entered) == (3, 3, 1)
    alone = Permits(1)
    with alone.taken(1), pytest.raises(Overloaded), alone.taken(1):
        pass
    assert alone.entered_by_all == 1
