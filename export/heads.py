"""Heads: give a bare graph the outputs that the server reads.

An encoder gets its poolings and the layers behind them, a masked language model its sparse vector;
what a classifier yields is in its graph already.
"""

from functools import partial
from pathlib import Path

from app.inference.manifest import (
    LOGITS,
    POOLED_OUTPUTS,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    PoolingMode,
    Task,
)
from export import converted_graph, head_layers, poolings
from export.converted_graph import BATCH, ENCODER_OUTPUT, SEQUENCE, Dimension, Outputs
from export.describe import Names
from export.graph_builder import Builder
from export.layers import Head, Layer, Weights, width_behind

_NO_WEIGHTS: Weights = {}


def finish(
    source: Path, folder: Path, task: Task, head: Head | None, weights: Weights = _NO_WEIGHTS
) -> Names:
    """Write a converted model with the outputs of its kind; only embedders have a head.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """
    if head is not None:
        return graft(source, folder, head, weights)
    outputs = _sparse if task == "splade" else _classify
    return converted_graph.extend(source, folder, LOGITS, outputs)


def graft(source: Path, folder: Path, head: Head, weights: Weights = _NO_WEIGHTS) -> Names:
    """Write an encoder with what its checkpoint makes of the token embeddings.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """
    return converted_graph.extend(source, folder, ENCODER_OUTPUT, partial(_embed, head, weights))


def _embed(head: Head, weights: Weights, builder: Builder, width: Dimension) -> Outputs:
    """(B, S, H), the vector that the checkpoint means, and if it is plain one for each pooling."""
    mask = builder.floats("attention_mask")
    named: dict[PoolingMode, str] = dict(POOLED_OUTPUTS.items()) if head.is_plain else {}
    for mode, output in named.items():
        poolings.pool(builder, mode, mask, output)
    pooled = [named.get(mode) or poolings.pool(builder, mode, mask) for mode in head.poolings]
    value = pooled[0] if len(pooled) == 1 else builder.node("Concat", *pooled, axis=-1)
    value = _through(head.layers, weights, builder, value)
    builder.node("Identity", _cut(head.cut, builder, value), output=SENTENCE_EMBEDDING)
    return {
        TOKEN_EMBEDDINGS: (BATCH, SEQUENCE, width),
        SENTENCE_EMBEDDING: (BATCH, _vector_width(head, width)),
        **dict.fromkeys(named.values(), (BATCH, width)),
    }


def _cut(size: int | None, builder: Builder, value: str) -> str:
    if size is None:
        return value
    start, end, axis = builder.integers(0), builder.integers(size), builder.integers(1)
    return builder.node("Slice", value, start, end, axis)


def _through(layers: tuple[Layer, ...], weights: Weights, builder: Builder, value: str) -> str:
    for layer in layers:
        value = head_layers.add(builder, layer, weights[layer], value)
    return value


def _vector_width(head: Head, width: Dimension) -> Dimension:
    if head.is_plain or isinstance(width, str):
        return width
    return head.cut or width_behind(head.layers, width * len(head.poolings))


def _sparse(builder: Builder, width: Dimension) -> Outputs:
    """SPLADE: the largest of ln(1 + relu(logit)) over the real tokens, (B, V)."""
    column = builder.node("Unsqueeze", builder.floats("attention_mask"), builder.integers(2))
    positive = builder.node("Mul", builder.node("Relu", LOGITS), column)
    # The logarithm last: it grows with its argument, and this way it is taken S times less often.
    largest = builder.reduced("ReduceMax", positive, 1, keepdims=0)
    builder.node("Log", builder.node("Add", largest, builder.number(1)), output=SPARSE_EMBEDDING)
    return {SPARSE_EMBEDDING: (BATCH, width)}


def _classify(builder: Builder, width: Dimension) -> Outputs:
    """The logits as they are, (B, L)."""
    del builder
    return {LOGITS: (BATCH, width)}
