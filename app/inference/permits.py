"""Permits: how many inputs may be in the service at a time."""

from types import TracebackType

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

    def taken(self, count: int) -> "Taken":
        """Return a block that holds the permits of a request of `count` inputs.

        Entering it tells how many they are, or raises Overloaded when too few are free.
        """
        return Taken(self, count)


class Taken:
    """A block that holds permits; a class because every request enters one."""

    __slots__ = ("_count", "_granted", "_permits", "_share")

    def __init__(self, permits: Permits, count: int) -> None:
        self._permits = permits
        self._count = count
        self._granted = self._share = 0

    def __enter__(self) -> int:
        self._share = self._permits.share(self._count)
        if self._count and not self._share:
            raise Overloaded
        self._permits.free -= self._share
        self._granted = self._share
        return self._share

    def more(self, count: int) -> int:
        """Hold permits for `count` more inputs as well; return for how many in all.

        They are as many as a request of so many would get, or none: this one goes on with those
        that it holds.
        """
        share = self._permits.share(count)
        self._permits.free -= share
        self._share += share
        self._granted += share
        return self._granted

    def hold(self, count: int) -> None:
        """Hold permits for `count` inputs from now on, and no more than were granted.

        They may be more than just before, even if none are free: others have waited for this
        request no longer than if it had held them all the time.
        """
        share = min(count, self._granted)
        self._permits.free += self._share - share
        self._share = share

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._permits.free += self._share
