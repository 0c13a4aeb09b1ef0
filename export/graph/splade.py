"""SPLADE nodes: the pooling of logits to one sparse vector, as nodes of the graph."""

from app.model.names import LOGITS
from export.config.layers import Normalize
from export.config.splade import Splade
from export.graph import head_layers
from export.graph.builder import Builder


def add(builder: Builder, splade: Splade, output: str) -> None:
    """Add the pooling of (B, S, V) logits over the real tokens as `output`, (B, V)."""
    column = builder.node("Unsqueeze", builder.floats("attention_mask"), builder.integers(2))
    value = builder.node("Mul", builder.node("Relu", LOGITS), column)
    if splade.strategy == "max":
        # The logarithm is monotonic: taken after the maximum, it is computed S times less often.
        value = _logarithms(builder, splade, builder.reduced("ReduceMax", value, 1, keepdims=0))
    else:
        value = _logarithms(builder, splade, value)
        value = builder.node("ReduceSum", value, builder.integers(1), keepdims=0)
    if splade.normalize:
        value = head_layers.add(builder, Normalize(), {}, value)
    builder.node("Identity", value, output=output)


def _logarithms(builder: Builder, splade: Splade, value: str) -> str:
    for _ in range(splade.logarithms):
        value = builder.node("Log", builder.node("Add", value, builder.number(1)))
    return value
