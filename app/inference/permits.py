"""Permits: how many inputs may be in the service at a time, and in each of its models."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType

from app.errors import Overloaded


class Permits:
    """The inputs that may be in the service at a time. Only streams wait for a permit.

    A request gets one permit for each of its inputs. If it has more inputs than permits are free,
    it gets half of all permits, if that many are free, and keeps them to its end: its inputs are
    computed that many at a time. So no request is always too large, others find room beside it,
    and since no request waits for a permit while holding some, there is no deadlock.

    Bulk is a request of a dialect whose clients send hundreds of inputs at once, by default and
    side by side. It gets a quarter at most, and leaves a quarter to others.

    Several models have one total among them, of which half of an equal part is kept for each: so
    one that is flooded never takes all. A request that finds no half may have what is kept.
    """

    def __init__(self, total: int, among: "list[Permits] | None" = None) -> None:
        """Take the total, and the permits of the models that have the same one, to join them."""
        self.total = total
        self.held = 0  # by requests to this model
        self._patient = 0  # of these, by requests that would wait
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.entered = 0  # requests to this model that have got permits
        self._others: list[Permits] = []
        for one in among or ():
            one.join(self)
            self.join(one)
        if among is not None:
            among.append(self)

    def join(self, other: "Permits") -> None:
        """Have one total with another model's permits."""
        self._others.append(other)

    @property
    def taken_by_all(self) -> int:
        """The number held by requests to any model."""
        return self.held + sum(one.held for one in self._others)

    @property
    def entered_by_all(self) -> int:
        """The number of requests to any model that got permits since the start."""
        return self.entered + sum(one.entered for one in self._others)

    @property
    def free(self) -> int:
        """The number that this model's requests may have now."""
        if not self._others:  # which is asked twice for each request
            return self.total - self.held
        kept = sum(max(0, self._kept - one.held) for one in self._others)
        return self.total - self.taken_by_all - kept

    @property
    def _kept(self) -> int:
        """The number kept for each of several models."""
        models = 1 + len(self._others)
        return self.total // (2 * models) if models > 1 else 0

    def share(self, count: int, *, bulk: bool = False) -> int:
        """Return how many permits a request of `count` inputs would get now; 0 if refused."""
        free = self.free
        quarter = max(1, self.total // 4)
        if bulk and count > quarter:
            if not self.taken_by_all or free >= 2 * quarter:
                return min(quarter, free)
            return self._kept if not self.held and self._kept <= free else 0
        if count <= free:
            return count
        parts = (max(1, self.total // 2), self._kept)
        return next((part for part in parts if part < count and part <= free), 0)

    def taken(self, count: int, *, bulk: bool = False) -> "Taken":
        """Return a block that holds the permits of a request of `count` inputs.

        Entering it tells how many they are, or raises Overloaded when too few are free.
        """
        return Taken(self, count, bulk=bulk)

    @contextlib.asynccontextmanager
    async def waited(self, count: int) -> AsyncIterator[int]:
        """Hold permits of a request of `count` inputs in the block, once there is any.

        Yields how many: as many as are free then, so that no request waits while it holds some.
        """
        if self._waiting or not self._spare:
            await self._turn()
        else:
            self._lend(1)
        share = 1 + max(0, min(count - 1, self._spare))
        self._lend(share - 1)
        self.entered += 1
        try:
            yield share
        finally:
            self._patient -= share
            self.give_back(share)

    def give_back(self, count: int) -> None:
        """Hold `count` fewer, and hand them to those who wait."""
        self.held -= count
        self.hand_on()
        for one in self._others:
            one.hand_on()

    def hand_on(self) -> None:
        """Give a permit to each of those who wait, as long as there are any."""
        while self._waiting and self._spare:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled, and not yet removed
                self._lend(1)
                turn.set_result(None)

    async def _turn(self) -> None:
        """Return with one permit, which was handed on."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            else:  # cancelled with the permit in hand
                self._patient -= 1
                self.give_back(1)
            raise

    @property
    def _spare(self) -> int:
        """The number that those who wait may have now."""
        return max(0, min(self.free, max(1, self.total * 3 // 4) - self._patient))

    def _lend(self, count: int) -> None:
        self.held += count
        self._patient += count


class Taken:
    """A block that holds permits; a class because every request enters one."""

    __slots__ = ("_bulk", "_count", "_granted", "_permits", "_share")

    def __init__(self, permits: Permits, count: int, *, bulk: bool) -> None:
        self._permits = permits
        self._count = count
        self._bulk = bulk
        self._granted = self._share = 0

    def __enter__(self) -> int:
        self._share = self._permits.share(self._count, bulk=self._bulk)
        if self._count and not self._share:
            raise Overloaded
        self._permits.held += self._share
        self._permits.entered += 1
        self._granted = self._share
        return self._share

    def more(self, count: int) -> int:
        """Hold permits for `count` more inputs as well; return for how many in all.

        They are as many as a request of that size would get, or none: this one goes on with those
        that it holds.
        """
        share = self._permits.share(count)
        self._permits.held += share
        self._share += share
        self._granted += share
        return self._granted

    def hold(self, count: int) -> None:
        """Hold permits for `count` inputs from now on, and no more than were granted.

        They may be more than just before, even if none are free: others have waited for this
        request no longer than if it had held them all the time.
        """
        share = min(count, self._granted)
        self._permits.give_back(self._share - share)
        self._share = share

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._permits.give_back(self._share)
