"""The arithmetic behind an encoder in PyTorch, for one text without padding."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.model.names import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING, PoolingMode
from export.config.layers import Dense, Head, Linear, Normalize, TokenHeads, Weights
from export.reference.torch_head import for_tokens, vector

TOKENS = torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 0.0]])


@pytest.mark.parametrize(
    ("mode", "whole", "behind_a_prompt"),
    [
        ("cls", [1, -2], [3, 4]),
        ("mean", [3, 2 / 3], [4, 2]),
        ("last_token", [5, 0], [5, 0]),
        ("max", [5, 4], [5, 4]),
        ("mean_sqrt_len_tokens", [9 / 3**0.5, 2 / 3**0.5], [8 / 2**0.5, 4 / 2**0.5]),
        ("weightedmean", [22 / 6, 1], [21 / 5, 8 / 5]),
    ],
)
def test_tokens_are_pooled(
    mode: PoolingMode, whole: list[float], behind_a_prompt: list[float]
) -> None:
    head = Head((mode,))
    np.testing.assert_allclose(vector(head, {}, TOKENS), whole, rtol=1e-6)
    np.testing.assert_allclose(vector(head, {}, TOKENS, 1), behind_a_prompt, rtol=1e-6)


def test_layers_follow_each_other_and_the_vector_is_cut_last() -> None:
    dense = Dense(Path("2_Dense"), 2, 2, activation="ReLU", residual=True)
    weights: Weights = {
        dense: {
            "linear.weight": np.array([[0, 1], [1, 0]], np.float32),
            "linear.bias": np.array([0, -100], np.float32),
        },
        Normalize(): {},
    }
    head = Head(("last_token",), (dense, Normalize()), cut=1)
    assert vector(head, weights, TOKENS).tolist() == pytest.approx([1.0])  # of (5, 0) + (0, 0)


def test_each_token_has_its_weight_and_its_vector() -> None:
    weigh, compare = Linear(Path("sparse"), 2, 1, "ReLU"), Linear(Path("vectors"), 2)
    zero = np.zeros(1, np.float32)
    weights: Weights = {
        weigh: {"weight": np.array([[0, 1]], np.float32), "bias": zero},
        compare: {"weight": np.array([[1, 1]], np.float32), "bias": zero},
    }
    found = for_tokens(TokenHeads((weigh,), (compare,)), weights, TOKENS)
    assert found[LEXICAL_WEIGHTS].tolist() == [0, 4, 0]
    assert found[MULTI_VECTOR_EMBEDDING].tolist() == [[-1], [7], [5]]
