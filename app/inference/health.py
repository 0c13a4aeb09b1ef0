"""Health: whether the model answers, known from real inferences and never from a flag alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from app.errors import ServiceError, Unhealthy

# How often a model is asked to embed one word.
PROBE_INTERVAL_SECONDS = 10.0
# How long the route that asked for a probe waits for it.
PROBE_WAIT_SECONDS = 5.0
TICK_SECONDS = 0.5
# Failed probes in a row, and run timeouts without a success, after which the process must go.
HOPELESS = 3


class Computing(Protocol):
    """Computes batches: the batching worker."""

    healthy: bool  # whether the last run succeeded
    last_success: float  # by time.monotonic()
    failure: str | None  # why nothing can be computed any more, if so


class Tokenizing(Protocol):
    """Tokenizes: the tokenizer's threads."""

    def stuck_seconds(self) -> float:
        """Return for how long a thread has been at one slice: normally a second or two at most."""


class Health:
    """Knows when inferences last succeeded, and probes the model if that was long ago.

    A request may succeed on a path that others do not take: one that is short and alone bypasses
    the tokenization pool. So a busy model is probed as well, along the path of most requests.
    """

    def __init__(
        self,
        computing: Computing,
        tokenizing: Tokenizing,
        probe: Callable[[], Awaitable[None]],
        run_timeout_seconds: float,
    ) -> None:
        self._computing = computing
        self._tokenizing = tokenizing
        self._compute_a_word = probe
        self._run_timeout_seconds = run_timeout_seconds
        self._probe: asyncio.Task[None] | None = None
        self._failures = 0  # of probes, in a row
        self._asked: float | None = None  # when the current probe began
        self._probed = time.monotonic()  # when a probe last succeeded; the model was proved before

    async def check_alive(self) -> None:
        """Return unless the process is about to be replaced.

        Raises: Unhealthy.
        """
        if self._computing.failure is not None:
            raise Unhealthy

    async def check(self) -> None:
        """Return if the last run succeeded, or if a fresh one does.

        Raises: Unhealthy.
        """
        if not self._computing.healthy:
            await self._ask()

    async def check_recent(self) -> None:
        """Return if an inference succeeded recently; a run in progress may take its time.

        Raises: Unhealthy.
        """
        await self.check()
        if self._age() > 2 * PROBE_INTERVAL_SECONDS + self._run_timeout_seconds:
            raise Unhealthy

    async def watch(self) -> str:
        """Probe whenever the last success is too old; return the reason once that is hopeless."""
        while (reason := self._hopeless()) is None:
            if self._age() > PROBE_INTERVAL_SECONDS or not self._computing.healthy:
                with contextlib.suppress(Unhealthy):
                    await self._ask()
            await asyncio.sleep(TICK_SECONDS)
        return reason

    def _hopeless(self) -> str | None:
        """Return why only a fresh process can help, or None; a long queue is no reason."""
        if self._computing.failure is not None:
            return self._computing.failure
        limit = HOPELESS * self._run_timeout_seconds
        has_failed = self._failures >= HOPELESS or self._waits_in_vain(limit)
        if has_failed and self._age() > limit:
            return f"no probe has succeeded for {self._age():.0f} seconds"
        if (stuck := self._tokenizing.stuck_seconds()) > limit:
            return f"a thread of the tokenizer has not come back for {stuck:.0f} seconds"
        return None

    def _waits_in_vain(self, limit: float) -> bool:
        """Check whether the current probe has waited too long, and no other run succeeded."""
        now = time.monotonic()
        return (
            self._asked is not None
            and now - self._asked > limit
            and now - self._computing.last_success > limit
        )

    def _age(self) -> float:
        return time.monotonic() - min(self._computing.last_success, self._probed)

    async def _ask(self) -> None:
        """Wait for a probe to succeed; concurrent callers share one."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._run_probe())
        done, _ = await asyncio.wait({self._probe}, timeout=PROBE_WAIT_SECONDS)
        if not done or self._failures:
            raise Unhealthy

    async def _run_probe(self) -> None:
        """Compute one word; a probe that is still waiting has not failed."""
        self._asked = time.monotonic()
        try:
            await self._compute_a_word()
        except ServiceError:
            self._failures += 1
        else:
            self._failures = 0
            self._probed = time.monotonic()
        finally:
            self._asked = None
