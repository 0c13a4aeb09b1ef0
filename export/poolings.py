"""Poolings: (B, S, H) token embeddings to one vector for each row, as nodes of the graph.

All but the maximum are a (B, S) row of weights times the token embeddings, one batched MatMul:
unlike gathering by index this needs no operator that a provider leaves to the CPU, and weights of
0 and 1 pick a row exactly in any precision. A mask is one run of ones, with zeros on either side.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from app.inference.manifest import TOKEN_EMBEDDINGS, PoolingMode
from export.graph_builder import Builder

_LEAST = float(np.finfo(np.float32).min)


def pool(builder: Builder, mode: PoolingMode, mask: str, output: str = "") -> str:
    """Add a pooling over the tokens where the (B, S) float mask is 1; the name of its output."""
    return _POOLINGS[mode](builder, mask, output)


def _cls(builder: Builder, mask: str, output: str) -> str:
    """The first real token: it has a 1, and the column before it a 0."""
    padded = builder.node("Pad", mask, builder.integers(0, 1, 0, 0))
    before = builder.node(
        "Slice", padded, builder.integers(0), builder.integers(-1), builder.integers(1)
    )
    first = builder.node("Relu", builder.node("Sub", mask, before))
    return _weighted_sum(builder, first, output)


def _last_token(builder: Builder, mask: str, output: str) -> str:
    """The last real token: it has a 1, and the column after it a 0."""
    padded = builder.node("Pad", mask, builder.integers(0, 0, 0, 1))
    end = builder.integers(np.iinfo(np.int64).max)
    after = builder.node("Slice", padded, builder.integers(1), end, builder.integers(1))
    last = builder.node("Relu", builder.node("Sub", mask, after))
    return _weighted_sum(builder, last, output)


def _mean(builder: Builder, mask: str, output: str) -> str:
    """The mean over real tokens; 0 for a row that has none."""
    return _divided(builder, mask, _total(builder, mask), output)


def _mean_sqrt_len(builder: Builder, mask: str, output: str) -> str:
    """The sum over real tokens, divided by the square root of their number."""
    return _divided(builder, mask, builder.node("Sqrt", _total(builder, mask)), output)


def _weighted_mean(builder: Builder, mask: str, output: str) -> str:
    """The mean over real tokens, the n-th of them weighing n."""
    places = builder.node("CumSum", mask, builder.integers(1))
    weights = builder.node("Mul", places, mask)
    return _divided(builder, weights, _total(builder, weights), output)


def _max(builder: Builder, mask: str, output: str) -> str:
    """The largest value of each component over real tokens."""
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
        "weightedmean": _weighted_mean,
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
