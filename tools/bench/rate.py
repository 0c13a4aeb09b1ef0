"""Rates: texts a second of wall and of CPU time, and how long a request took."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """Texts that were answered, and the seconds that it took."""

    texts: int
    wall_seconds: float
    cpu_seconds: float  # of all threads
    median: float | None = None  # seconds of a request

    @property
    def wall(self) -> float:
        """Texts a second of wall time."""
        return self.texts / self.wall_seconds

    @property
    def cpu(self) -> float:
        """Texts a second of CPU time."""
        return self.texts / self.cpu_seconds

    @property
    def latency(self) -> str:
        """The median in words; nothing where it was not measured."""
        if self.median is None:
            return ""
        return f"{self.median:.2f} s" if self.median >= 1 else f"{1000 * self.median:.2f} ms"


def together(parts: Sequence[Rate]) -> Rate:
    """The rate over all parts, with the middle one of their medians."""
    medians = [part.median for part in parts if part.median is not None]
    return Rate(
        sum(part.texts for part in parts),
        sum(part.wall_seconds for part in parts),
        sum(part.cpu_seconds for part in parts),
        statistics.median(medians) if medians else None,
    )
