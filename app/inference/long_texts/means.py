"""Means: of the vectors of a text's windows, and of the tokens of its spans; array work, pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.model.vectors import finish


def averaged(
    vectors: NDArray[np.float32], weights: Sequence[Sequence[int]], *, normalize: bool
) -> NDArray[np.float32]:
    """Return the mean of each input's vectors, (N, D), of those of all windows, (W, D).

    An input has a window for each of its weights. A single one is returned as it is.

    Raises: NotFinite, BackendFailed, naming the input.
    """
    counts = [len(some) for some in weights]
    firsts = np.cumsum([0, *counts[:-1]])
    if len(vectors) == len(counts):
        return vectors
    weighed = np.concatenate([np.array(some, np.float64) / sum(some) for some in weights])
    means = np.add.reduceat(vectors * weighed[:, None], firsts, axis=0).astype(np.float32)
    found = finish(means, normalize=normalize, dimensions=None)
    alone = np.array(counts) == 1
    found[alone] = vectors[firsts[alone]]
    return found


class SpanSums:
    """Sums over ranges of tokens, whose vectors come in pieces; in float64.

    Any number of spans may hold a token: it is added once, to the sum of all that precede it, and
    the sum of a span is the difference of two.
    """

    def __init__(self, ranges: NDArray[np.int64], width: int) -> None:
        """Take the first token of each span and the one behind its last, (M, 2)."""
        self.count = len(ranges)
        self._ranges = ranges
        self._sums = np.zeros((len(ranges), width))

    def add(self, first: int, vectors: NDArray[np.float32]) -> None:
        """Add the vectors (n, D) of tokens `first` and following, each of which comes once."""
        count, width = vectors.shape
        before = np.zeros((count + 1, width))
        np.cumsum(vectors, axis=0, dtype=np.float64, out=before[1:])
        starts, stops = np.clip(self._ranges - first, 0, count).T
        held = np.flatnonzero(starts < stops)
        with np.errstate(invalid="ignore"):  # infinity minus infinity, which is refused later
            self._sums[held] += before[stops[held]] - before[starts[held]]

    def means(self) -> NDArray[np.float32]:
        """Return the mean of each span's tokens, (M, D)."""
        lengths = self._ranges[:, 1] - self._ranges[:, 0]
        found: NDArray[np.float32] = (self._sums / lengths[:, None]).astype(np.float32)
        return found
