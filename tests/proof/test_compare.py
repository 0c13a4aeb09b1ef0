"""Distance of answers from a reference: vectors by direction, logits one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.proof.compare import Answers, compare_logits, compare_vectors

Vectors = NDArray[np.float32]


def answers(batched: Vectors, alone: Vectors | None = None) -> Answers:
    return Answers(batched, batched if alone is None else alone, range(len(batched)))


def random_vectors(rows: int = 40, seed: int = 1) -> Vectors:
    return np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)


def test_vectors_are_compared_by_direction_and_by_component() -> None:
    reference = np.array([[3.0, 4.0], [1.0, 0.0]], np.float32)
    found = compare_vectors(reference, answers(np.array([[6.0, 8.0], [0.0, 1.0]], np.float32)))
    assert found.worst_cosine == pytest.approx(0)
    assert found.mean_cosine == pytest.approx(0.5)
    assert found.largest_error == pytest.approx(1)
    assert found.batch_cosine == pytest.approx(1)


def test_a_row_that_is_wrong_only_alone_counts() -> None:
    reference = random_vectors()
    alone = reference.copy()
    alone[3] = -alone[3]
    found = compare_vectors(reference, answers(reference, alone))
    assert found.worst_cosine == found.batch_cosine == pytest.approx(-1)
    assert found.neighbour_overlap == 1


def test_a_vector_of_nans_agrees_with_nothing() -> None:
    nans = np.full((1, 2), np.nan, np.float32)
    found = compare_vectors(np.ones((1, 2), np.float32), answers(nans))
    assert found.worst_cosine == found.batch_cosine == found.first_percentile == -1


def test_empty_vectors_agree_with_each_other() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert compare_vectors(zeros, answers(zeros)).worst_cosine == 1


def test_the_first_percentile_looks_past_a_single_outlier() -> None:
    reference = random_vectors(1000)
    found = reference.copy()
    found[0] = -found[0]
    measured = compare_vectors(reference, Answers(found, found[:1], [0]))
    assert measured.worst_cosine == pytest.approx(-1)
    assert measured.first_percentile == pytest.approx(1)


def test_neighbours_of_the_same_vectors_are_the_same_and_of_others_are_not() -> None:
    reference = random_vectors(200)
    same = compare_vectors(reference, answers(2 * reference)).neighbour_overlap
    other = compare_vectors(reference, answers(random_vectors(200, seed=2))).neighbour_overlap
    assert same == 1
    assert other is not None
    assert other < 0.3


def test_logits_are_compared_one_by_one_and_as_scores() -> None:
    reference = np.array([[0.0], [4.0]], np.float32)
    found = compare_logits(reference, answers(np.array([[0.0], [4.5]], np.float32)))
    assert found.largest_error == pytest.approx(0.5)
    assert found.largest_logit == 4
    assert found.largest_score_error == pytest.approx(0.989013 - 0.982014, abs=1e-5)
    assert found.neighbour_overlap is None


def test_another_shape_is_a_mistake() -> None:
    for compare in (compare_vectors, compare_logits):
        with pytest.raises(ValueError, match="shape"):
            compare(np.ones((2, 3), np.float32), answers(np.ones((2, 2), np.float32)))
