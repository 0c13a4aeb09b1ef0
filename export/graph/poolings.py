"""Poolings: (B, S, H) token embeddings to one vector for each row, as nodes of the graph.

All but the maximum are a (B, S) row of weights times the token embeddings, one batched MatMul:
unlike gathering by index this needs no operator that a provider leaves to the CPU, and weights of
0 and 1 pick a row exactly in any precision. A mask is one run of ones, with zeros on either side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from app.model.names import TOKEN_EMBEDDINGS, PoolingMode
from export.graph.builder import Builder

_LEAST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class Mask:
    """Names of (B, S) floats that are 1 for what is no padding, and for what of it is pooled."""

    real: str
    pooled: str


def pool(builder: Builder, mode: PoolingMode, mask: Mask, output: str = "") -> str:
    """Add a pooling; the name of its output."""
    if mode == "weightedmean":
        return _weighted_mean(builder, mask, output)
    return _POOLINGS[mode](builder, mask.pooled, output)


def _cls(builder: Builder, mask: str, output: str) -> str:
    """The first token that is pooled: it has a 1, and the column before it a 0."""
    padded = builder.node("Pad", mask, builder.integers(0, 1, 0, 0))
    before = builder.node(
        "Slice", padded, builder.integers(0), builder.integers(-1), builder.integers(1)
    )
    first = builder.node("Relu", builder.node("Sub", mask, before))
    return _weighted_sum(builder, first, output)


def _last_token(builder: Builder, mask: str, output: str) -> str:
    """The last token that is pooled: it has a 1, and the column after it a 0."""
    padded = builder.node("Pad", mask, builder.integers(0, 0, 0, 1))
    end = builder.integers(np.iinfo(np.int64).max)
    after = builder.node("Slice", padded, builder.integers(1), end, builder.integers(1))
    last = builder.node("Relu", builder.node("Sub", mask, after))
    return _weighted_sum(builder, last, output)


def _mean(builder: Builder, mask: str, output: str) -> str:
    """The mean over pooled tokens; 0 for a row that has none."""
    return _divided(builder, mask, _total(builder, mask), output)


def _mean_sqrt_len(builder: Builder, mask: str, output: str) -> str:
    """The sum over pooled tokens, divided by the square root of their number."""
    return _divided(builder, mask, builder.node("Sqrt", _total(builder, mask)), output)


def _weighted_mean(builder: Builder, mask: Mask, output: str) -> str:
    """The mean over pooled tokens; the n-th real one weighs n, whether or not all are pooled."""
    places = builder.node("CumSum", mask.real, builder.integers(1))
    weights = builder.node("Mul", places, mask.pooled)
    return _divided(builder, weights, _total(builder, weights), output)


def _max(builder: Builder, mask: str, output: str) -> str:
    """The largest value of each component over pooled tokens."""
    column = builder.node("Unsqueeze", mask, builder.integers(2))
    is_real = builder.node("Greater", column, builder.number(0))
    real = builder.node("Where", is_real, TOKEN_EMBEDDINGS, builder.number(_LEAST))
    return builder.reduced("ReduceMax", real, 1, keepdims=0, output=output)


_POOLINGS: Mapping[PoolingMode, Callable[[Builder, str, str], str]] = MappingProxyType(
    {
        "cls": _cls,
        "mean": _mean,
        "last_token": _last_token,
        "max": _max,
        "mean_sqrt_len_tokens": _mean_sqrt_len,
    }
)


def _total(builder: Builder, weights: str) -> str:
    """The sum of (B, S) weights, (B, 1), never quite 0."""
    total = builder.node("ReduceSum", weights, builder.integers(1), keepdims=1)
    return builder.node("Max", total, builder.number(1e-9))


def _divided(builder: Builder, weights: str, divisor: str, output: str) -> str:
    """The weighted sum, divided last: a count is exact in every precision, its inverse is not."""
    return builder.node("Div", _weighted_sum(builder, weights, ""), divisor, output=output)


def _weighted_sum(builder: Builder, weights: str, output: str) -> str:
    """(B, S) weights times (B, S, H) token embeddings: (B, H)."""
    row = builder.node("Unsqueeze", weights, builder.integers(1))
    product = builder.node("MatMul", row, TOKEN_EMBEDDINGS)
    return builder.node("Squeeze", product, builder.integers(1), output=output)
