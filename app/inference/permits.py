"""Permits: how many inputs may be in the service at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Overloaded


class Permits:
    """How many inputs may be in the service at a time. Nothing waits for a permit.

    A request gets one for each of its inputs. One of more inputs than are free gets half of all
    permits, if so many are free, and keeps them to its end: its inputs are computed so many at a
    time. So no request is too large for ever, others find room beside it, and since nobody waits
    for a permit while holding some, no two wait for each other.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total

    def share(self, count: int) -> int:
        """How many permits a request of `count` inputs would get now; 0 where it is refused."""
        if count <= self.free:
            return count
        half = max(1, self.total // 2)
        return half if half < count and half <= self.free else 0

    @contextmanager
    def taken(self, count: int) -> Iterator[int]:
        """Hold the permits of a request of `count` inputs, and say how many they are.

        Raises: Overloaded when too few are free.
        """
        share = self.share(count)
        if count and not share:
            raise Overloaded
        self.free -= share
        try:
            yield share
        finally:
            self.free += share
