"""Forms: whether a graph converted elsewhere is quantized, or in float16."""

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
    """Yield every node, including those in branches and loops."""
    for node in graph.node:
        yield node
        for one in node.attribute:
            if one.type == AttributeProto.GRAPH:
                yield from nodes(one.g)


def tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Yield all constants of a graph, including those in its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.type == AttributeProto.GRAPH:
                yield from tensors(attribute.g)


def four_bits(graph: onnx.GraphProto) -> str | None:
    """Name the operator or type that shows that weights are rounded to 4 bits, or return None."""
    found = (node.op_type for node in nodes(graph) if node.op_type in _FOUR_BITS)
    if (operator := next(found, None)) is not None:
        return operator
    return "int4" if any(one.data_type in _FOUR_BIT_TYPES for one in tensors(graph)) else None


def is_quantized(graph: onnx.GraphProto) -> bool:
    """Check whether some of a graph is computed in integers, unlike its original."""
    return any(
        node.op_type in _QUANTIZED or node.op_type.startswith("QLinear") for node in nodes(graph)
    )


def shares_scales(graph: onnx.GraphProto) -> bool:
    """Check whether a batch shares a scale, so that a text's answer depends on the other texts.

    It would also depend on how far the text is padded.
    """
    return any(node.op_type in _SHARED for node in nodes(graph))


def holds_halves(graph: onnx.GraphProto) -> bool:
    """Check whether a graph computes in float16, which is no gain on a CPU."""
    return any(one.data_type == TensorProto.FLOAT16 for one in tensors(graph)) or any(
        item.type.tensor_type.elem_type == TensorProto.FLOAT16 for item in graph.output
    )


def widen(model: onnx.ModelProto) -> None:
    """Make a model compute in float32 instead of float16, in place; its weights must be loaded."""
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
