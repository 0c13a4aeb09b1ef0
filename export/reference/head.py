"""Head: sentence-transformers' arithmetic behind the encoder, in NumPy."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.model.names import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING
from app.proof.token_answers import kept_places
from export.config.layers import (
    Activation,
    Dense,
    Head,
    Layer,
    LayerNorm,
    Linear,
    Tensors,
    TokenHeads,
    Weights,
)
from export.graph.poolings import pooled

Values = NDArray[np.float32]
_LAYER_NORM_EPSILON = np.float32(1e-5)
_LEAST_LENGTH = np.float32(1e-12)


def vector(head: Head, weights: Weights, tokens: Values, before: int = 0) -> Values:
    """Return the vector (D,) that a head computes from one text's token embeddings (S, H).

    `before` is how many tokens of the text precede these, and are not pooled.
    """
    value = np.concatenate([pooled(mode, tokens, before) for mode in head.poolings])
    return _through(head.layers, weights, value)[: head.cut]


def for_tokens(heads: TokenHeads, weights: Weights, tokens: Values) -> dict[str, Values]:
    """Return the outputs for one text's tokens (S, H), limited to tokens that a probe keeps."""
    found = {}
    if heads.lexical:
        found[LEXICAL_WEIGHTS] = _through(heads.lexical, weights, tokens)[:, 0]
    if heads.multi_vector:
        found[MULTI_VECTOR_EMBEDDING] = _through(heads.multi_vector, weights, tokens)
    return {name: values[kept_places(name, len(tokens))] for name, values in found.items()}


def _through(layers: Sequence[Layer], weights: Weights, value: Values) -> Values:
    """Apply layers to the last axis: of one vector, or of the vectors of all tokens of a text."""
    for layer in layers:
        value = _apply(layer, weights.get(layer, {}), value)
    return value


def _apply(layer: Layer, tensors: Tensors, value: Values) -> Values:
    match layer:
        case Dense():
            linear = value @ tensors["linear.weight"].T + tensors.get("linear.bias", np.float32(0))
            active = _ACTIVATIONS[layer.activation](linear)
            if not layer.residual:
                return active
            widen = tensors.get("residual.weight")
            return active + (value if widen is None else value @ widen.T)
        case Linear():
            return _ACTIVATIONS[layer.activation](value @ tensors["weight"].T + tensors["bias"])
        case LayerNorm():
            centred = value - value.mean(axis=-1, keepdims=True)
            variance = (centred**2).mean(axis=-1, keepdims=True)
            even: Values = centred / np.sqrt(variance + _LAYER_NORM_EPSILON)
            return even * tensors["norm.weight"] + tensors["norm.bias"]
        case _:
            length = np.linalg.norm(value, axis=-1, keepdims=True)
            found: Values = value / np.maximum(length, _LEAST_LENGTH)
            return found


def _sigmoid(value: Values) -> Values:
    with np.errstate(over="ignore"):  # the result is 0 then, as it should be
        found: Values = np.float32(1) / (np.float32(1) + np.exp(-value))
    return found


def _gelu(value: Values) -> Values:
    shares = [0.5 * (1 + math.erf(one / math.sqrt(2))) for one in value.ravel().tolist()]
    found: Values = value * np.array(shares, np.float32).reshape(value.shape)
    return found


_ACTIVATIONS: Mapping[Activation, Callable[[Values], Values]] = MappingProxyType(
    {
        "Identity": lambda value: value,
        "Tanh": np.tanh,
        "ReLU": lambda value: np.maximum(value, np.float32(0)),
        "GELU": _gelu,
        "Sigmoid": _sigmoid,
        "SiLU": lambda value: value * _sigmoid(value),
        "ELU": lambda value: np.where(value > 0, value, np.expm1(np.minimum(value, 0))),
        "LeakyReLU": lambda value: np.where(value > 0, value, value * np.float32(0.01)),
    }
)
