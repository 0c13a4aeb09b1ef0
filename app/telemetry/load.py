"""Load: the amount of work, by which autoscalers choose the number of replicas."""

import time
from collections import deque
from collections.abc import Callable, Sequence

RECENT_SECONDS = 60.0
MOST_WAITS = 2048  # waits that are remembered
_SHARE_OF_NEWEST = 0.1  # weight of a run in the speed, which is a moving average


class Load:
    """The work of one model; one thread writes it, any may read."""

    def __init__(
        self,
        waiting: Callable[[], int],
        running: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask `waiting` and `running` for the tokens of inputs in either state."""
        self._waiting = waiting
        self._running = running
        self._clock = clock
        self._speed = 0.0  # tokens a second of a run
        self._waits: deque[tuple[float, float]] = deque(maxlen=MOST_WAITS)  # when, and how long

    def ran(self, tokens: int, seconds: float, waits: Sequence[float]) -> None:
        """Note a run: its tokens, its seconds, and how long each of its inputs had waited."""
        if not tokens:  # a warm-up run
            return
        speed = tokens / max(seconds, 1e-9)
        share = _SHARE_OF_NEWEST if self._speed else 1.0
        self._speed += share * (speed - self._speed)
        now = self._clock()
        self._waits.extend((now, one) for one in waits)

    def tokens_in_flight(self) -> int:
        """Return the tokens of the inputs that wait or are being computed, without padding."""
        return self._waiting() + self._running()

    def waiting_seconds(self) -> float:
        """Return how long the inputs that wait will take, at the speed of the latest runs."""
        waiting = self._waiting()
        return waiting / self._speed if waiting and self._speed else 0.0

    def queue_p99(self) -> float:
        """Return the 99th percentile of the seconds that inputs waited, over the last minute."""
        since = self._clock() - RECENT_SECONDS
        recent = sorted(wait for when, wait in tuple(self._waits) if when >= since)
        return recent[min(len(recent) - 1, round(0.99 * len(recent)))] if recent else 0.0
