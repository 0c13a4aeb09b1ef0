"""Slice scheduler: threads that do requests' work in slices, so that none waits for another's end.

A request has at most one slice here at a time. Each thread chooses its next slice:

- the request with the least work left comes first, so a short one never waits for a long body;
- every TURN_OF_THE_OLDEST-th slice of a thread is the one that has waited longest, so that with N
  waiting, none waits for more than N times as many: nothing starves;
- one thread takes only small slices, so a short request does not even wait for the current slice
  of a text that cannot be cut.

A slice whose caller has gone is dropped.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

TURN_OF_THE_OLDEST = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """A call that waits for its turn."""

    call: Callable[[], Any]
    left: int
    is_small: bool
    future: Future[Any] = field(default_factory=Future)


class SliceScheduler:
    """The given number of threads for slices of any size, and one more for small ones."""

    def __init__(self, threads: int, name: str) -> None:
        self.threads = threads
        self._waiting: list[_Slice] = []  # in order of arrival
        self._change = threading.Condition()
        self._is_closed = False
        self._began: dict[int, float] = {}  # when each busy thread began its slice
        for place in range(threads + 1):
            threading.Thread(
                target=self._work, args=(place == threads,), name=f"{name}_{place}", daemon=True
            ).start()

    async def run(self, call: Callable[[], T], *, left: int, is_small: bool) -> T:
        """Run a slice and return its result; `left` is its request's remaining work in any unit.

        Call on an event loop. Raises what the call raises; RuntimeError once closed.
        """
        one = _Slice(call, left, is_small)
        with self._change:
            if self._is_closed:
                raise RuntimeError("no turn is given any more")
            self._waiting.append(one)
            self._change.notify_all()
        outcome: asyncio.Future[T] = asyncio.wrap_future(one.future)
        try:
            return await outcome
        finally:
            del one, outcome  # an error would refer to itself

    def stuck_seconds(self) -> float:
        """Return for how many seconds the longest running slice has been at work."""
        began = min(list(self._began.values()), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def close(self) -> None:
        """Give no more turns, and cancel slices that wait."""
        with self._change:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
            self._change.notify_all()
        for one in waiting:
            one.future.cancel()

    def _work(self, takes_small_only: bool) -> None:
        thread = threading.get_ident()
        for one in self._taken(takes_small_only):
            if not one.future.set_running_or_notify_cancel():
                continue
            self._began[thread] = time.monotonic()
            found: Any = None
            fault: BaseException | None = None
            try:
                found = one.call()
            except BaseException as error:  # noqa: BLE001  # raised to the caller, whatever it is
                fault = error
            del self._began[thread]
            if fault is None:
                one.future.set_result(found)
            else:
                one.future.set_exception(fault)
            del one, found, fault  # keep nothing in memory while the thread waits

    def _taken(self, takes_small_only: bool) -> Iterator[_Slice]:
        """Yield the slices of one thread as their turns come."""
        turn = 0
        while True:
            turn += 1
            with self._change:
                while not (mine := self._for(takes_small_only)):
                    if self._is_closed:
                        return
                    self._change.wait()
                is_oldest_s = turn % TURN_OF_THE_OLDEST == 0
                one = mine[0] if is_oldest_s else min(mine, key=lambda one: one.left)
                self._waiting.remove(one)
            del mine
            yield one
            del one

    def _for(self, takes_small_only: bool) -> Sequence[_Slice]:
        """Drop cancelled slices; return those that such a thread may take, in order of arrival."""
        self._waiting = [one for one in self._waiting if not one.future.cancelled()]
        return [one for one in self._waiting if one.is_small or not takes_small_only]


def sliced(sizes: Sequence[int], most: int, most_items: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each slice of some items, bounded in total size and number.

    An item larger than `most` is a slice by itself.
    """
    start = size = 0
    for place, one in enumerate(sizes):
        if place > start and (size + one > most or place - start == most_items):
            yield start, place
            start, size = place, 0
        size += one
    if start < len(sizes):
        yield start, len(sizes)
