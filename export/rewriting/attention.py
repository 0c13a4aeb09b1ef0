"""Attention: the two dozen nodes of each attention, fused into one MultiHeadAttention.

Only attention over all real tokens, padded on the right, is supported: the mask becomes the number
of real tokens of each row, which fast kernels take. Nodes are matched by their pattern alone, so
the result has to be proved: a causal mask, for example, would be lost.
"""

import math
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from export.graph.builder import Builder
from export.graph.reader import (
    MICROSOFT,
    Reader,
    attribute,
    import_microsoft,
    opset,
    prune,
    replace_nodes,
)
from export.rewriting import scores

OPERATOR = "MultiHeadAttention"
LENGTHS = "attention/lengths"  # (B,) int32: the real tokens of each row
_HEADS_FIRST, _KEYS_LAST, _SWAPPED = [0, 2, 1, 3], [0, 2, 3, 1], [0, 1, 3, 2]
_MASK = frozenset({"attention_mask"})


@dataclass(frozen=True, slots=True)
class _Split:
    """A projection (B, S, N·H) that is split into heads, (B, N, S, H)."""

    source: str
    heads: int
    size: int
    factor: float | None  # of the projection; None if the graph computes it


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention, whose inputs and output are (B, S, N·H)."""

    output: str
    inputs: tuple[str, str, str]  # query, key, value
    heads: int
    size: int  # of a head of the queries
    scale: float | None  # None: the operator's default, 1 / √size
    bias: str  # (1 or B, N, S, S), or empty


def find(graph: onnx.GraphProto) -> dict[str, Attention]:
    """Return every attention of a float32 graph by its output; its constants must be lifted.

    None is returned if one of them is of another kind.
    """
    reader = Reader(graph)
    matched = filter(None, (_match(reader, node) for node in graph.node))
    found = {one.output: one for one in matched}
    return found if len(found) == sum(node.op_type == "Softmax" for node in graph.node) else {}


def fuse(model: onnx.ModelProto) -> int:
    """Replace every attention of a float32 graph, in place; its constants must be lifted.

    Returns how many were replaced: all, or none if one of them is of another kind.
    """
    found = find(model.graph)
    if not found:
        return 0
    builder = Builder(opset(model), "attention")
    counted = builder.reduced("ReduceSum", "attention_mask", 1, keepdims=0)
    builder.node("Cast", counted, to=TensorProto.INT32, output=LENGTHS)
    for node in model.graph.node:
        if node.output[0] in found:
            _add(builder, found[node.output[0]])
        else:
            builder.nodes.append(node)
    replace_nodes(model.graph, list(builder.nodes))
    model.graph.initializer.extend(builder.constants.values())
    import_microsoft(model)
    prune(model.graph)
    return len(found)


def _add(builder: Builder, one: Attention) -> None:
    scale = {} if one.scale is None else {"scale": one.scale}
    inputs = (*one.inputs, "", LENGTHS, *filter(None, [one.bias]))
    builder.node(
        OPERATOR, *inputs, output=one.output, domain=MICROSOFT, num_heads=one.heads, **scale
    )


def _match(reader: Reader, last: onnx.NodeProto) -> Attention | None:
    """Return the attention that ends in this node, which puts its heads side by side again."""
    swapped = reader.made_by(last.input[0], "Transpose") if last.op_type == "Reshape" else None
    if swapped is None or attribute(swapped, "perm") != _HEADS_FIRST:
        return None
    product = reader.made_by(swapped.input[0], "MatMul")
    softmax = reader.made_by(product.input[0], "Softmax") if product else None
    summed = scores.find(reader, softmax.input[0]) if softmax else None
    if product is None or summed is None:
        return None
    query = _split(reader, summed.queries, _HEADS_FIRST)
    key = _split(reader, summed.keys, _KEYS_LAST)
    value = _split(reader, product.input[1], _HEADS_FIRST)
    masks = [one for one in summed.terms if reader.fed_by(one) == _MASK]
    biases = [one for one in summed.terms if not reader.fed_by(one)]
    if query is None or key is None or value is None or value.factor != 1.0:
        return None
    if len(masks) != 1 or len(masks) + len(biases) != len(summed.terms) or len(biases) > 1:
        return None
    return Attention(
        output=last.output[0],
        inputs=(query.source, key.source, value.source),
        heads=query.heads,
        size=query.size,
        scale=_scale(query, key, summed.factor),
        bias=biases[0] if biases else "",
    )


def _scale(query: _Split, key: _Split, factor: float) -> float | None:
    """Return the scale of the products, or None if it is the operator's default."""
    if query.factor is None or key.factor is None:
        return None
    scale = query.factor * key.factor * factor
    return None if math.isclose(scale, 1 / math.sqrt(query.size), rel_tol=1e-4) else scale


def _split(reader: Reader, name: str, order: list[int]) -> _Split | None:
    """Follow a tensor of heads, with axes in this order, back to where they are side by side."""
    node = reader.producer(name)
    if node is None:
        return None
    if node.op_type == "Mul":  # by the square root of the scale
        inner = next((one for one in node.input if reader.made_by(one, "Transpose")), None)
        found = _split(reader, inner, order) if inner is not None else None
        if found is None or found.factor is None:
            return found
        [number] = [reader.number(one) for one in node.input if one != inner] or [None]
        factor = None if number is None else found.factor * number
        return _Split(found.source, found.heads, found.size, factor)
    if node.op_type == "Transpose" and attribute(node, "perm") == _SWAPPED and order == _KEYS_LAST:
        return _split(reader, node.input[0], _HEADS_FIRST)
    split = reader.made_by(node.input[0], "Reshape") if node.op_type == "Transpose" else None
    if split is None or attribute(node, "perm") != order:
        return None
    heads, size = _last_two(reader, split.input[1])
    return _Split(split.input[0], heads, size, 1.0) if heads > 0 and size > 0 else None


def _last_two(reader: Reader, shape: str) -> tuple[int, int]:
    """Return the number of heads and their size in a shape of four axes; zeros if unknown."""
    known = reader.small(shape)
    if known is not None and known.size == 4:
        return int(known[2]), int(known[3])
    parts = reader.made_by(shape, "Concat")
    if parts is None or len(parts.input) != 4:
        return 0, 0
    heads, size = (reader.number(one) for one in parts.input[2:])
    return int(heads or 0), int(size or 0)
