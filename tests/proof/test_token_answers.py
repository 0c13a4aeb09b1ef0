"""Answers for single tokens: which are kept, and how they are judged."""

import numpy as np
import pytest

from app.model.names import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING
from app.proof.bounds import Agreement
from app.proof.compare import Answers
from app.proof.token_answers import judged_with, kept_places

GOOD = Agreement(worst_cosine=1.0, mean_cosine=1.0, largest_error=0.0, batch_cosine=1.0)


@pytest.mark.parametrize(
    ("output", "length", "places"),
    [
        (LEXICAL_WEIGHTS, 5, [0, 1, 2, 3, 4]),
        (MULTI_VECTOR_EMBEDDING, 1, [0]),
        (MULTI_VECTOR_EMBEDDING, 3, [0, 1, 2]),
        (MULTI_VECTOR_EMBEDDING, 100, [0, 33, 66, 99]),
    ],
)
def test_every_weight_is_kept_and_few_vectors(output: str, length: int, places: list[int]) -> None:
    assert kept_places(output, length).tolist() == places


def test_a_wrong_weight_shows_in_the_figures_of_weights() -> None:
    weights = np.array([1, 2, 3], np.float32)
    found = judged_with(GOOD, LEXICAL_WEIGHTS, weights, Answers(weights + 0.25, weights[:1], [0]))
    assert found.lexical_error == pytest.approx(0.25)
    assert found.lexical_cosine is not None
    assert found.lexical_cosine < 1
    assert found.token_cosine is None


def test_a_wrong_vector_shows_in_the_figures_of_vectors() -> None:
    vectors = np.eye(2, dtype=np.float32)
    turned = np.array([[1, 0], [1, 1]], np.float32)
    found = judged_with(GOOD, MULTI_VECTOR_EMBEDDING, vectors, Answers(turned, vectors[:1], [0]))
    assert found.token_cosine == pytest.approx(0.5**0.5)
    assert found.lexical_cosine is None
