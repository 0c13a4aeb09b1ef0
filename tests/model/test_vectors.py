import contextlib
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.errors import BackendFailed, NotFinite
from app.model.names import Activation
from app.model.vectors import cosines, finish, lexical, ranking, require_finite, scores, sparse

ROWS = np.array([[3.0, 4.0, 12.0], [0.0, 2.0, 0.0]], np.float32)


def test_normalized_rows_have_length_one() -> None:
    vectors = finish(ROWS, normalize=True, dimensions=None)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [[3 / 13, 4 / 13, 12 / 13], [0.0, 1.0, 0.0]], rtol=1e-7)


def test_the_cut_comes_before_the_normalization() -> None:
    vectors = finish(ROWS, normalize=True, dimensions=2)
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 1.0]], rtol=1e-7)
    assert vectors.flags.c_contiguous


def test_without_normalization_the_values_stay() -> None:
    vectors = finish(ROWS, normalize=False, dimensions=1)
    assert vectors.tolist() == [[3.0], [0.0]]


def test_squares_that_float32_cannot_hold_still_normalize() -> None:
    vectors = finish(np.array([[1e30, 1e30]], np.float32), normalize=True, dimensions=None)
    np.testing.assert_allclose(vectors, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("bad", "dimensions", "fault"),
    [
        ([np.nan, 0, 0], None, "not finite"),
        ([np.inf, 1, 0], None, "not finite"),
        ([0, 0, 0], None, "zero"),
        ([0, 0, 5], 2, "zero"),
    ],
)
def test_a_vector_without_a_direction_is_an_error_that_names_its_input(
    bad: list[float], dimensions: int | None, fault: str
) -> None:
    rows = np.array([[1, 1, 1], bad], np.float32)
    with pytest.raises(BackendFailed) as caught:
        finish(rows, normalize=True, dimensions=dimensions)
    assert str(caught.value) == f"Backend error: the embedding of input 1 is {fault}"


def test_the_input_at_fault_is_counted_from_the_first_of_the_request() -> None:
    with pytest.raises(BackendFailed, match="input 513 is zero"):
        finish(np.array([[1, 1], [0, 0]], np.float32), normalize=True, dimensions=None, first=512)


def test_a_zero_vector_is_fine_where_nothing_is_normalized() -> None:
    vectors = finish(np.zeros((1, 2), np.float32), normalize=False, dimensions=None)
    assert vectors.tolist() == [[0.0, 0.0]]


def test_a_sigmoid_is_of_each_logit_and_a_softmax_over_all_of_an_input() -> None:
    one = scores(np.array([[0.0, -1000.0], [np.log(3), 0.0]], np.float32), "sigmoid")
    np.testing.assert_allclose(one, [[0.5, 0.0], [0.75, 0.5]], atol=1e-7)
    several = scores(np.log(np.array([[1, 2, 5]], np.float32)), "softmax")
    np.testing.assert_allclose(several, [[0.125, 0.25, 0.625]], atol=1e-7)


def test_a_very_negative_logit_does_not_overflow() -> None:
    found = scores(np.array([[-1000.0, 1.0, 1.0]], np.float32), "softmax")
    np.testing.assert_allclose(found, [[0.0, 0.5, 0.5]], atol=1e-7)


def test_raw_scores_are_the_logits() -> None:
    logits = np.array([[-3.5, 1e6]], np.float32)
    assert scores(logits, "none").tolist() == logits.tolist()


@pytest.mark.parametrize("activation", get_args(Activation))
def test_a_score_that_is_no_number_names_its_input(activation: Activation) -> None:
    logits = np.array([[1.0, 2.0], [np.nan, 0.0]], np.float32)
    with pytest.raises(NotFinite, match=r"^Backend error: the score of input 1 is not finite$"):
        scores(logits, activation)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_raw_score_is_an_error(infinite: float) -> None:
    with pytest.raises(NotFinite, match="the score of input 0 is not finite"):
        scores(np.array([[infinite], [0.5]], np.float32), "none")


def test_a_label_that_the_model_rules_out_has_a_score_of_zero() -> None:
    found = scores(np.array([[-np.inf, 0.0, 0.0]], np.float32), "softmax")
    assert found.tolist() == [[0.0, 0.5, 0.5]]
    found = scores(np.array([[-np.inf, 0.0]], np.float32), "sigmoid")
    assert found.tolist() == [[0.0, 0.5]]


def test_vectors_of_tokens_are_checked_input_by_input() -> None:
    rows = [np.zeros((2, 3), np.float32), np.full((1, 3), np.inf, np.float32)]
    require_finite(rows[:1])
    with pytest.raises(NotFinite, match=r"^Backend error: the embedding of input 1 is not finite$"):
        require_finite(rows)


def test_equal_values_rank_by_the_higher_place() -> None:
    assert ranking(np.array([0.5, 0.7, 0.5, 0.7, 0.1], np.float32)) == [3, 1, 2, 0, 4]


def test_a_cosine_with_nothing_is_exactly_zero() -> None:
    vectors = np.array([[3, 4], [0, 0], [-4, 3], [6, 8], [-3, -4]], np.float32)
    assert cosines(vectors).tolist() == [0.0, 0.0, 1.0, -1.0]


def test_a_sparse_vector_has_the_entries_that_are_not_zero() -> None:
    found = sparse(np.array([0, 2, 0, 0.5], np.float32))
    assert (found.indices.tolist(), found.values.tolist()) == ([1, 3], [2, 0.5])


@pytest.mark.parametrize(
    ("ids", "weights", "entries"),
    [
        ([0, 7, 5, 7, 2], [9, 1, 3, 2, 9], {5: 3, 7: 2}),
        ([0, 7, 7, 2], [9, 2, 1, 9], {7: 2}),
        ([0, 7, 5, 2], [9, 0, -1, 9], {}),
        ([0, 2], [9, 9], {}),
        ([], [], {}),
    ],
)
def test_lexical_weights_are_the_largest_of_each_id(
    ids: list[int], weights: list[float], entries: dict[int, float]
) -> None:
    found = lexical(np.array(ids, np.int64), np.array(weights, np.float32), (0, 2))
    assert found.values.dtype == np.float32
    assert dict(zip(found.indices.tolist(), found.values.tolist(), strict=True)) == entries
    assert found.indices.tolist() == sorted(entries)


# Any output of a model.

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ANY = st.floats(width=32)


@st.composite
def matrices(draw: st.DrawFn, values: st.SearchStrategy[float]) -> NDArray[np.float32]:
    """A few rows of a few columns."""
    width = draw(st.integers(1, 6))
    row = st.lists(values, min_size=width, max_size=width)
    return np.array(draw(st.lists(row, min_size=1, max_size=4)), np.float32)


@given(rows=matrices(FINITE), data=st.data())
@example(rows=np.array([[1e-45, 0.0]], np.float32), data=None)
@example(rows=np.array([[3e38, 3e38, 3e38, 3e38]], np.float32), data=None)
def test_whatever_is_normalized_has_length_one_and_its_direction(
    rows: NDArray[np.float32], data: st.DataObject | None
) -> None:
    width = rows.shape[1]
    dimensions = data.draw(st.none() | st.integers(1, width)) if data else None
    cut = rows[:, :dimensions].astype(np.float64)
    lengths = np.linalg.norm(cut, axis=1)
    if not lengths.all():
        with pytest.raises(BackendFailed, match="is zero"):
            finish(rows, normalize=True, dimensions=dimensions)
        return
    found = finish(rows, normalize=True, dimensions=dimensions)
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float64), axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found, cut / lengths[:, None], rtol=1e-5, atol=1e-7)
    kept = finish(rows, normalize=False, dimensions=dimensions)
    assert kept.tobytes() == np.ascontiguousarray(rows[:, :dimensions]).tobytes()


@given(
    rows=matrices(ANY),
    normalize=st.booleans(),
    activation=st.sampled_from(get_args(Activation)),
)
@example(
    rows=np.array([[0, np.inf], [-np.inf, -np.inf]], np.float32),
    normalize=True,
    activation="softmax",
)
def test_nothing_that_is_not_finite_gets_through(
    rows: NDArray[np.float32], normalize: bool, activation: Activation
) -> None:
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        with pytest.raises(NotFinite, match=f"of input {first} is not finite"):
            require_finite(rows)
        with pytest.raises(BackendFailed):
            finish(rows, normalize=normalize, dimensions=None)
    with contextlib.suppress(BackendFailed):
        assert np.isfinite(finish(rows, normalize=normalize, dimensions=None)).all()
    with contextlib.suppress(BackendFailed):
        assert np.isfinite(scores(rows, activation)).all()


@given(logits=matrices(FINITE), activation=st.sampled_from(["sigmoid", "softmax"]))
def test_scores_are_probabilities_in_the_order_of_their_logits(
    logits: NDArray[np.float32], activation: Activation
) -> None:
    found = scores(logits, activation)
    assert ((found >= 0) & (found <= 1)).all()
    if activation == "softmax":
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    for row, given_row in zip(found, logits, strict=True):
        assert (np.diff(row[np.argsort(given_row)]) >= 0).all()


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_a_ranking_names_every_place_once_best_first(values: list[float]) -> None:
    places = ranking(np.array(values, np.float32))
    assert sorted(places) == list(range(len(values)))
    ranked = [(np.float32(values[place]), place) for place in places]
    assert ranked == sorted(ranked, reverse=True)


@given(st.lists(FINITE, max_size=20))
def test_a_sparse_vector_gives_the_dense_one_back(values: list[float]) -> None:
    dense = np.array(values, np.float32)
    found = sparse(dense)
    back = np.zeros_like(dense)
    back[found.indices] = found.values
    assert back.tolist() == dense.tolist()
    assert found.values.all()


@given(
    st.lists(st.tuples(st.integers(0, 5), FINITE), max_size=12),
    st.sets(st.integers(0, 5), max_size=3),
)
def test_lexical_weights_are_those_of_a_plain_loop(
    tokens: list[tuple[int, float]], ignored: set[int]
) -> None:
    expected: dict[int, np.float32] = {}
    for token, weight in tokens:
        if token not in ignored and np.float32(weight) > 0:
            expected[token] = max(expected.get(token, np.float32(0)), np.float32(weight))
    ids = np.array([token for token, _ in tokens], np.int64)
    weights = np.array([weight for _, weight in tokens], np.float32)
    found = lexical(ids, weights, sorted(ignored))
    assert dict(zip(found.indices.tolist(), found.values, strict=True)) == expected


@given(matrices(FINITE))
def test_a_cosine_is_a_number_from_minus_one_to_one(vectors: NDArray[np.float32]) -> None:
    found = cosines(vectors)
    assert found.shape == (len(vectors) - 1,)
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 1 + 1e-6).all()
