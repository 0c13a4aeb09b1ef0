"""Quantization: vectors in fewer bytes, as sentence-transformers' `quantize_embeddings` has it.

Bit order and offsets are those of sentence-transformers 5.7 (util/quantization.py), and so is the
arithmetic of int8 and uint8, given the same ranges. Values out of range become the nearest end of
it. Earlier releases (5.5, 3.0) differ: values out of range wrap around, and those of int8 below
zero are rounded up.
"""

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelMismatch, NotFinite
from app.model.names import OutputDtype
from app.model.parts import Ranges

STEPS = 127  # of an int8 from zero to the largest component
_LEVELS = 256
# Ranges are that much wider than the vectors that they are taken from. If texts of another kind
# have a component out of range, that costs far more than steps that are a quarter wider.
HEADROOM = 1.25

Quantized = NDArray[np.float32 | np.float16 | np.int8 | np.uint8]


def quantized(
    vectors: NDArray[np.float32], dtype: OutputDtype, ranges: Ranges | None, first: int = 0
) -> Quantized:
    """Turn (N, d) vectors into an output type; row 0 is the request's input `first`.

    binary is int8 and ubinary uint8 of (N, ceil(d / 8)) bytes: a bit for each component, 1 if it is
    positive, the first in the highest place. int8 and uint8 are for unit vectors.

    Raises: ModelMismatch without the `ranges` that int8 and uint8 need; NotFinite for a vector that
    float16 cannot hold.
    """
    if dtype == "float":
        return vectors
    if dtype == "float16":
        return _halves(vectors, first)
    if dtype in {"binary", "ubinary"}:
        packed = np.packbits(vectors > 0, axis=-1)
        return packed if dtype == "ubinary" else _offset(packed)
    if ranges is None:
        raise ModelMismatch(
            f"Backend error: `{dtype}` vectors are not available: the exported model does not say "
            "how large their components become; export it again"
        )
    lowest, highest = bounds(ranges, vectors.shape[1])
    steps = (highest - lowest) / np.float32(_LEVELS - 1)
    levels = np.clip(np.floor((vectors - lowest) / steps), 0, _LEVELS - 1).astype(np.uint8)
    return levels if dtype == "uint8" else _offset(levels)


def ranges_of(vectors: NDArray[np.float32]) -> Ranges:
    """Return the ranges of unit vectors like these (N, D), which may have any length but 0.

    They have four digits, so that another machine's last digits do not change them.
    """
    wide = vectors.astype(np.float64)
    largest = np.maximum.accumulate(np.abs(wide), axis=1)
    lengths = np.sqrt(np.cumsum(wide**2, axis=1))
    # Of the first d components, for each d; a vector may begin with zeros.
    shares = np.divide(largest, lengths, out=np.zeros_like(wide), where=lengths > 0).max(axis=0)
    dimensions = wide.shape[1]
    sizes = [2**power for power in range(dimensions.bit_length()) if 2**power < dimensions]
    parts = np.split(shares, [size - 1 for size in (*sizes, dimensions)][1:])
    values = [min(1.0, float(f"{HEADROOM * part.max():.4g}")) for part in parts]
    return Ranges((*sizes, dimensions), tuple(values))


def bounds(ranges: Ranges, dimensions: int) -> NDArray[np.float32]:
    """Return (2, d): the lowest and the highest value of each component, as `ranges` are elsewhere.

    Between them lie 255 steps, whose lower ends are taken. They are half a step off, so that a
    component becomes the nearest multiple of a step: int8 vectors are in proportion to the floats.
    """
    step = ranges.largest_of(dimensions) / STEPS
    ends = np.array([[-(STEPS + 1.5)], [STEPS - 0.5]]) * step
    return np.repeat(ends.astype(np.float32), dimensions, axis=1)


def _halves(vectors: NDArray[np.float32], first: int) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        halves = vectors.astype(np.float16)
    usable = np.isfinite(halves).all(axis=1)
    if not usable.all():
        raise NotFinite(
            f"Backend error: the embedding of input {first + int(np.argmin(usable))} holds values "
            "too large for float16"
        )
    return halves


def _offset(values: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return each value less 128."""
    return (values ^ 0x80).view(np.int8)
