"""Alarm: a timer that is postponed far more often than it rings."""

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Calls a function once a time has come; one timer serves many changes of that time."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """Ring at that time of the loop's clock, and not before; `math.inf` means never."""
        self._due = due
        if due == math.inf or (self._timer is not None and self._timer.when() <= due):
            return  # a timer that fires too early is set again then
        self.stop()
        self._due = due
        self._timer = self._loop.call_at(due, self._look)

    def stop(self) -> None:
        """Do not ring, unless set again."""
        self._due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() >= self._due:
            self._due = math.inf
            self._ring()
        else:
            self.set(self._due)
