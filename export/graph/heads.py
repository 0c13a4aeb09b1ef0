"""Heads: the outputs that the server reads, added to a bare graph.

An encoder gets its poolings, the layers behind them, and the outputs for each token; a masked
language model gets its sparse vector, a causal reranker its score. A classifier's graph yields its
logits already.
"""

from functools import partial
from pathlib import Path

import numpy as np

from app.model.names import (
    LEXICAL_WEIGHTS,
    LOGITS,
    MULTI_VECTOR_EMBEDDING,
    POOLED_OUTPUTS,
    POOLING_MASK,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    PoolingMode,
    Task,
)
from app.model.parts import GraphNames
from export.config.layers import Head, Layer, Linear, TokenHeads, Weights, width_behind
from export.config.splade import Splade
from export.graph import assemble, head_layers, poolings, splade
from export.graph.assemble import BATCH, ENCODER_OUTPUT, GRAPH_ANSWER, SEQUENCE, Dimension, Outputs
from export.graph.builder import Builder
from export.graph.poolings import Mask
from export.graph.score_column import Column

_NO_WEIGHTS: Weights = {}
_NO_TOKEN_HEADS = TokenHeads()


def finish(
    source: Path,
    folder: Path,
    task: Task,
    head: Head | Splade | None,
    weights: Weights = _NO_WEIGHTS,
    tokens: TokenHeads = _NO_TOKEN_HEADS,
) -> GraphNames:
    """Write a converted model with the outputs of its kind; classifiers have no head.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """
    if isinstance(head, Splade):
        return assemble.extend(source, folder, LOGITS, partial(_sparse, head))
    if head is not None and head.graph_width is not None:
        return _hand_out(source, folder, head, head.graph_width)
    if task in {"embedding", "multi_vector"}:
        return graft(source, folder, head, weights, tokens)
    return assemble.extend(source, folder, LOGITS, _classify)


def graft(
    source: Path,
    folder: Path,
    head: Head | None,
    weights: Weights = _NO_WEIGHTS,
    tokens: TokenHeads = _NO_TOKEN_HEADS,
) -> GraphNames:
    """Write an encoder with all that its checkpoint computes from the token embeddings.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """

    def embed(builder: Builder, width: Dimension) -> Outputs:
        pooled = {} if head is None else _pooled(head, weights, builder, width)
        each = _for_each_token(tokens, weights, builder, width)
        return {TOKEN_EMBEDDINGS: (BATCH, SEQUENCE, width), **pooled, **each}

    masks = () if head is None or head.include_prompt else (POOLING_MASK,)
    return assemble.extend(source, folder, ENCODER_OUTPUT, embed, masks)


def score(source: Path, folder: Path, column: Column) -> GraphNames:
    """Write a decoder with the score that a causal reranker computes from its last token, (B, 1).

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """

    def add(builder: Builder, width: Dimension) -> Outputs:
        del width
        real = builder.floats("attention_mask")
        last = poolings.pool(builder, "last_token", Mask(real, real))
        weight = builder.tensor("answers/weight", column.weight[:, None])
        product = builder.node("MatMul", last, weight)
        bias = builder.tensor("answers/bias", np.array([column.bias], np.float32))
        builder.node("Add", product, bias, output=LOGITS)
        return {LOGITS: (BATCH, 1)}

    return assemble.extend(source, folder, ENCODER_OUTPUT, add)


def _pooled(head: Head, weights: Weights, builder: Builder, width: Dimension) -> Outputs:
    """Add the checkpoint's vector, and if it is a plain pooling an output for each pooling."""
    real = builder.floats("attention_mask")
    mask = Mask(real, real if head.include_prompt else builder.floats(POOLING_MASK))
    named: dict[PoolingMode, str] = dict(POOLED_OUTPUTS.items()) if head.is_plain else {}
    for mode, output in named.items():
        poolings.pool(builder, mode, mask, output)
    pooled = [named.get(mode) or poolings.pool(builder, mode, mask) for mode in head.poolings]
    value = pooled[0] if len(pooled) == 1 else builder.node("Concat", *pooled, axis=-1)
    value = _through(head.layers, weights, builder, value)
    builder.node("Identity", _cut(head.cut, builder, value), output=SENTENCE_EMBEDDING)
    return {
        SENTENCE_EMBEDDING: (BATCH, _vector_width(head, width)),
        **dict.fromkeys(named.values(), (BATCH, width)),
    }


def _for_each_token(
    heads: TokenHeads, weights: Weights, builder: Builder, width: Dimension
) -> Outputs:
    """Add a weight and a vector for each token, as far as the checkpoint has them."""
    found: dict[str, tuple[Dimension, ...]] = {}
    if heads.lexical:
        value = _through(heads.lexical, weights, builder, TOKEN_EMBEDDINGS)
        builder.node("Squeeze", value, builder.integers(2), output=LEXICAL_WEIGHTS)
        found[LEXICAL_WEIGHTS] = (BATCH, SEQUENCE)
    if heads.multi_vector:
        value = _through(heads.multi_vector, weights, builder, TOKEN_EMBEDDINGS)
        builder.node("Identity", value, output=MULTI_VECTOR_EMBEDDING)
        linear = [
            weights[layer]["weight"] for layer in heads.multi_vector if isinstance(layer, Linear)
        ]
        wide = len(linear[-1]) if linear else width_behind(heads.multi_vector, int(width))
        found[MULTI_VECTOR_EMBEDDING] = (BATCH, SEQUENCE, wide)
    return found


def _cut(size: int | None, builder: Builder, value: str) -> str:
    if size is None:
        return value
    start, end, axis = builder.integers(0), builder.integers(size), builder.integers(1)
    return builder.node("Slice", value, start, end, axis)


def _through(layers: tuple[Layer, ...], weights: Weights, builder: Builder, value: str) -> str:
    for layer in layers:
        value = head_layers.add(builder, layer, weights.get(layer, {}), value)
    return value


def _vector_width(head: Head, width: Dimension) -> Dimension:
    if head.is_plain or isinstance(width, str):
        return width
    return head.cut or width_behind(head.layers, width * len(head.poolings))


def _hand_out(source: Path, folder: Path, head: Head, width: int) -> GraphNames:
    """Write a graph that itself yields a text's vector, with its token embeddings if it has any."""

    def embed(builder: Builder, tokens: Dimension) -> Outputs:
        builder.node("Identity", _cut(head.cut, builder, GRAPH_ANSWER), output=SENTENCE_EMBEDDING)
        each = {TOKEN_EMBEDDINGS: (BATCH, SEQUENCE, tokens)} if has_tokens else {}
        return {**each, SENTENCE_EMBEDDING: (BATCH, head.cut or width)}

    has_tokens = ENCODER_OUTPUT in assemble.outputs(source)
    known = ENCODER_OUTPUT if has_tokens else GRAPH_ANSWER
    return assemble.extend(source, folder, known, embed)


def _sparse(how: Splade, builder: Builder, width: Dimension) -> Outputs:
    """Add a SPLADE model's sparse vector over the logits of the real tokens, (B, V)."""
    splade.add(builder, how, SPARSE_EMBEDDING)
    return {SPARSE_EMBEDDING: (BATCH, width)}


def _classify(builder: Builder, width: Dimension) -> Outputs:
    """Keep the logits as they are, (B, L)."""
    del builder
    return {LOGITS: (BATCH, width)}
