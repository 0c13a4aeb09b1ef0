"""Runner: takes every batch from its state to the next, a group of lines at a time.

    validating ─▶ in_progress ─▶ finalizing ─▶ completed
        │             ├─▶ (its window is over) ──▶ expired
        ▼             ▼
      failed      cancelling ─▶ cancelled

Batches take turns, by one step each.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial

from app.batches.desk import Desk
from app.batches.folder import reason
from app.batches.objects import Batch, Fault, Status
from app.batches.progress import Progress
from app.batches.steps import NotNow, Steps, Work
from app.lifecycle import Lifecycle
from app.telemetry.metrics import Metrics, labels

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0  # seconds between two looks for expired files
RETRY_SECONDS = 5.0  # seconds until a retry, after a full disk or an unhealthy model
ENDINGS: tuple[Status, ...] = ("completed", "failed", "expired", "cancelled")


class Runner:
    """Computes the batches of a desk; lives on one event loop."""

    def __init__(
        self,
        desk: Desk,
        work: Work,
        lifecycle: Lifecycle,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._desk = desk
        self._store = desk.folder.store
        self._progress = Progress(desk.folder)
        self._steps = Steps(desk, work, metrics, clock)
        self._lifecycle = lifecycle
        self._clock = clock
        self._is_ending = False
        self._last = ""  # the batch of the last step: the one made next has its turn
        self._open = self._waiting = 0  # batches, and lines of them
        for status in ENDINGS:
            metrics.count("te_batches_ended", labels(status=status), 0)
        for result in ("completed", "failed"):
            metrics.count("te_batches_requests", labels(result=result), 0)
        metrics.read("te_batches_open", "gauge", lambda: self._open)
        metrics.read("te_batches_requests_waiting", "gauge", lambda: self._waiting)

    def end(self) -> None:
        """Stop after the group in progress."""
        self._is_ending = True
        self._desk.changed.set()

    async def run(self) -> None:
        """Compute batches until the service ends."""
        swept = -SWEEP_SECONDS
        while not (self._is_ending or self._lifecycle.draining):
            self._desk.changed.clear()
            pause = await self._step_of_next()
            if time.monotonic() - swept >= SWEEP_SECONDS:
                swept = time.monotonic()
                sweep = partial(self._progress.sweep, int(self._clock()))
                await self._guarded(None, self._desk.do(sweep))
            if pause and not self._is_ending:
                await self._changed_within(pause)

    async def _step_of_next(self) -> float:
        """Take one step of the batch whose turn it is; return for how long there is nothing."""
        found: Batch | None = None

        async def look() -> None:
            nonlocal found
            found = await self._desk.do(partial(self._store.next_open, self._last))
            self._open, self._waiting = await self._desk.do(self._store.waiting)

        if not await self._guarded(None, look()):
            return RETRY_SECONDS
        if found is None:
            return SWEEP_SECONDS
        self._last = found.id
        went_on = await self._guarded(found.id, self._steps.take(found))
        return 0.0 if went_on else RETRY_SECONDS / max(1, self._open)

    async def _guarded(self, batch_id: str | None, work: Awaitable[None]) -> bool:
        """Return whether work succeeded; if the disk or the model failed, it is tried again."""
        about = "batches" if batch_id is None else batch_id
        try:
            await work
        except (OSError, sqlite3.Error) as error:
            why = f"the batch folder cannot be used: {reason(error)}"
        except NotNow as error:
            why = f"the model does not answer: {error}"
        except Exception as error:  # an internal error ends this batch, and no other
            logger.exception("%s: a step failed", about)
            if batch_id is None:
                return False
            fault = Fault("server_error", f"The batch could not be computed: {error!r}.")
            return await self._guarded(None, self._steps.fail(batch_id, [fault]))
        else:
            self._desk.troubles.pop(about, None)
            return True
        if self._desk.troubles.get(about) != why:
            logger.error("%s: %s; it will be tried again", about, why)
        self._desk.troubles[about] = why
        return False

    async def _changed_within(self, seconds: float) -> None:
        """Return when a batch is made or cancelled, or after that time."""
        waiting = asyncio.create_task(self._desk.changed.wait())
        await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()
