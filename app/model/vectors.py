"""Vectors: array work for each request: dimensions, unit length, sparse vectors, scores.

The order and the arithmetic are TEI's (1.9.3 core/src/infer.rs): dimensions are cut before
normalizing, squares are summed in float64, products are float32.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import BackendFailed, NotFinite
from app.model.names import Activation

FLOAT32 = np.finfo(np.float32)
USUAL_SQUARES = 1e-70, 1e70  # of a length that float32 can hold, and its inverse


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """The entries of a vector over the vocabulary that are not zero."""

    indices: NDArray[np.int64]  # (n,), ascending
    values: NDArray[np.float32]  # (n,)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The logits and scores of N inputs, for each of L labels.

    Logits that differ may be printed as the same number, so ranking uses the logits.
    """

    logits: NDArray[np.float32]  # (N, L), as computed
    printed: NDArray[np.float32]  # (N, L), as asked for


def finish(
    vectors: NDArray[np.float32], *, normalize: bool, dimensions: int | None, first: int = 0
) -> NDArray[np.float32]:
    """Turn (N, D) pooled vectors into the (N, d) vectors of the answer; C-contiguous.

    Row 0 is the request's input `first`.

    Raises: NotFinite for a vector with NaN or infinity, which JSON could only print as nulls;
    BackendFailed for a zero vector, which has no direction to normalize.
    """
    if dimensions is not None:
        vectors = np.ascontiguousarray(vectors[:, :dimensions])
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    least, most = squares.min(initial=1), squares.max(initial=1)
    if least >= USUAL_SQUARES[0] and most <= USUAL_SQUARES[1]:
        if not normalize:
            return vectors
        factors: NDArray[np.float32] = (1 / np.sqrt(squares)).astype(np.float32)
        return vectors * factors[:, None]
    usable = np.isfinite(squares)
    if normalize:
        usable &= squares > 0
    if not usable.all():
        row = int(np.argmin(usable))
        which = f"Backend error: the embedding of input {first + row} is"
        raise (
            BackendFailed(f"{which} zero")
            if squares[row] == 0
            else NotFinite(f"{which} not finite")
        )
    if not normalize:
        return vectors
    return _scaled(vectors, 1 / np.sqrt(squares))


def _scaled(vectors: NDArray[np.float32], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Multiply each row by its factor, in float32 unless that cannot hold the factor."""
    if FLOAT32.tiny <= factors.min(initial=1) and factors.max(initial=1) <= FLOAT32.max:
        return vectors * factors.astype(np.float32)[:, None]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found: NDArray[np.float32] = vectors * factors.astype(np.float32)[:, None]
    extreme = (factors < FLOAT32.tiny) | (factors > FLOAT32.max)
    found[extreme] = vectors[extreme] * factors[extreme, None]
    return found


def require_finite(rows: Iterable[NDArray[np.float32]], what: str = "embedding") -> None:
    """Raise NotFinite if the values of any input hold NaN or infinity."""
    for row, values in enumerate(rows):
        if not np.isfinite(values).all():
            raise NotFinite(f"Backend error: the {what} of input {row} is not finite")


def sparse(vector: NDArray[np.float32]) -> SparseVector:
    """Return the entries of a (V,) vector that are not zero."""
    indices = np.flatnonzero(vector)
    return SparseVector(indices, vector[indices])


def lexical(
    ids: NDArray[np.int64], weights: NDArray[np.float32], ignored: Sequence[int]
) -> SparseVector:
    """Return the largest weight of each token id, from (S,) ids and weights, without `ignored` ids.

    FlagEmbedding's rule for BGE-M3 (inference/embedder/encoder_only/m3.py): only weights over 0.
    """
    counted = (weights > 0) & ~np.isin(ids, ignored)
    indices, places = np.unique(ids[counted], return_inverse=True)
    values = np.zeros(len(indices), np.float32)
    np.maximum.at(values, places, weights[counted])
    return SparseVector(indices, values)


def scores(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Turn (N, L) logits into scores: a sigmoid of each, a softmax over each row, or unchanged.

    TEI subtracts the logit of largest magnitude before it exponentiates, which overflows if that is
    negative; here the largest is subtracted. Raises: NotFinite, also for an infinite logit that is
    returned unchanged.
    """
    if activation == "none":
        found = logits
    elif activation == "sigmoid":
        with np.errstate(over="ignore"):  # a very negative logit is 0, which is right
            found = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    else:
        with np.errstate(invalid="ignore"):  # infinity minus infinity, which is refused below
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = powers / powers.sum(axis=1, keepdims=True)
    require_finite(found, "score")
    return found


def ranking(values: NDArray[np.float32]) -> list[int]:
    """Return positions by descending value; among equals the higher position first, as in TEI."""
    return [int(place) for place in np.argsort(values, kind="stable")[::-1]]


def cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of row 0 of (N, D) to each other row, (N - 1,); 0 if the product is 0."""
    source, others = vectors[0].astype(np.float64), vectors[1:].astype(np.float64)
    dots = others @ source
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(source)
    found = np.divide(dots, lengths, out=np.zeros_like(dots), where=dots != 0)
    narrow: NDArray[np.float32] = found.astype(np.float32)
    return narrow
