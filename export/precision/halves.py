"""Halves: which tensors of a float32 graph are computed in float16, and the graph that does so.

Products with weights, attention, and elementwise operations on their results are in float16. What
could lose digits or overflow stays in float32: sums of two activations (the residual stream,
masks), normalization, softmax, reductions, and everything behind the encoder. Inputs and outputs
keep their types. Weights of products and the vocabulary are stored in float16.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graph.reader import needs, rebuild
from export.rewriting.attention import OPERATOR as ATTENTION

LARGEST = float(np.finfo(np.float16).max)

_HEAD = "node/head/"  # layers behind the encoder: they are small, and yield the answer
_PRODUCTS = frozenset({"MatMul", "Gemm", ATTENTION})
# Operators that follow their inputs: in float16 if all of these are, or are constants that fit.
_EACH = {"Add", "Sub", "Mul", "Div", "Neg", "Abs", "Relu", "LeakyRelu", "Erf", "Tanh", "Sigmoid"}
_MOVES = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Flatten", "Slice", "Split"}
_FOLLOWING = frozenset({*_EACH, *_MOVES, "Where", "Identity", "Concat", "Gather"})
_SUMS = frozenset({"Add", "Sub"})


@dataclass(frozen=True, slots=True)
class Types:
    """The float32 tensors of a graph."""

    floats: frozenset[str]
    single: frozenset[str]  # those of one value, whatever their rank

    @classmethod
    def infer(cls, model: onnx.ModelProto) -> "Types":
        """Infer the types in a graph of standard operators."""
        graph = onnx.shape_inference.infer_shapes(model).graph
        floats = {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT}
        single = set()
        for item in (*graph.input, *graph.output, *graph.value_info):
            kind = item.type.tensor_type
            if kind.elem_type == TensorProto.FLOAT:
                floats.add(item.name)
                if kind.HasField("shape") and all(axis.dim_value == 1 for axis in kind.shape.dim):
                    single.add(item.name)
        return cls(frozenset(floats), frozenset(single))


def decide(
    graph: onnx.GraphProto, types: Types, wide: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the tensors to compute in float16, without `wide` ones, which do not fit there.

    The graph's constants must be lifted, and its weights loaded.
    """
    halved: set[str] = set()
    constants = {one.name: _fits(one) for one in graph.initializer if one.name in types.floats}
    for node in graph.node:
        floats = [name for name in node.input if name in types.floats]
        fits = all(constants.get(name, True) for name in floats) and wide.isdisjoint(node.output)
        if node.name.startswith(_HEAD) or not floats or not fits:
            continue
        large = [name for name in floats if name not in constants and name not in types.single]
        sums = node.op_type in _SUMS and len(large) > 1
        follows = node.op_type in _FOLLOWING and large and halved.issuperset(large) and not sums
        if node.op_type in _PRODUCTS or follows:
            halved.update(types.floats.intersection(node.output))
    return frozenset(halved)


def rewrite(graph: onnx.GraphProto, types: Types, halved: frozenset[str]) -> None:
    """Compute these tensors in float16, in place, with casts wherever a precision changes."""
    rewriting = _Rewriting(graph, types, halved)
    for node in list(graph.node):
        rewriting.add(node)
    rewriting.finish()


def _fits(constant: onnx.TensorProto) -> bool:
    """Check whether float16 can hold a constant; it has infinities, too."""
    values = np.abs(numpy_helper.to_array(constant))
    return bool(((values <= LARGEST) | np.isinf(values)).all())


class _Rewriting:
    """One pass over a graph: a tensor keeps its name in float32, and has another in float16."""

    def __init__(self, graph: onnx.GraphProto, types: Types, halved: frozenset[str]) -> None:
        self._graph = graph
        self._floats = types.floats
        self._halved = halved
        self._constants = {one.name: one for one in graph.initializer}
        self._halves: dict[str, onnx.TensorProto] = {}  # constants in float16
        self._there = {one.name for one in graph.input}
        self._nodes: list[onnx.NodeProto] = []

    def add(self, node: onnx.NodeProto) -> None:
        """Add a node in its precision, and the casts that it needs."""
        if node.op_type == "Gather" and self._is_vocabulary(*node.input):
            node.input[0] = self._half(node.input[0])
            name, node.output[0] = node.output[0], _half_name(node.output[0])
            self._nodes.append(node)
            self._cast(node.output[0], name, TensorProto.FLOAT)  # what is summed next is float32
            return
        half = not self._halved.isdisjoint(node.output)
        for name in set(needs(node)).difference(node.input) & self._floats:  # read in a branch
            if _half_name(name) in self._there:
                self._full(name)
        for i, name in enumerate(node.input):
            if name in self._floats:
                node.input[i] = self._half(name) if half else self._full(name)
        for i, name in enumerate(node.output):
            if half and name in self._floats:
                node.output[i] = _half_name(name)
        self._there.update(node.output)
        self._nodes.append(node)

    def finish(self) -> None:
        """Replace the graph's nodes and constants, and cast its outputs to float32."""
        for item in self._graph.output:
            if item.name in self._floats:
                self._full(item.name)
        rebuild(self._graph, self._nodes, self._halves.values())

    def _is_vocabulary(self, table: str, ids: str) -> bool:
        """Check whether a table is the vocabulary's; other tables may have to be exact."""
        if ids != "input_ids" or table not in self._floats or table not in self._constants:
            return False
        return _fits(self._constants[table])

    def _half(self, name: str) -> str:
        """Return the name of a tensor in float16, after casting it if need be."""
        half = _half_name(name)
        if name in self._constants:
            if half not in self._halves:
                values = numpy_helper.to_array(self._constants[name]).astype(np.float16)
                self._halves[half] = numpy_helper.from_array(values, half)
        elif half not in self._there:
            self._cast(name, half, TensorProto.FLOAT16)
        return half

    def _full(self, name: str) -> str:
        if name not in self._constants and name not in self._there:
            self._cast(_half_name(name), name, TensorProto.FLOAT)
        return name

    def _cast(self, source: str, target: str, kind: int) -> None:
        self._nodes.append(
            helper.make_node("Cast", [source], [target], name=f"node/{target}", to=kind)
        )
        self._there.add(target)


def _half_name(name: str) -> str:
    return f"{name}/half"
