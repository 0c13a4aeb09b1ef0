"""From rows to vectors: large requests yield to other tasks, and the limits of dimensions."""

import asyncio

import numpy as np
import pytest

from app.errors import InvalidInput, NotFinite
from app.inference.kinds.finishing import (
    FINISHED_AT_ONCE,
    dense_vectors,
    require_positive,
    require_width,
    sparse_vectors,
    token_vectors,
)
from app.model.batch import TokenizedInput
from app.model.parts import Lexical, MultiVector
from app.model.vectors import finish

INPUTS = [TokenizedInput(np.array([2, 5, 3])), TokenizedInput(np.array([5, 6]))]


def test_many_vectors_are_finished_as_few_are_with_turns_between() -> None:
    rows = np.random.default_rng(1).normal(size=(FINISHED_AT_ONCE + 5, 6)).astype(np.float32)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def scenario() -> None:
        beside = asyncio.create_task(count())
        found = await dense_vectors(list(rows), normalize=True, dimensions=4)
        beside.cancel()
        np.testing.assert_array_equal(found, finish(rows, normalize=True, dimensions=4))

    asyncio.run(scenario())
    assert turns >= 1


def test_a_sparse_vector_is_of_a_row_or_of_the_weights_of_tokens() -> None:
    row = np.array([0, 2, 0, 1], np.float32)
    [found] = sparse_vectors(INPUTS[:1], [row], None)
    assert (found.indices.tolist(), found.values.tolist()) == ([1, 3], [2, 1])
    [found] = sparse_vectors(INPUTS[:1], [np.array([9, 2, 9], np.float32)], Lexical((2, 3)))
    assert (found.indices.tolist(), found.values.tolist()) == ([5], [2])


def test_a_first_token_without_a_vector_is_left_out() -> None:
    rows = [np.ones((3, 2), np.float32), np.ones((2, 2), np.float32)]
    for made, lengths in ((MultiVector(2), [2, 2]), (MultiVector(), [3, 2]), (None, [3, 2])):
        assert [len(one) for one in token_vectors(INPUTS, rows, made)] == lengths


def test_non_finite_values_are_refused() -> None:
    bad = [np.array([1, np.nan, 1], np.float32)]
    with pytest.raises(NotFinite, match="input 0"):
        sparse_vectors(INPUTS[:1], bad, None)
    with pytest.raises(NotFinite, match="input 0"):
        token_vectors(INPUTS[:1], bad, None)


def test_dimensions_are_at_least_one_and_at_most_the_width() -> None:
    require_positive(None)
    for dimensions in (1, 8):
        require_positive(dimensions)
        require_width(dimensions, 8)
    with pytest.raises(InvalidInput, match="should be positive"):
        require_positive(0)
    with pytest.raises(InvalidInput, match="should be smaller"):
        require_width(9, 8)
