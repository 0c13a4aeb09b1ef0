"""The record of a soak, second by second, and the verdict on it: pure functions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WARM_UP = 0.4  # share of the time in which memory may grow
BLOCKS = 60  # parts of the remaining time; each counts with its median
GROWTH = 0.05  # relative growth of memory in the remaining time that is no leak
GROWTH_BYTES = 8_000_000  # growth that a small server is allowed
SPARE_THREADS = 3  # threads that pools may still start when they need one more
SHOWN = 20  # faults shown in full


@dataclass(frozen=True, slots=True)
class Sample:
    """One second of the server that is never restarted, and of the answers of both."""

    at: float  # seconds since the start
    resident: int  # bytes
    files: int
    threads: int
    median: float  # seconds of an answer to a good request; NaN where none came
    slow: float  # the 99th percentile
    counts: Counter[str]  # answered, refused, rejected, vanished, failed, unaccepted


@dataclass(slots=True)
class Record:
    """All that a soak recorded."""

    samples: list[Sample] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)  # seconds since the start
    faults: list[str] = field(default_factory=list)
    idle_files: int = 0  # before the first request
    left_files: int = 0  # when all clients had gone

    def counts(self) -> Counter[str]:
        """Return the outcomes of all requests."""
        return sum((sample.counts for sample in self.samples), Counter())

    def verdict(self) -> list[str]:
        """Return every reason why the server failed; none if it did not."""
        found = list(self.faults[:SHOWN])
        if len(self.faults) > SHOWN:
            found.append(f"and {len(self.faults) - SHOWN} faults more")
        if not self.counts()["answered"]:
            found.append("no request was answered")
        resident = np.array([sample.resident for sample in self.samples], float)
        growth = grown(resident)
        if growth and growth > max(GROWTH * float(np.median(resident)), GROWTH_BYTES):
            found.append(f"memory leaks: it grew by {growth / 1e6:.0f} MB after the warm-up")
        threads = [sample.threads for sample in self.samples]
        late = len(threads) * 3 // 4
        if late and max(threads[late:]) > max(threads[:late]) + SPARE_THREADS:
            found.append(f"threads leak: {max(threads[:late])} became {max(threads[late:])}")
        if self.left_files > self.idle_files:
            found.append(f"files leak: {self.idle_files} became {self.left_files}")
        return found


def grown(resident: NDArray[np.float64]) -> float:
    """Return the growth of memory after the warm-up: a straight line through the medians.

    The slope is Theil and Sen's, the median over all pairs, which up to a quarter of the values
    cannot bend: a peak that goes away again is no leak.
    """
    steady = resident[_warm(len(resident)) :]
    if len(steady) < 3:
        return 0.0
    blocks = np.array_split(steady, min(BLOCKS, len(steady)))
    medians = np.array([np.median(block) for block in blocks])
    later, earlier = np.tril_indices(len(medians), -1)
    slopes = (medians[later] - medians[earlier]) / (later - earlier)
    return float(np.median(slopes)) * (len(medians) - 1)


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile, or NaN without values."""
    if not seconds:
        return float("nan"), float("nan")
    return float(np.median(seconds)), float(np.percentile(seconds, 99))


def _warm(samples: int) -> int:
    return int(WARM_UP * samples)
