"""Rates: texts a second of wall and of CPU time, and latency."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """Texts that were answered, and the seconds that it took."""

    texts: int
    wall_seconds: float
    cpu_seconds: float | None  # of all threads; None where the process cannot be seen
    median: float | None = None  # seconds per request
    latencies: tuple[float, ...] = ()  # of every request, where kept

    @property
    def wall(self) -> float:
        """Texts a second of wall time."""
        return self.texts / self.wall_seconds

    @property
    def cpu(self) -> float | None:
        """Texts a second of CPU time; none of them where there was no time."""
        if self.cpu_seconds is None:
            return None
        return self.texts / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def cpu_each(self) -> float | None:
        """CPU seconds of a text."""
        return None if self.cpu_seconds is None else self.cpu_seconds / max(1, self.texts)

    @property
    def latency(self) -> str:
        """Return the median in words, or nothing where it was not measured."""
        return "" if self.median is None else lasting(self.median)

    def at(self, share: float) -> float:
        """Return a percentile of the latencies, in seconds."""
        return sorted(self.latencies)[
            min(len(self.latencies) - 1, int(share * len(self.latencies)))
        ]


def lasting(seconds: float) -> str:
    """Return a duration in words."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"


def together(parts: Sequence[Rate]) -> Rate:
    """The rate over all parts, with the middle one of all latencies, else of the parts' medians."""
    medians = [part.median for part in parts if part.median is not None]
    latencies = tuple(latency for part in parts for latency in part.latencies)
    used = [part.cpu_seconds for part in parts if part.cpu_seconds is not None]
    return Rate(
        sum(part.texts for part in parts),
        sum(part.wall_seconds for part in parts),
        sum(used) if len(used) == len(parts) else None,
        statistics.median(latencies or medians) if latencies or medians else None,
        latencies,
    )
