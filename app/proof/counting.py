"""Counting: how far a step that takes long has come, as a line every few seconds."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from app.model.batch import Batch, Results, Runs

LINE_SECONDS = 5.0


class Counting:
    """Counts towards a total, and tells of it in a line when the last one is some seconds old."""

    def __init__(self, total: int, unit: str, tell: Callable[[str], None]) -> None:
        """Count towards `total`; `unit` names what is counted, in the plural."""
        self._total = total
        self._unit = unit
        self._tell = tell
        self._done = 0
        self._started = self._told = time.monotonic()

    def advance(self, count: int) -> None:
        """Count what has been done."""
        self._done += count
        now = time.monotonic()
        if now - self._told < LINE_SECONDS or self._done >= self._total:
            return
        self._told = now
        left = (now - self._started) * (self._total - self._done) / self._done
        self._tell(f"{self._done} of {self._total} {self._unit}, about {left:.0f} s left")


@contextmanager
def clocked(step: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell every few seconds how long the block has taken; how much is left is unknown."""
    started, ended = time.monotonic(), threading.Event()

    def tick() -> None:
        while not ended.wait(LINE_SECONDS):
            tell(f"{step}: {time.monotonic() - started:.0f} s so far")

    clock = threading.Thread(target=tick, name="clock", daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()


class CountedRuns:
    """A session that tells how many of some probes it has run."""

    def __init__(self, session: Runs, total: int, tell: Callable[[str], None]) -> None:
        self._session = session
        self._counting = Counting(total, "probes", tell)

    def run(self, batch: Batch, outputs: Sequence[str]) -> Results:
        results = self._session.run(batch, outputs)
        self._counting.advance(len(batch.input_ids))
        return results
