"""Finishing: from the rows of a graph's output to the vectors of an answer, of each kind."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput
from app.model.batch import TokenizedInput
from app.model.parts import Lexical, MultiVector
from app.model.vectors import SparseVector, finish, lexical, require_finite, sparse

# Vectors to finish in one go, within a millisecond or two, before other requests have a turn.
FINISHED_AT_ONCE = 512


async def dense_vectors(
    rows: Sequence[NDArray[np.float32]], *, normalize: bool, dimensions: int | None
) -> NDArray[np.float32]:
    """Return the vectors of the answer, (N, d), giving other tasks a turn between large groups."""
    if len(rows) <= FINISHED_AT_ONCE:
        stacked = rows[0][None] if len(rows) == 1 else np.stack(rows)
        return finish(stacked, normalize=normalize, dimensions=dimensions)
    width = min(len(rows[0]), dimensions or len(rows[0]))
    vectors = np.empty((len(rows), width), np.float32)
    for start in range(0, len(rows), FINISHED_AT_ONCE):
        group = np.stack(rows[start : start + FINISHED_AT_ONCE])
        vectors[start : start + len(group)] = finish(
            group, normalize=normalize, dimensions=dimensions, first=start
        )
        await asyncio.sleep(0)
    return vectors


def sparse_vectors(
    inputs: Sequence[TokenizedInput],
    rows: Sequence[NDArray[np.float32]],
    weighted: Lexical | None,
) -> list[SparseVector]:
    """Return the entries of each input's (V,) vector, or of its tokens' weights, N × (Sᵢ,).

    Raises: NotFinite.
    """
    require_finite(rows)
    if weighted is None:
        return [sparse(vector) for vector in rows]
    return [
        lexical(tokens.input_ids, weights, weighted.ignored_ids)
        for tokens, weights in zip(inputs, rows, strict=True)
    ]


def token_vectors(
    inputs: Sequence[TokenizedInput],
    rows: Sequence[NDArray[np.float32]],
    made: MultiVector | None,
) -> list[NDArray[np.float32]]:
    """Return the vectors of each input's tokens, N × (Sᵢ, D), without the one that has none.

    Raises: NotFinite.
    """
    require_finite(rows)
    if made is None or made.skipped_id is None:
        return list(rows)
    return [
        values[1:] if tokens.input_ids[0] == made.skipped_id else values
        for tokens, values in zip(inputs, rows, strict=True)
    ]


def require_positive(dimensions: int | None) -> None:
    """Raise InvalidInput if no dimension of dense vectors is to be left."""
    if dimensions == 0:
        raise InvalidInput("Input validation error: `dimensions` should be positive")


def require_width(dimensions: int, width: int) -> None:
    """Raise InvalidInput if dense vectors are to have more dimensions than the model's."""
    if dimensions > width:
        raise InvalidInput(
            "Input validation error: `dimensions` should be smaller than the maximum embedding "
            "dimension."
        )
