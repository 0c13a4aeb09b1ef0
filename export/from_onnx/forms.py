"""Graph forms: whether a graph that somebody else converted is quantized, or holds halves."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

_QUANTIZED = frozenset(
    {
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QAttention",
        "QEmbedLayerNormalization",
        "QGemm",
        "QuantizeLinear",
    }
)
_SHARED = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul"})
_FOUR_BITS = frozenset({"GatherBlockQuantized", "MatMulBnb4", "MatMulFpQ4", "MatMulNBits"})
_FOUR_BIT_TYPES = frozenset({TensorProto.INT4, TensorProto.UINT4})


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those inside of branches and loops among them."""
    for node in graph.node:
        yield node
        for one in node.attribute:
            if one.type == AttributeProto.GRAPH:
                yield from nodes(one.g)


def tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """All constants of a graph, which may stand in its nodes as well."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.type == AttributeProto.GRAPH:
                yield from tensors(attribute.g)


def four_bits(graph: onnx.GraphProto) -> str | None:
    """What shows that weights are rounded to 4 bits; None where they are not."""
    found = (node.op_type for node in nodes(graph) if node.op_type in _FOUR_BITS)
    if (operator := next(found, None)) is not None:
        return operator
    return "int4" if any(one.data_type in _FOUR_BIT_TYPES for one in tensors(graph)) else None


def is_quantized(graph: onnx.GraphProto) -> bool:
    """Whether some of it is computed in integers, whose answers are not its original's."""
    return any(
        node.op_type in _QUANTIZED or node.op_type.startswith("QLinear") for node in nodes(graph)
    )


def shares_scales(graph: onnx.GraphProto) -> bool:
    """Whether a scale is found for all of a batch, so that a text's answer depends on the others.

    They would also depend on how far each is padded.
    """
    return any(node.op_type in _SHARED for node in nodes(graph))


def holds_halves(graph: onnx.GraphProto) -> bool:
    """Whether it computes in float16, which no CPU gains anything by."""
    return any(one.data_type == TensorProto.FLOAT16 for one in tensors(graph)) or any(
        item.type.tensor_type.elem_type == TensorProto.FLOAT16 for item in graph.output
    )


def widen(model: onnx.ModelProto) -> None:
    """Let a model compute in float32 what it computes in float16, in place; weights are in it."""
    for tensor in tensors(model.graph):
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in nodes(model.graph):
        for one in node.attribute:
            if one.name in {"to", "dtype"} and one.i == TensorProto.FLOAT16:
                one.i = TensorProto.FLOAT
    for graph in _graphs(model.graph):
        for item in (*graph.input, *graph.output):
            if item.type.tensor_type.elem_type == TensorProto.FLOAT16:
                item.type.tensor_type.elem_type = TensorProto.FLOAT
        del graph.value_info[:]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for one in node.attribute:
            if one.type == AttributeProto.GRAPH:
                yield from _graphs(one.g)
