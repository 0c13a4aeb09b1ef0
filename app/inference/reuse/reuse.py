"""Reuse: a row that is known, or that somebody computes now, is not computed again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.inference.batching.job import Outcome
from app.inference.reuse.in_flight import Flight, InFlight
from app.inference.reuse.row_keys import RowKeys
from app.inference.reuse.row_store import RowStore
from app.model.batch import TokenizedInput
from app.model.names import PER_TOKEN_OUTPUTS
from app.records import record
from app.telemetry.metrics import Metrics

Compute = Callable[[Sequence[TokenizedInput]], Awaitable[Outcome]]
Vector = NDArray[np.float32]

# Rows to look for or to keep in one go, within a millisecond, before other requests have a turn.
AT_ONCE = 512


class Held(Protocol):
    """The permits of a request."""

    def hold(self, count: int) -> None:
        """Hold permits for that many inputs from now on: fewer, or more again."""


@record()
class Asked:
    """The inputs of a request, and what is to be computed of them on which route."""

    inputs: Sequence[TokenizedInput]
    outputs: tuple[str, ...]
    route: str

    @property
    def is_shared(self) -> bool:
        """True if there is one row for each input; vectors of tokens are too many to keep."""
        return len(self.outputs) == 1 and self.outputs[0] not in PER_TOKEN_OUTPUTS


class _Rows(NamedTuple):
    """The rows of one request, by their keys: those there are, and the inputs of the others."""

    keys: list[bytes]  # of all inputs
    found: dict[bytes, Vector]
    missing: dict[bytes, TokenizedInput]


class Reuse:
    """The rows of one model that are known or being computed; lives on one event loop.

    No request waits for more than one other: if that one leaves or fails, it computes for itself.
    """

    def __init__(self, store: RowStore, metrics: Metrics) -> None:
        """Take the store that the models of the process share."""
        self._store = store
        self._metrics = metrics
        self._keys = RowKeys()
        self._in_flight = InFlight()

    async def outcome(self, asked: Asked, compute: Compute, held: Held) -> Outcome:
        """Return what is asked for; `compute` only what is neither kept nor being computed.

        Permits are held for what this request computes. Raises: as `compute` does.
        """
        if not asked.is_shared:
            return await compute(asked.inputs)
        rows = _Rows([], {}, {})
        for start in range(0, len(asked.inputs), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            self._look(asked, start, rows)
        flights = self._in_flight.of(rows.missing)
        if not flights and len(rows.missing) == len(rows.keys):
            return await self._computed(rows.keys, asked.inputs, compute)
        return await self._divided(rows, flights, compute, held)

    def _look(self, asked: Asked, start: int, rows: _Rows) -> None:
        """Find the rows that are known among AT_ONCE inputs, and add the others to the missing."""
        key_of, known = self._keys.key, self._store.get
        output, route = asked.outputs[0], asked.route
        for tokens in asked.inputs[start : start + AT_ONCE]:
            key = key_of(tokens, output, route)
            rows.keys.append(key)
            if key in rows.found or key in rows.missing:
                continue
            row = known(key)
            if row is None:
                rows.missing[key] = tokens
            else:
                rows.found[key] = row

    async def _divided(
        self, rows: _Rows, flights: Mapping[bytes, Flight], compute: Compute, held: Held
    ) -> Outcome:
        """Compute what is missing and in no flight to wait for; then wait for the others."""
        shared = len(rows.keys) - len(rows.found) - len(rows.missing) + len(flights)
        if shared:
            self._metrics.count("te_rows_shared", amount=shared)
        parts = await self._own(
            [key for key in rows.missing if key not in flights], rows, compute, held
        )
        held.hold(0)
        started = time.perf_counter()
        for key, flight in flights.items():
            if (row := await flight.row(key)) is not None:
                rows.found[key] = row
        waited = (time.perf_counter() - started) * len(flights)
        left = [key for key in flights if key not in rows.found]
        parts += await self._own(left, rows, compute, held)
        return Outcome(
            [(rows.found[key],) for key in rows.keys],
            waited + sum(part.queue_seconds for part in parts),
            sum(part.inference_seconds for part in parts),
        )

    async def _own(
        self, keys: Sequence[bytes], rows: _Rows, compute: Compute, held: Held
    ) -> list[Outcome]:
        """Compute the rows of these keys with as many permits, if there are any."""
        held.hold(len(keys))
        if not keys:
            return []
        outcome = await self._computed(keys, [rows.missing[key] for key in keys], compute)
        rows.found.update((key, row) for key, (row,) in zip(keys, outcome.rows, strict=True))
        return [outcome]

    async def _computed(
        self, keys: Sequence[bytes], inputs: Sequence[TokenizedInput], compute: Compute
    ) -> Outcome:
        """Compute inputs, also for requests that wait for their rows, and keep these."""
        flight = self._in_flight.start(keys)
        good: dict[bytes, Vector] = {}
        try:
            outcome = await compute(inputs)
            if self._store.limit or flight.is_wanted:
                for key, (row,) in zip(keys, outcome.rows, strict=True):
                    if np.isfinite(row).all():  # else it is a failure of this request
                        good[key] = row
        finally:
            self._in_flight.end(flight, good)
        for place, (key, row) in enumerate(good.items()):
            if place and place % AT_ONCE == 0:
                await asyncio.sleep(0)
            self._store.put(key, row)
        return outcome


def open_store(limit: int, metrics: Metrics) -> RowStore:
    """Return a store of at most `limit` bytes, shown in the metrics."""
    store = RowStore(limit)
    metrics.count("te_rows_shared", amount=0)
    metrics.read("te_cache_hits", "counter", lambda: store.hits)
    metrics.read("te_cache_misses", "counter", lambda: store.misses)
    metrics.read("te_cache_evictions", "counter", lambda: store.evictions)
    metrics.read("te_cache_rows", "gauge", lambda: store.rows)
    metrics.read("te_cache_bytes", "gauge", lambda: store.bytes)
    metrics.read("te_cache_bytes_limit", "gauge", lambda: store.limit)
    return store
