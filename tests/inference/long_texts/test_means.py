"""Means of windows and of spans, against NumPy."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BackendFailed
from app.inference.long_texts.means import SpanSums, averaged
from tools import tiny

RANDOM = np.random.default_rng(5)
VECTORS = RANDOM.normal(size=(6, 4)).astype(np.float32)
WEIGHTS = [[10, 10, 3], [7], [10, 1]]


@pytest.mark.parametrize("normalize", [True, False])
def test_a_mean_is_weighted_by_tokens(normalize: bool) -> None:
    found = averaged(VECTORS, WEIGHTS, normalize=normalize)
    for vector, rows, weights in (
        (found[0], VECTORS[:3], WEIGHTS[0]),
        (found[2], VECTORS[4:], WEIGHTS[2]),
    ):
        mean = np.average(rows, axis=0, weights=weights).astype(np.float32)
        np.testing.assert_allclose(vector, tiny.unit(mean) if normalize else mean, rtol=1e-6)
    assert (found[1] == VECTORS[3]).all()  # a single window, to the last bit
    assert found.dtype == np.float32


def test_a_mean_of_nothing_names_its_input() -> None:
    vectors = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    with pytest.raises(BackendFailed, match="the embedding of input 1 is zero"):
        averaged(vectors, [[2], [3, 3]], normalize=True)


@given(data=st.data(), tokens=st.integers(1, 40))
def test_a_span_s_mean_is_that_of_its_tokens(data: st.DataObject, tokens: int) -> None:
    places = st.tuples(st.integers(0, tokens - 1), st.integers(1, tokens)).filter(
        lambda pair: pair[0] < pair[1]
    )
    ranges = np.array(data.draw(st.lists(places, min_size=1, max_size=9)))
    cuts = sorted(data.draw(st.sets(st.integers(1, tokens), max_size=4)) | {0, tokens})
    vectors = np.random.default_rng(tokens).normal(size=(tokens, 3)).astype(np.float32)
    sums = SpanSums(ranges, 3)
    for start, stop in reversed(list(pairwise(cuts))):  # in any order
        sums.add(start, vectors[start:stop])
    expected = [vectors[start:stop].astype(np.float64).mean(axis=0) for start, stop in ranges]
    np.testing.assert_allclose(sums.means(), expected, atol=1e-6)
    assert sums.count == len(ranges)
