"""Half decimals: the shortest decimal of each float16 that gives it back."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

MOST_DIGITS = 5  # significant digits that tell every float16 from its neighbours


def half_decimals(values: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return the float64 whose shortest decimal is that of each finite float16, in any shape.

    JSON writers know the shortest decimals of float32 and float64 only: 0.1 in float16 would be
    printed as 0.099975586.
    """
    found: NDArray[np.float64] = _by_bits()[values.view(np.uint16)]
    return found


@cache
def _by_bits() -> NDArray[np.float64]:
    """Return the decimal of each pattern of 16 bits, (65536,): half a megabyte, in milliseconds."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    exact = halves.astype(np.float64)
    found = exact.copy()
    left = np.flatnonzero(np.isfinite(exact) & (exact != 0))
    powers = np.floor(np.log10(np.abs(exact[left]))).astype(np.int64)
    for digits in range(1, MOST_DIGITS + 1):
        # At a power of two the neighbour below is nearer, and the nearest decimal may be its own.
        for rounding in (np.rint, np.floor, np.ceil):
            decimal = _rounded(exact[left], digits - 1 - powers, rounding)
            with np.errstate(over="ignore"):  # what rounds up to infinity is not the value
                same = decimal.astype(np.float16) == halves[left]
            found[left[same]] = decimal[same]
            left, powers = left[~same], powers[~same]
    return found


def _rounded(
    values: NDArray[np.float64], places: NDArray[np.int64], rounding: np.ufunc
) -> NDArray[np.float64]:
    """Return the float64 nearest to each value rounded to that many decimal places."""
    scale = 10.0 ** np.abs(places)  # exact up to 10^22
    up = rounding(values * scale) / scale
    down = rounding(values / scale) * scale
    found: NDArray[np.float64] = np.where(places >= 0, up, down)
    return found
