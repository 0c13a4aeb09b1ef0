"""int8 scales: weights as integers of 8 bits, and what to multiply them by. Needs NumPy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_LARGEST = 127  # both ways alike, so that zero stays zero


def scaled(weights: Floats, axis: int) -> tuple[NDArray[np.int8], Floats]:
    """Integers, and the scale of each line along `axis`, which keeps its place with size 1."""
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    scales: Floats = np.where(largest == 0, 1, largest / _LARGEST).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales


def smoothing(inputs: Floats, weights: Sequence[Floats]) -> Floats:
    """What to divide each input by, and multiply its weights by, so that both are as uneven: (K,).

    A few inputs of a transformer are many times as large as the others, which then share what an
    integer can tell apart; weights are even. This is SmoothQuant (arXiv 2211.10438) with α = 0.5:
    K largest inputs, and several (K, N) weights that they are multiplied by.
    """
    largest = np.max([np.abs(one).max(axis=1) for one in weights], axis=0)
    usable = (inputs > 0) & (largest > 0)
    ratio = np.divide(inputs, largest, out=np.ones_like(inputs), where=usable)
    factors: Floats = np.sqrt(ratio).astype(np.float32)
    return factors
