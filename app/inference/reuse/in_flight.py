"""In flight: rows that a request computes now, for other requests that need them."""

import asyncio
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Flight:
    """Rows that are computed together, and those who wait for any of them."""

    __slots__ = ("_found", "_waiting", "is_wanted", "keys")

    def __init__(self, keys: Collection[bytes]) -> None:
        self.keys = keys
        self.is_wanted = False  # by another request, which may come to wait for it only later
        self._found: Mapping[bytes, Vector] | None = None  # None until it has ended
        self._waiting: list[asyncio.Future[None]] = []

    async def row(self, key: bytes) -> Vector | None:
        """Wait until the flight ends; return the row of a key, or None if it was not computed."""
        if self._found is None:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        assert self._found is not None
        return self._found.get(key)

    def end(self, found: Mapping[bytes, Vector]) -> None:
        """Wake who waits; what was not found is theirs to compute."""
        self._found = found
        for one in self._waiting:
            if not one.done():
                one.set_result(None)


class InFlight:
    """The flights of one model; lives on one event loop.

    A request waits only for flights of at most as many rows as it would compute itself: those are
    computed no later, since the job with the fewest rows goes first. So a query never waits for a
    bulk request that happens to hold the same text.
    """

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}

    def of(self, missing: Collection[bytes]) -> dict[bytes, Flight]:
        """Return the flights that a request waits for, by key, of those that it misses."""
        if self._flights.keys().isdisjoint(missing):
            return {}
        most = len(missing)
        found = {key: self._flights[key] for key in missing if key in self._flights}
        wanted = {key: flight for key, flight in found.items() if len(flight.keys) <= most}
        for flight in wanted.values():
            flight.is_wanted = True
        return wanted

    def start(self, keys: Collection[bytes]) -> Flight:
        """Begin a flight; of several for one key the one with the fewest rows is waited for."""
        flight = Flight(keys)
        for key in keys:
            other = self._flights.setdefault(key, flight)
            if len(other.keys) > len(keys):
                self._flights[key] = flight
        return flight

    def end(self, flight: Flight, found: Mapping[bytes, Vector]) -> None:
        """End a flight with the rows that were found; none if it was cancelled or failed."""
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]
        flight.end(found)
