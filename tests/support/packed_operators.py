"""ONNX Runtime's CUDA kernels for packed batches, in NumPy.

From their descriptions in ONNX Runtime's operator schemas: rows are padded on the right, padding
is restored as zeros, and each sequence attends to itself alone.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


class RemovePadding(OpRun):
    op_domain = "com.microsoft"

    def _run(self, padded: Array, counts: Array) -> tuple[Array, ...]:
        rows, length, width = padded.shape
        real = np.arange(length) < counts[:, np.newaxis]
        places = np.arange(rows * length)
        offsets = np.concatenate([places[real.ravel()], places[~real.ravel()]])
        ends = np.concatenate([[0], np.cumsum(counts)])
        return (
            padded.reshape(-1, width)[real.ravel()],
            offsets.reshape(rows, length).astype(np.int32),
            ends.astype(np.int32),
            counts.max(keepdims=True).astype(np.int32),
        )


class RestorePadding(OpRun):
    op_domain = "com.microsoft"

    def _run(self, packed: Array, offsets: Array) -> tuple[Array]:
        padded = np.zeros((offsets.size, packed.shape[-1]), packed.dtype)
        padded[offsets.ravel()[: len(packed)]] = packed
        return (padded.reshape(*offsets.shape, -1),)


class PackedMultiHeadAttention(OpRun):
    op_domain = "com.microsoft"

    def _run(  # noqa: PLR0913  # the operator has as many inputs
        self,
        query: Array,
        key: Array,
        value: Array,
        bias: Array | None,
        _offsets: Array,
        ends: Array,
        attention_bias: Array | None = None,
        num_heads: int = 0,
        scale: float | None = None,
        mask_filter_value: float | None = None,
    ) -> tuple[Array]:
        assert bias is None
        assert mask_filter_value is None
        size = query.shape[1] // num_heads
        factor = scale or 1 / np.sqrt(size)
        # (T, N·H) → (N, T, H); kernels keep sums and the softmax in float32
        q, k, v = (
            one.astype(np.float32).reshape(-1, num_heads, size).transpose(1, 0, 2)
            for one in (query, key, value)
        )
        out = np.empty_like(q)
        for row, (start, end) in enumerate(pairwise(ends)):
            scores = factor * q[:, start:end] @ k[:, start:end].transpose(0, 2, 1)
            if attention_bias is not None:
                length = end - start
                scores += attention_bias[row % len(attention_bias), :, :length, :length]
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            out[:, start:end] = weights @ v[:, start:end]
        return (out.transpose(1, 0, 2).reshape(query.shape).astype(query.dtype),)


def evaluator(model: onnx.ModelProto) -> Any:
    """Return a model with these operators, which runs node by node in NumPy."""
    operators = [RemovePadding, RestorePadding, PackedMultiHeadAttention]
    return ReferenceEvaluator(model, new_ops=operators)
