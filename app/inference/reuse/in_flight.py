"""In flight: rows that a request computes now, for whoever else needs them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True, eq=False)
class Flight:
    """Rows that are computed together, and those who wait for any of them."""

    keys: Sequence[bytes]
    found: Mapping[bytes, NDArray[np.float32]] = field(default_factory=dict)
    _waiting: list["asyncio.Future[None]"] = field(default_factory=list)
    _has_ended: bool = False

    async def row(self, key: bytes) -> NDArray[np.float32] | None:
        """Wait until the flight ends; return the row of a key, or None if it was not computed."""
        if not self._has_ended:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        return self.found.get(key)

    def end(self, found: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Wake who waits; what was not found is theirs to compute."""
        self.found = found
        self._has_ended = True
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

    def find(self, key: bytes, most: int) -> Flight | None:
        """Return the flight that computes the row of a key, if it has at most that many rows."""
        flight = self._flights.get(key)
        return flight if flight is not None and len(flight.keys) <= most else None

    def start(self, keys: Sequence[bytes]) -> Flight:
        """Begin a flight; of several for one key the one with the fewest rows is found."""
        flight = Flight(keys)
        for key in keys:
            other = self._flights.get(key)
            if other is None or len(other.keys) > len(keys):
                self._flights[key] = flight
        return flight

    def end(self, flight: Flight, found: Mapping[bytes, NDArray[np.float32]]) -> None:
        """End a flight with the rows that were found; none if it was cancelled or failed."""
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]
        flight.end(found)
