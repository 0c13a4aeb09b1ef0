"""The head: the same arithmetic as that of sentence-transformers' own modules."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer import modules as models
from torch import nn

from app.model.names import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING, PoolingMode
from app.proof.token_answers import kept_places
from export.config.layers import (
    ACTIVATIONS,
    POOLING_MODES,
    Activation,
    Dense,
    Head,
    Layer,
    LayerNorm,
    Linear,
    Normalize,
    TokenHeads,
    Weights,
)
from export.reference import head as heads

WIDTH = 6
random = np.random.default_rng(3)
TOKENS = random.normal(size=(5, WIDTH)).astype(np.float32)
FEW = np.array([[1.0, -2.0], [3.0, 4.0], [5.0, 0.0]], np.float32)
LIBRARY_S = {"last_token": "lasttoken"}  # the mode's name there, where it differs


def weighted(*layers: Layer) -> Weights:
    return {
        layer: {
            name: random.normal(size=[int(size or 1) for size in shape]).astype(np.float32)
            for name, shape in layer.shapes.items()
        }
        for layer in layers
    }


def activation(name: Activation) -> nn.Module:
    found: nn.Module = getattr(nn, name)()
    return found


class Residual(nn.Module):
    """PyLate's Dense with a residual, which the library lacks: its input is added."""

    def __init__(self, layer: Dense) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
        self.active = activation(layer.activation)
        if layer.inputs != layer.outputs:
            self.residual = nn.Linear(layer.inputs, layer.outputs, bias=False)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        value = features["sentence_embedding"]
        added = self.residual(value) if hasattr(self, "residual") else value
        return features | {"sentence_embedding": self.active(self.linear(value)) + added}


def module(layer: Layer, tensors: Any) -> Any:
    """The library's own module, with the weights given."""
    match layer:
        case Dense(residual=True):
            made: Any = Residual(layer)
        case Dense():
            made = models.Dense(
                layer.inputs,
                layer.outputs,
                bias=layer.bias,
                activation_function=activation(layer.activation),
            )
        case LayerNorm():
            made = models.LayerNorm(layer.width)
        case _:
            return models.Normalize()
    made.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return made


def library_s(head: Head, weights: Weights, before: int) -> NDArray[np.float32]:
    """sentence-transformers' result for TOKENS, of which the first `before` are a prompt's."""
    pooling: Any = models.Pooling(
        WIDTH,
        pooling_mode=tuple(LIBRARY_S.get(mode, mode) for mode in head.poolings),
        include_prompt=False,
    )
    features: dict[str, Any] = {
        "token_embeddings": torch.from_numpy(TOKENS)[None],
        "attention_mask": torch.ones((1, len(TOKENS)), dtype=torch.int64),
        "prompt_length": before,
    }
    with torch.inference_mode():
        for one in (pooling, *(module(layer, weights.get(layer)) for layer in head.layers)):
            features = one(features)
    vector: NDArray[np.float32] = features["sentence_embedding"][0].numpy()
    return vector[: head.cut]


@pytest.mark.parametrize(
    "head",
    [
        *(Head((mode,)) for mode in POOLING_MODES),
        Head(("cls", "max", "mean"), cut=7),
        *(Head(("mean",), (Dense(Path(), WIDTH, 4, activation=one),)) for one in ACTIVATIONS),
        Head(("cls",), (Dense(Path(), WIDTH, WIDTH, bias=False, residual=True),)),
        Head(("cls",), (Dense(Path(), WIDTH, 9, residual=True), LayerNorm(Path(), 9), Normalize())),
    ],
    ids=str,
)
@pytest.mark.parametrize("before", [0, 2])
def test_it_is_the_library_s(head: Head, before: int) -> None:
    weights = weighted(*head.layers)
    found = heads.vector(head, weights, TOKENS[before:], before)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, library_s(head, weights, before), atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_heads_of_tokens_are_layers_over_each_of_them(name: Activation) -> None:
    lexical = Linear(Path("sparse"), WIDTH, 1, activation=name)
    multi_vector = (Dense(Path(), WIDTH, 4, activation=name), Normalize())
    weights = weighted(lexical, *multi_vector)
    found = heads.for_tokens(TokenHeads((lexical,), multi_vector), weights, TOKENS)
    states, tensors = torch.from_numpy(TOKENS), weights[lexical]
    linear = nn.functional.linear(states, *(torch.from_numpy(one) for one in tensors.values()))
    with torch.inference_mode():
        dense = module(multi_vector[0], weights[multi_vector[0]])
        made = nn.functional.normalize(dense({"sentence_embedding": states})["sentence_embedding"])
        expected = activation(name)(linear)[:, 0]
    np.testing.assert_allclose(found[LEXICAL_WEIGHTS], expected.numpy(), atol=2e-6)
    some = made.numpy()[kept_places(MULTI_VECTOR_EMBEDDING, len(TOKENS))]
    np.testing.assert_allclose(found[MULTI_VECTOR_EMBEDDING], some, atol=2e-6)


# With numbers that can be checked by hand.


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
    np.testing.assert_allclose(heads.vector(head, {}, FEW), whole, rtol=1e-6)
    np.testing.assert_allclose(heads.vector(head, {}, FEW[1:], 1), behind_a_prompt, rtol=1e-6)


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
    assert heads.vector(head, weights, FEW).tolist() == pytest.approx([1.0])  # of (5, 0) + (0, 0)


def test_each_token_has_its_weight_and_its_vector() -> None:
    weigh, compare = Linear(Path("sparse"), 2, 1, "ReLU"), Linear(Path("vectors"), 2)
    zero = np.zeros(1, np.float32)
    weights: Weights = {
        weigh: {"weight": np.array([[0, 1]], np.float32), "bias": zero},
        compare: {"weight": np.array([[1, 1]], np.float32), "bias": zero},
    }
    found = heads.for_tokens(TokenHeads((weigh,), (compare,)), weights, FEW)
    assert found[LEXICAL_WEIGHTS].tolist() == [0, 4, 0]
    assert found[MULTI_VECTOR_EMBEDDING].tolist() == [[-1], [7], [5]]
