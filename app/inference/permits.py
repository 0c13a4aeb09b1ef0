"""Permits: how many inputs may be in the service at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Overloaded


class Permits:
    """How many inputs may be in the service at a time. Nothing waits for a permit.

    A request gets one permit for each of its inputs. If it has more inputs than permits are free,
    it gets half of all permits, if that many are free, and keeps them to its end: its inputs are
    computed that many at a time. So no request is too large for ever, others find room beside it,
    and since no request waits for a permit while holding some, there is no deadlock.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total

    def share(self, count: int) -> int:
        """Return how many permits a request of `count` inputs would get now; 0 if refused."""
        if count <= self.free:
            return count
        half = max(1, self.total // 2)
        return half if half < count and half <= self.free else 0

    @contextmanager
    def taken(self, count: int) -> Iterator[int]:
        """Hold the permits of a request of `count` inputs; yield how many they are.

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
