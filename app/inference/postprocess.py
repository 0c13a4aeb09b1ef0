"""Per-request array work: cut to the dimensions asked for, then scale to unit length.

The order and the arithmetic are TEI's (1.9.3 core/src/infer.rs): the cut comes first, squares
are summed in float64, and the product is float32.
"""

import numpy as np
from numpy.typing import NDArray

from app.errors import BackendFailed


def finish(
    vectors: NDArray[np.float32], *, normalize: bool, dimensions: int | None
) -> NDArray[np.float32]:
    """(N, D) pooled vectors to the (N, d) vectors of the answer; C-contiguous.

    Raises: BackendFailed for a vector with NaN or infinity in it, or with no direction to
    normalize; JSON could only print such a vector as nulls.
    """
    if dimensions is not None:
        vectors = np.ascontiguousarray(vectors[:, :dimensions])
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    usable = np.isfinite(squares)
    if normalize:
        usable &= squares > 0
    if not usable.all():
        row = int(np.argmin(usable))
        fault = "zero" if np.isfinite(squares[row]) else "not finite"
        raise BackendFailed(f"Backend error: the embedding of input {row} is {fault}")
    if not normalize:
        return vectors
    scale: NDArray[np.float32] = (1 / np.sqrt(squares)).astype(np.float32)
    return vectors * scale[:, None]
