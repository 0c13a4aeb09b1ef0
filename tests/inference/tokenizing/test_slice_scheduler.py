"""SliceScheduler: which slice is next, that none starves, and slices of clients that have gone."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.tokenizing.slice_scheduler import TURN_OF_THE_OLDEST, SliceScheduler, sliced

MakeTurns = Callable[[int], SliceScheduler]


@pytest.fixture
def make_turns() -> Iterator[MakeTurns]:
    """A factory of threads: a number for slices of any size, and one for small slices."""
    made: list[SliceScheduler] = []

    def make(threads: int) -> SliceScheduler:
        made.append(SliceScheduler(threads, "turn"))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Gate:
    """A call that blocks until the test opens it."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.open.wait(60)


async def begun(
    turns: SliceScheduler, *, is_small: bool = True
) -> tuple[Gate, "asyncio.Task[None]"]:
    """Block a thread with a slice; return when it has begun."""
    gate = Gate()
    task = asyncio.create_task(turns.run(gate, left=1, is_small=is_small))
    await asyncio.to_thread(gate.begun.wait, 60)
    return gate, task


async def in_line(*coroutines: Coroutine[Any, Any, Any]) -> "list[asyncio.Task[Any]]":
    """Queue slices in this order."""
    tasks = []
    for coroutine in coroutines:
        tasks.append(asyncio.create_task(coroutine))
        await asyncio.sleep(0)
    return tasks


def order(turns: SliceScheduler, lefts: list[int]) -> list[int]:
    """Return the order in which waiting slices run, by the tokens that they still need."""
    done: list[int] = []

    async def scenario() -> None:
        gate, task = await begun(turns)
        calls = [partial(done.append, left) for left in lefts]
        tasks = await in_line(
            *(
                turns.run(call, left=left, is_small=True)
                for left, call in zip(lefts, calls, strict=True)
            )
        )
        gate.open.set()
        await asyncio.gather(task, *tasks)

    asyncio.run(scenario())
    return done


def test_the_request_that_needs_least_is_next(make_turns: MakeTurns) -> None:
    assert order(make_turns(0), [300, 100, 200]) == [100, 200, 300]


def test_the_first_of_equal_slices_is_next(make_turns: MakeTurns) -> None:
    turns, done = make_turns(0), list[int]()

    async def scenario() -> None:
        gate, task = await begun(turns)
        calls = [partial(done.append, place) for place in range(3)]
        tasks = await in_line(*(turns.run(call, left=5, is_small=True) for call in calls))
        gate.open.set()
        await asyncio.gather(task, *tasks)

    asyncio.run(scenario())
    assert done == [0, 1, 2]


def test_each_fourth_turn_is_the_one_that_waits_longest(make_turns: MakeTurns) -> None:
    lefts = [900, *range(1, 9), 800]
    # The gate had the first turn; every fourth turn is the oldest slice's.
    assert order(make_turns(0), lefts) == [1, 2, 900, 3, 4, 5, 6, 7, 8, 800]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_no_slice_waits_for_more_than_four_times_the_queue(lefts: list[int]) -> None:
    """However many come later: here as many short ones as there are turns."""
    turns = SliceScheduler(0, "turn")
    turn_of: dict[int, int] = {}

    async def scenario() -> None:
        count = 0

        def note(place: int) -> None:
            nonlocal count
            turn_of[place] = count
            count += 1

        def later() -> None:
            nonlocal count
            count += 1

        gate, task = await begun(turns)
        waiting = await in_line(
            *(
                turns.run(partial(note, place), left=1_000 + left, is_small=True)
                for place, left in enumerate(lefts)
            )
        )
        floods = TURN_OF_THE_OLDEST * len(lefts)
        short = await in_line(*(turns.run(later, left=1, is_small=True) for _ in range(floods)))
        gate.open.set()
        await asyncio.gather(task, *waiting, *short)

    asyncio.run(scenario())
    turns.close()
    for place, turn in turn_of.items():
        assert turn <= TURN_OF_THE_OLDEST * (place + 1)


def test_a_small_slice_does_not_wait_for_a_large_one(make_turns: MakeTurns) -> None:
    async def scenario() -> tuple[str, bool]:
        turns = make_turns(1)
        gate, large = await begun(turns, is_small=False)
        second = (await in_line(turns.run(lambda: "large", left=1, is_small=False)))[0]
        found = await turns.run(lambda: "small", left=10**9, is_small=True)
        waits = not second.done()
        gate.open.set()
        await large
        assert await second == "large"
        return found, waits

    assert asyncio.run(scenario()) == ("small", True)


def test_a_large_slice_has_its_turn_whatever_small_ones_come(make_turns: MakeTurns) -> None:
    """Every fourth turn of its own thread; the other thread's turns do not count."""
    done: list[tuple[str, str]] = []

    def note(kind: str) -> None:
        done.append((threading.current_thread().name, kind))

    async def scenario() -> None:
        turns = make_turns(1)
        first, large = await begun(turns, is_small=False)  # the thread for any size is busy,
        second, small = await begun(turns)  # and so is the one for small slices
        calls = [partial(note, "large"), *[partial(note, "small")] * 100]
        tasks = await in_line(
            *(
                turns.run(call, left=1 if place else 1_000, is_small=place > 0)
                for place, call in enumerate(calls)
            )
        )
        first.open.set()
        second.open.set()
        await asyncio.gather(large, small, *tasks)

    asyncio.run(scenario())
    kinds = [kind for thread, kind in done if thread == "turn_0"]
    assert "large" in kinds[:TURN_OF_THE_OLDEST]
    assert all(kind == "small" for thread, kind in done if thread == "turn_1")


def test_a_slice_whose_caller_has_gone_is_dropped(make_turns: MakeTurns) -> None:
    done: list[str] = []

    async def scenario() -> None:
        turns = make_turns(0)
        gate, task = await begun(turns)
        gone, here = await in_line(
            turns.run(lambda: done.append("gone"), left=1, is_small=True),
            turns.run(lambda: done.append("here"), left=2, is_small=True),
        )
        gone.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(task, here)

    asyncio.run(scenario())
    assert done == ["here"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)])
def test_an_error_of_a_slice_reaches_its_caller_and_the_thread_goes_on(
    make_turns: MakeTurns, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    async def scenario() -> str:
        turns = make_turns(0)
        with pytest.raises(type(error)) as raised:
            await turns.run(fail, left=1, is_small=True)
        assert raised.value is error
        return await turns.run(lambda: "on", left=1, is_small=True)

    assert asyncio.run(scenario()) == "on"


def test_a_stuck_slice_is_detected(make_turns: MakeTurns) -> None:
    async def scenario() -> tuple[bool, float]:
        turns = make_turns(0)
        gate, task = await begun(turns)
        is_stuck = turns.stuck_seconds() > 0
        gate.open.set()
        await task
        return is_stuck, turns.stuck_seconds()

    is_stuck, afterwards = asyncio.run(scenario())
    assert is_stuck
    assert afterwards == 0.0


def test_slices_that_wait_at_the_end_are_failed(make_turns: MakeTurns) -> None:
    async def scenario() -> None:
        turns = make_turns(0)
        gate, task = await begun(turns)
        [waiting] = await in_line(turns.run(lambda: None, left=1, is_small=True))
        turns.close()
        with pytest.raises((asyncio.CancelledError, CancelledError)):
            await waiting
        with pytest.raises(RuntimeError):
            await turns.run(lambda: None, left=1, is_small=True)
        gate.open.set()
        await task

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sizes", "slices"),
    [
        ([], []),
        ([5], [(0, 1)]),
        ([99], [(0, 1)]),
        ([5, 5, 1], [(0, 2), (2, 3)]),
        ([1, 99, 1], [(0, 1), (1, 2), (2, 3)]),
        ([1, 1, 1, 1], [(0, 3), (3, 4)]),
        ([4, 4, 4, 4], [(0, 2), (2, 4)]),
    ],
)
def test_slices(sizes: list[int], slices: list[tuple[int, int]]) -> None:
    """Slices have a total of ten at most, and three items at most."""
    assert list(sliced(sizes, 10, 3)) == slices
