"""Reuse: a row that is known, or that somebody computes now, is not computed again."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.inference.batching.job import Outcome
from app.inference.reuse.in_flight import Flight, InFlight
from app.inference.reuse.row_keys import RowKeys
from app.inference.reuse.row_store import RowStore
from app.model.batch import TokenizedInput
from app.model.names import PER_TOKEN_OUTPUTS
from app.telemetry.metrics import Metrics

Compute = Callable[[Sequence[TokenizedInput]], Awaitable[Outcome]]
Vector = NDArray[np.float32]

# Rows to look for or to keep in one go, within a millisecond, before other requests have a turn.
AT_ONCE = 512


class Held(Protocol):
    """The permits of a request."""

    def hold(self, count: int) -> None:
        """Hold permits for that many inputs from now on: fewer, or more again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The inputs of a request, and what is to be computed of them on which route."""

    inputs: Sequence[TokenizedInput]
    outputs: tuple[str, ...]
    route: str

    @property
    def is_shared(self) -> bool:
        """Whether there is one row for each input; tokens' vectors are too many to keep."""
        return len(self.outputs) == 1 and self.outputs[0] not in PER_TOKEN_OUTPUTS


@dataclass(slots=True, eq=False)
class _Rows:
    """The rows of one request, by their keys: those there are, and the inputs of the others."""

    keys: list[bytes] = field(default_factory=list)  # of all inputs
    found: dict[bytes, Vector] = field(default_factory=dict)
    missing: dict[bytes, TokenizedInput] = field(default_factory=dict)

    def outcome(self, parts: Iterable[Outcome], waited: float) -> Outcome:
        """Return the outcome for all inputs; what was known already took no time."""
        parts = list(parts)
        return Outcome(
            [(self.found[key],) for key in self.keys],
            waited + sum(one.queue_seconds for one in parts),
            sum(one.inference_seconds for one in parts),
        )


class Reuse:
    """The rows of one model that are known or being computed; lives on one event loop.

    No request waits for more than one other: if that one leaves or fails, it computes for itself.
    """

    def __init__(self, store: RowStore | None, metrics: Metrics) -> None:
        """Take the store of the process, whoever else uses it; None keeps nothing."""
        self._store = store
        self._metrics = metrics
        self._keys = RowKeys()
        self._in_flight = InFlight()

    async def outcome(self, asked: Asked, compute: Compute, held: Held) -> Outcome:
        """Return what is asked for; `compute` only what nobody has computed or is computing.

        Permits are held for what this request computes. Raises: as `compute` does.
        """
        if not asked.is_shared:
            return await compute(asked.inputs)
        rows = await self._look(asked)
        others = self._flights(rows.missing)
        own = [key for key in rows.missing if key not in others]
        held.hold(len(own))
        parts = [await self._compute(own, rows, compute)] if own else []
        if not others:
            return rows.outcome(parts, 0.0)
        started = time.perf_counter()
        for key, flight in others.items():
            if (row := await flight.row(key)) is not None:
                rows.found[key] = row
        waited = (time.perf_counter() - started) * len(others)
        left = [key for key in others if key not in rows.found]
        if left:
            held.hold(len(left))
            parts.append(await self._compute(left, rows, compute))
        return rows.outcome(parts, waited)

    async def _look(self, asked: Asked) -> _Rows:
        """Return the rows that are known, and the inputs of the others, each once."""
        rows, key_of, output = _Rows(), self._keys.key, asked.outputs[0]
        for place, tokens in enumerate(asked.inputs):
            if place and place % AT_ONCE == 0:
                await asyncio.sleep(0)
            key = key_of(tokens, output, asked.route)
            rows.keys.append(key)
            if key in rows.found or key in rows.missing:
                continue
            row = None if self._store is None else self._store.get(key)
            if row is None:
                rows.missing[key] = tokens
            else:
                rows.found[key] = row
        self._count(rows)
        return rows

    def _count(self, rows: _Rows) -> None:
        if self._store is not None:
            self._metrics.count("te_cache_hits", amount=len(rows.found))
            self._metrics.count("te_cache_misses", amount=len(rows.missing))
        shared = len(rows.keys) - len(rows.found) - len(rows.missing)
        if shared:
            self._metrics.count("te_rows_shared", amount=shared)

    def _flights(self, missing: Mapping[bytes, TokenizedInput]) -> dict[bytes, Flight]:
        """Return the flights to wait for."""
        found = {}
        for key in missing:
            flight = self._in_flight.find(key, len(missing))
            if flight is not None:
                found[key] = flight
        if found:
            self._metrics.count("te_rows_shared", amount=len(found))
        return found

    async def _compute(self, keys: Sequence[bytes], rows: _Rows, compute: Compute) -> Outcome:
        """Compute the rows of these keys, for others as well, and keep them."""
        flight = self._in_flight.start(keys)
        computed: dict[bytes, Vector] = {}
        try:
            outcome = await compute([rows.missing[key] for key in keys])
            for key, (row,) in zip(keys, outcome.rows, strict=True):
                rows.found[key] = row
                if math.isfinite(np.dot(row, row)):  # else it is this request's failure
                    computed[key] = row
        finally:
            self._in_flight.end(flight, computed)
        await self._keep(computed)
        return outcome

    async def _keep(self, computed: Mapping[bytes, Vector]) -> None:
        if self._store is None:
            return
        for place, (key, row) in enumerate(computed.items()):
            if place and place % AT_ONCE == 0:
                await asyncio.sleep(0)
            self._store.put(key, row)


def open_store(limit: int, metrics: Metrics) -> RowStore | None:
    """Return a store of at most `limit` bytes, shown in the metrics; None for 0."""
    store = RowStore(limit) if limit else None
    metrics.count("te_rows_shared", amount=0)
    metrics.count("te_cache_hits", amount=0)
    metrics.count("te_cache_misses", amount=0)
    metrics.read("te_cache_evictions", "counter", lambda: 0 if store is None else store.evictions)
    metrics.read("te_cache_rows", "gauge", lambda: 0 if store is None else store.rows)
    metrics.read("te_cache_bytes", "gauge", lambda: 0 if store is None else store.bytes)
    metrics.read("te_cache_bytes_limit", "gauge", lambda: limit)
    return store
