"""Head reference: sentence-transformers' arithmetic behind the encoder, in PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from app.model.names import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING, PoolingMode
from app.proof.token_answers import kept
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


def vector(
    head: Head, weights: Weights, tokens: torch.Tensor, prompt_length: int = 0
) -> torch.Tensor:
    """What a head makes of the token embeddings of one text, (S, H) to (D,), but for its prompt."""
    pooled = tokens[prompt_length:]
    value = torch.cat([_POOLINGS[mode](pooled, prompt_length) for mode in head.poolings])
    return through(head.layers, weights, value)[: head.cut]


def for_tokens(
    heads: TokenHeads, weights: Weights, tokens: torch.Tensor
) -> dict[str, NDArray[np.float32]]:
    """What heads make of each token of one text, (S, H), for those tokens that a probe keeps."""
    found = {}
    if heads.lexical:
        found[LEXICAL_WEIGHTS] = through(heads.lexical, weights, tokens)[:, 0]
    if heads.multi_vector:
        found[MULTI_VECTOR_EMBEDDING] = through(heads.multi_vector, weights, tokens)
    return {name: values.numpy()[kept(name, len(tokens))] for name, values in found.items()}


def through(layers: Sequence[Layer], weights: Weights, value: torch.Tensor) -> torch.Tensor:
    """What layers make of the last axis: of one vector, or of those of all tokens of a text."""
    for layer in layers:
        value = _apply(layer, weights[layer], value)
    return value


def _apply(layer: Layer, tensors: Tensors, value: torch.Tensor) -> torch.Tensor:
    found = {name: torch.from_numpy(array) for name, array in tensors.items()}
    match layer:
        case Dense():
            linear = functional.linear(value, found["linear.weight"], found.get("linear.bias"))
            active = _ACTIVATIONS[layer.activation](linear)
            if not layer.residual:
                return active
            widen = found.get("residual.weight")
            return active + (value if widen is None else functional.linear(value, widen))
        case Linear():
            linear = functional.linear(value, found["weight"], found["bias"])
            return _ACTIVATIONS[layer.activation](linear)
        case LayerNorm():
            scale, shift = found["norm.weight"], found["norm.bias"]
            return functional.layer_norm(value, (layer.width,), scale, shift)
        case _:
            return functional.normalize(value, dim=-1)


def _weighted_mean(tokens: torch.Tensor, before: int) -> torch.Tensor:
    """The mean, the n-th token of the text weighing n."""
    weights = torch.arange(1, len(tokens) + 1, dtype=tokens.dtype) + before
    return (tokens * weights[:, None]).sum(dim=0) / weights.sum()


# One text at a time, so there is no padding to leave out: (S, H) to (H,), with the number of tokens
# before these.
_POOLINGS: Mapping[PoolingMode, Callable[[torch.Tensor, int], torch.Tensor]] = MappingProxyType(
    {
        "cls": lambda tokens, _: tokens[0],
        "mean": lambda tokens, _: tokens.mean(dim=0),
        "last_token": lambda tokens, _: tokens[-1],
        "max": lambda tokens, _: tokens.amax(dim=0),
        "mean_sqrt_len_tokens": lambda tokens, _: tokens.sum(dim=0) / len(tokens) ** 0.5,
        "weightedmean": _weighted_mean,
    }
)
_ACTIVATIONS: Mapping[Activation, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {
        "Identity": lambda value: value,
        "Tanh": torch.tanh,
        "ReLU": torch.relu,
        "GELU": functional.gelu,
        "Sigmoid": torch.sigmoid,
        "SiLU": functional.silu,
        "ELU": functional.elu,
        "LeakyReLU": functional.leaky_relu,
    }
)
