"""Poolings: a text's vector from those of its tokens, each mode in two forms.

One adds nodes to the graph, (B, S, H) to (B, H); the other is the reference that a proof compares
them with, NumPy over the tokens of one text, (S, H) to (H,). They share only a row of
the table; `app.model.names.PoolingMode` has the names.

In the graph, all but the maximum are a (B, S) row of weights times the token embeddings, one
batched MatMul: unlike gathering by index this needs no operator that a provider leaves to the CPU,
and weights of 0 and 1 pick a row exactly in any precision. A mask is one run of ones, with zeros on
either side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.model.names import TOKEN_EMBEDDINGS, PoolingMode
from export.graph.builder import Builder

Tokens = NDArray[np.float32]
_LEAST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class Mask:
    """The names of (B, S) floats: 1 for tokens that are not padding, and for those to pool."""

    real: str
    pooled: str


@dataclass(frozen=True, slots=True)
class Pooling:
    """The two forms of a mode."""

    nodes: Callable[[Builder, Mask, str], str]  # adds it under the name given; returns the name
    of_text: Callable[[Tokens, int], Tokens]  # takes the pooled tokens, and how many precede them


def pool(builder: Builder, mode: PoolingMode, mask: Mask, output: str = "") -> str:
    """Add a pooling, and return the name of its output."""
    return _POOLINGS[mode].nodes(builder, mask, output)


def pooled(mode: PoolingMode, tokens: Tokens, before: int = 0) -> Tokens:
    """Return the vector (H,) of a text's pooled tokens (S, H); `before` others precede them."""
    return _POOLINGS[mode].of_text(tokens, before)


def _cls(builder: Builder, mask: Mask, output: str) -> str:
    """Select the first pooled token: it has a 1, and the column before it a 0."""
    padded = builder.node("Pad", mask.pooled, builder.integers(0, 1, 0, 0))
    before = builder.node(
        "Slice", padded, builder.integers(0), builder.integers(-1), builder.integers(1)
    )
    first = builder.node("Relu", builder.node("Sub", mask.pooled, before))
    return _weighted_sum(builder, first, output)


def _last_token(builder: Builder, mask: Mask, output: str) -> str:
    """Select the last pooled token: it has a 1, and the column after it a 0."""
    padded = builder.node("Pad", mask.pooled, builder.integers(0, 0, 0, 1))
    end = builder.integers(np.iinfo(np.int64).max)
    after = builder.node("Slice", padded, builder.integers(1), end, builder.integers(1))
    last = builder.node("Relu", builder.node("Sub", mask.pooled, after))
    return _weighted_sum(builder, last, output)


def _mean(builder: Builder, mask: Mask, output: str) -> str:
    """Average the pooled tokens; 0 for a row without any."""
    return _divided(builder, mask.pooled, _total(builder, mask.pooled), output)


def _mean_sqrt_len(builder: Builder, mask: Mask, output: str) -> str:
    """Sum the pooled tokens, and divide by the square root of their number."""
    return _divided(
        builder, mask.pooled, builder.node("Sqrt", _total(builder, mask.pooled)), output
    )


def _weighted_mean(builder: Builder, mask: Mask, output: str) -> str:
    """Average the pooled tokens; the n-th real one weighs n, even if not all are pooled."""
    places = builder.node("CumSum", mask.real, builder.integers(1))
    weights = builder.node("Mul", places, mask.pooled)
    return _divided(builder, weights, _total(builder, weights), output)


def _max(builder: Builder, mask: Mask, output: str) -> str:
    """Take the largest value of each component over the pooled tokens."""
    column = builder.node("Unsqueeze", mask.pooled, builder.integers(2))
    is_real = builder.node("Greater", column, builder.number(0))
    real = builder.node("Where", is_real, TOKEN_EMBEDDINGS, builder.number(_LEAST))
    return builder.reduced("ReduceMax", real, 1, keepdims=0, output=output)


def _total(builder: Builder, weights: str) -> str:
    """Sum the (B, S) weights of each row, (B, 1), and avoid 0."""
    total = builder.node("ReduceSum", weights, builder.integers(1), keepdims=1)
    return builder.node("Max", total, builder.number(1e-9))


def _divided(builder: Builder, weights: str, divisor: str, output: str) -> str:
    """Divide the weighted sum last: a count is exact in every precision, its inverse is not."""
    return builder.node("Div", _weighted_sum(builder, weights, ""), divisor, output=output)


def _weighted_sum(builder: Builder, weights: str, output: str) -> str:
    """Multiply (B, S) weights by (B, S, H) token embeddings: (B, H)."""
    row = builder.node("Unsqueeze", weights, builder.integers(1))
    product = builder.node("MatMul", row, TOKEN_EMBEDDINGS)
    return builder.node("Squeeze", product, builder.integers(1), output=output)


def _weighted_mean_of_text(tokens: Tokens, before: int) -> Tokens:
    """Average the tokens; the n-th one of the text weighs n."""
    weights = np.arange(1, len(tokens) + 1, dtype=np.float32) + np.float32(before)
    mean: Tokens = weights @ tokens / weights.sum()
    return mean


_POOLINGS: Mapping[PoolingMode, Pooling] = MappingProxyType(
    {
        "cls": Pooling(_cls, lambda tokens, _: tokens[0]),
        "mean": Pooling(_mean, lambda tokens, _: tokens.mean(axis=0, dtype=np.float32)),
        "last_token": Pooling(_last_token, lambda tokens, _: tokens[-1]),
        "max": Pooling(_max, lambda tokens, _: tokens.max(axis=0)),
        "mean_sqrt_len_tokens": Pooling(
            _mean_sqrt_len, lambda tokens, _: tokens.sum(axis=0) / np.sqrt(np.float32(len(tokens)))
        ),
        "weightedmean": Pooling(_weighted_mean, _weighted_mean_of_text),
    }
)
