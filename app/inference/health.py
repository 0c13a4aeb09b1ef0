"""Health: whether the model answers, known from real inferences and never from a flag alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from app.errors import ServiceError, Unhealthy

# A model is asked to embed one word this often.
PROBE_INTERVAL_SECONDS = 10.0
# How long a probe may hold up the route that asked for it.
PROBE_PATIENCE_SECONDS = 5.0
TICK_SECONDS = 0.5
# So many probes in a row, and so many times the limit of a run, without a single success.
HOPELESS = 3


class Computing(Protocol):
    """What computes: the batching worker."""

    healthy: bool  # whether the last run succeeded
    last_success: float  # when a run last succeeded, by time.monotonic()
    failure: str | None  # why nothing will be computed any more, if so


class Tokenizing(Protocol):
    """What tokenizes: the tokenizer's threads."""

    def stuck_seconds(self) -> float:
        """For how long a thread has been at one slice: a second or two at most."""


class Health:
    """Knows when inferences last succeeded, and asks for one where that is long ago.

    A request may succeed on a way that others cannot take: one that is short and alone needs no
    tokenization pool. So a busy model is asked as well, all the way that most requests take.
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
        self._asked: float | None = None  # when the probe began that is under way
        self._probed = time.monotonic()  # when one last succeeded; the model was proved before

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
        """Return if an inference succeeded lately; a run under way may take its time.

        Raises: Unhealthy.
        """
        await self.check()
        if self._age() > 2 * PROBE_INTERVAL_SECONDS + self._run_timeout_seconds:
            raise Unhealthy

    async def watch(self) -> str:
        """Probe whenever the last success is a while ago; return why that has become hopeless."""
        while (reason := self._hopeless()) is None:
            if self._age() > PROBE_INTERVAL_SECONDS or not self._computing.healthy:
                with contextlib.suppress(Unhealthy):
                    await self._ask()
            await asyncio.sleep(TICK_SECONDS)
        return reason

    def _hopeless(self) -> str | None:
        """Why a fresh process would do better; that there is much to do is no reason."""
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
        """Whether a probe waits for its turn where nobody else has had one either."""
        now = time.monotonic()
        return (
            self._asked is not None
            and now - self._asked > limit
            and now - self._computing.last_success > limit
        )

    def _age(self) -> float:
        return time.monotonic() - min(self._computing.last_success, self._probed)

    async def _ask(self) -> None:
        """Wait for a probe to succeed; everyone who asks meanwhile waits for the same one."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._run_probe())
        done, _ = await asyncio.wait({self._probe}, timeout=PROBE_PATIENCE_SECONDS)
        if not done or self._failures:
            raise Unhealthy

    async def _run_probe(self) -> None:
        """Compute a word; one that waits for its turn has not failed."""
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
