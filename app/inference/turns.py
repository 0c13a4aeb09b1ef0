"""Turns: threads that do the work of requests in slices, so that nobody waits for all of another's.

Whose slice is next is asked again before each one:

- the request that needs the least from here on comes first, so a short one never waits for a long
  body;
- each TURN_OF_THE_OLDEST-th slice is the one that has waited longest, so that of N that wait none
  waits for more than N times as many others: nothing starves;
- one thread takes none but small slices, so a short request does not even wait for the slice in
  hand of a text that cannot be cut.

A slice whose caller has gone is dropped when its turn comes.
"""

import asyncio
import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

TURN_OF_THE_OLDEST = 4


class _Slice:
    """A call that waits; it is left in the line where it is after another has found it."""

    __slots__ = ("call", "future", "is_taken", "left", "number")

    def __init__(self, call: Callable[[], Any], left: int, number: int) -> None:
        self.call = call
        self.left = left
        self.number = number
        self.future: Future[Any] = Future()
        self.is_taken = False

    @property
    def is_over(self) -> bool:
        """Whether it is not to be done any more."""
        return self.is_taken or self.future.cancelled()

    def __lt__(self, other: "_Slice") -> bool:
        return (self.left, self.number) < (other.left, other.number)


class _Line:
    """Slices that wait, found by what their requests still need, or by how long they wait."""

    def __init__(self) -> None:
        self._by_need: list[_Slice] = []
        self._by_age: deque[_Slice] = deque()

    def add(self, one: _Slice) -> None:
        heapq.heappush(self._by_need, one)
        self._by_age.append(one)

    def shortest(self) -> _Slice | None:
        while self._by_need and self._by_need[0].is_over:
            heapq.heappop(self._by_need)
        return self._by_need[0] if self._by_need else None

    def oldest(self) -> _Slice | None:
        while self._by_age and self._by_age[0].is_over:
            self._by_age.popleft()
        return self._by_age[0] if self._by_age else None

    def all(self) -> Sequence[_Slice]:
        return self._by_need


class Turns:
    """So many threads for slices of any size, and one for small ones."""

    def __init__(self, threads: int, name: str) -> None:
        self._lines = {True: _Line(), False: _Line()}  # of the small ones, and of the others
        self._change = threading.Condition()
        self._numbers = itertools.count()
        self._turn = 0
        self._is_closed = False
        self._began: dict[int, float] = {}  # when each thread that works began its slice
        self.last_finish = time.monotonic()
        for place in range(threads + 1):
            kinds = (True,) if place == threads else (True, False)
            threading.Thread(
                target=self._work, args=(kinds,), name=f"{name}_{place}", daemon=True
            ).start()

    async def run(self, call: Callable[[], T], *, left: int, is_small: bool) -> T:
        """What a slice yields; `left` is what its request needs from here on, in any one unit.

        Called on an event loop. Raises what the call raises; RuntimeError once it is closed.
        """
        one = _Slice(call, left, next(self._numbers))
        with self._change:
            if self._is_closed:
                raise RuntimeError("no turn is given any more")
            self._lines[is_small].add(one)
            self._change.notify_all()
        found: T = await asyncio.wrap_future(one.future)
        return found

    def stuck_seconds(self) -> float:
        """For how long the slice has been worked on that takes longest."""
        began = min(list(self._began.values()), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def close(self) -> None:
        """Give no more turns; who waits is cancelled."""
        with self._change:
            self._is_closed = True
            waiting = [one for line in self._lines.values() for one in line.all()]
            self._change.notify_all()
        for one in waiting:
            one.future.cancel()

    def _work(self, kinds: Sequence[bool]) -> None:
        thread = threading.get_ident()
        for one in self._taken(kinds):
            if not one.future.set_running_or_notify_cancel():
                continue
            self._began[thread] = time.monotonic()
            try:
                found = one.call()
            except BaseException as error:  # noqa: BLE001  # it is the caller's, whatever it is
                one.future.set_exception(error)
            else:
                one.future.set_result(found)
            del self._began[thread]
            self.last_finish = time.monotonic()

    def _taken(self, kinds: Sequence[bool]) -> Iterator[_Slice]:
        while True:
            with self._change:
                while (one := self._next(kinds)) is None:
                    if self._is_closed:
                        return
                    self._change.wait()
                one.is_taken = True
            yield one

    def _next(self, kinds: Sequence[bool]) -> _Slice | None:
        """Whose turn it is, of these kinds."""
        lines = [self._lines[kind] for kind in kinds]
        is_oldest = (self._turn + 1) % TURN_OF_THE_OLDEST == 0
        if is_oldest:
            found = [one for line in lines if (one := line.oldest()) is not None]
            one = min(found, key=lambda one: one.number, default=None)
        else:
            one = min((one for line in lines if (one := line.shortest()) is not None), default=None)
        self._turn += one is not None
        return one


def sliced(sizes: Sequence[int], most: int, most_items: int) -> Iterator[tuple[int, int]]:
    """Where each slice of some items begins and ends: at most so large together, and so many.

    An item that is larger is a slice by itself.
    """
    start = size = 0
    for place, one in enumerate(sizes):
        if place > start and (size + one > most or place - start == most_items):
            yield start, place
            start, size = place, 0
        size += one
    if start < len(sizes):
        yield start, len(sizes)
