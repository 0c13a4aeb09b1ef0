"""Permits: how many inputs may be in the service at a time."""

from types import TracebackType

from app.errors import Overloaded


class Permits:
    """How many inputs may be in the service at a time. Nothing waits for a permit.

    A request gets one permit for each of its inputs. If it has more inputs than permits are free,
    it gets half of all permits, if that many are free, and keeps them to its end: its inputs are
    computed that many at a time. So no request is too large for ever, others find room beside it,
    and since no request waits for a permit while holding some, there is no deadlock.

    Bulk is a request of a dialect whose clients send hundreds of inputs at once, by default and
    side by side. It gets a quarter at most, and leaves a quarter to others.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total

    def share(self, count: int, *, bulk: bool = False) -> int:
        """Return how many permits a request of `count` inputs would get now; 0 if refused."""
        quarter = max(1, self.total // 4)
        if bulk and count > quarter:
            is_idle = self.free == self.total
            return quarter if is_idle or self.free >= 2 * quarter else 0
        if count <= self.free:
            return count
        half = max(1, self.total // 2)
        return half if half < count and half <= self.free else 0

    def taken(self, count: int, *, bulk: bool = False) -> "Taken":
        """Return a block that holds the permits of a request of `count` inputs.

        Entering it tells how many they are, or raises Overloaded when too few are free.
        """
        return Taken(self, count, bulk=bulk)


class Taken:
    """A block that holds permits; a class because every request enters one."""

    __slots__ = ("_bulk", "_count", "_permits", "_share")

    def __init__(self, permits: Permits, count: int, *, bulk: bool) -> None:
        self._permits = permits
        self._count = count
        self._bulk = bulk
        self._share = 0

    def __enter__(self) -> int:
        self._share = self._permits.share(self._count, bulk=self._bulk)
        if self._count and not self._share:
            raise Overloaded
        self._permits.free -= self._share
        return self._share

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._permits.free += self._share
