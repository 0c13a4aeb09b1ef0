"""Model runs that a test releases one by one."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.inference.providers.session import Session


class Held:
    """Model runs that wait to be released, one at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_run = Session.run
        self.sizes: list[int] = []  # of the runs that have begun
        self._begun, self._go_on = threading.Semaphore(0), threading.Semaphore(0)

        def run(one: Any, batch: Any, outputs: Any) -> Any:
            self.sizes.append(len(batch.input_ids))
            self._begun.release()
            assert self._go_on.acquire(timeout=10)
            return real_run(one, batch, outputs)

        monkeypatch.setattr(Session, "run", run)

    async def begun(self) -> None:
        """Wait for the next run to begin."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=10)

    def go_on(self, runs: int = 1) -> None:
        """Release a number of runs, also future ones."""
        self._go_on.release(runs)


async def until(came: Callable[[], bool]) -> None:
    """Yield to other tasks until a condition holds."""
    for _ in range(100_000):
        if came():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")
