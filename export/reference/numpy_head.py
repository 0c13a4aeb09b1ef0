"""NumPy head: sentence-transformers' arithmetic behind the encoder, without PyTorch."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.model.names import PoolingMode
from export.config.layers import Activation, Dense, Head, Layer, LayerNorm, Linear, Tensors, Weights

Vector = NDArray[np.float32]
_LAYER_NORM_EPSILON = np.float32(1e-5)
_LEAST_LENGTH = np.float32(1e-12)


def vector(head: Head, weights: Weights, tokens: Vector, before: int = 0) -> Vector:
    """What a head makes of the token embeddings of one text, (S, H) to (D,).

    `before` is how many tokens came before these.
    """
    value = np.concatenate([_POOLINGS[mode](tokens, before) for mode in head.poolings])
    for layer in head.layers:
        value = _apply(layer, weights.get(layer, {}), value)
    return value[: head.cut]


def _apply(layer: Layer, tensors: Tensors, value: Vector) -> Vector:
    match layer:
        case Dense():
            linear = tensors["linear.weight"] @ value + tensors.get("linear.bias", np.float32(0))
            active = _ACTIVATIONS[layer.activation](linear)
            if not layer.residual:
                return active
            widen = tensors.get("residual.weight")
            return active + (value if widen is None else widen @ value)
        case Linear():
            linear = tensors["weight"] @ value + tensors["bias"]
            return _ACTIVATIONS[layer.activation](linear)
        case LayerNorm():
            centred = value - value.mean()
            even: Vector = centred / np.sqrt((centred**2).mean() + _LAYER_NORM_EPSILON)
            return even * tensors["norm.weight"] + tensors["norm.bias"]
        case _:
            found: Vector = value / np.maximum(np.linalg.norm(value), _LEAST_LENGTH)
            return found


def _weighted_mean(tokens: Vector, before: int) -> Vector:
    """The mean, the n-th token of the text weighing n."""
    weights = np.arange(1, len(tokens) + 1, dtype=np.float32) + np.float32(before)
    mean: Vector = weights @ tokens / weights.sum()
    return mean


def _sigmoid(value: Vector) -> Vector:
    with np.errstate(over="ignore"):  # to 0 then, as it should
        found: Vector = np.float32(1) / (np.float32(1) + np.exp(-value))
    return found


def _gelu(value: Vector) -> Vector:
    shares = [0.5 * (1 + math.erf(one / math.sqrt(2))) for one in value.tolist()]
    found: Vector = value * np.array(shares, np.float32)
    return found


# One text at a time, so there is no padding to leave out: (S, H) to (H,), with the number of tokens
# before these.
_POOLINGS: Mapping[PoolingMode, Callable[[Vector, int], Vector]] = MappingProxyType(
    {
        "cls": lambda tokens, _: tokens[0],
        "mean": lambda tokens, _: tokens.mean(axis=0, dtype=np.float32),
        "last_token": lambda tokens, _: tokens[-1],
        "max": lambda tokens, _: tokens.max(axis=0),
        "mean_sqrt_len_tokens": lambda tokens, _: (
            tokens.sum(axis=0) / np.sqrt(np.float32(len(tokens)))
        ),
        "weightedmean": _weighted_mean,
    }
)
_ACTIVATIONS: Mapping[Activation, Callable[[Vector], Vector]] = MappingProxyType(
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
