"""Turns: threads that do the work of requests in slices, so that nobody waits for all of another's.

A request has one slice here at a time. Whose is next each thread asks before each one:

- the request that needs the least from here on comes first, so a short one never waits for a long
  body;
- each TURN_OF_THE_OLDEST-th of a thread's slices is the one that has waited longest, so that of N
  that wait none waits for more than N times as many: nothing starves;
- one thread takes none but small slices, so a short request does not even wait for the slice in
  hand of a text that cannot be cut.

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
    """A call that waits."""

    call: Callable[[], Any]
    left: int
    is_small: bool
    future: Future[Any] = field(default_factory=Future)


class Turns:
    """So many threads for slices of any size, and one for small ones."""

    def __init__(self, threads: int, name: str) -> None:
        self.threads = threads
        self._waiting: list[_Slice] = []  # as they came
        self._change = threading.Condition()
        self._is_closed = False
        self._began: dict[int, float] = {}  # when each thread that works began its slice
        for place in range(threads + 1):
            threading.Thread(
                target=self._work, args=(place == threads,), name=f"{name}_{place}", daemon=True
            ).start()

    async def run(self, call: Callable[[], T], *, left: int, is_small: bool) -> T:
        """What a slice yields; `left` is what its request needs from here on, in any one unit.

        Called on an event loop. Raises what the call raises; RuntimeError once it is closed.
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
            del one, outcome  # an error would lead to itself

    def stuck_seconds(self) -> float:
        """For how long the slice has been worked on that takes longest."""
        began = min(list(self._began.values()), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def close(self) -> None:
        """Give no more turns; who waits is cancelled."""
        with self._change:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
            self._change.notify_all()
        for one in waiting:
            one.future.cancel()

    def _work(self, takes_small_only: bool) -> None:  # a thread's argument
        thread = threading.get_ident()
        for one in self._taken(takes_small_only):
            if not one.future.set_running_or_notify_cancel():
                continue
            self._began[thread] = time.monotonic()
            found: Any = None
            fault: BaseException | None = None
            try:
                found = one.call()
            except BaseException as error:  # noqa: BLE001  # it is the caller's, whatever it is
                fault = error
            del self._began[thread]
            if fault is None:
                one.future.set_result(found)
            else:
                one.future.set_exception(fault)
            del one, found, fault  # nothing of it is kept while the thread waits

    def _taken(self, takes_small_only: bool) -> Iterator[_Slice]:
        """The slices of one thread, as their turns come."""
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
        """What waits for such a thread, as it came; who has gone waits no longer."""
        self._waiting = [one for one in self._waiting if not one.future.cancelled()]
        return [one for one in self._waiting if one.is_small or not takes_small_only]


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
