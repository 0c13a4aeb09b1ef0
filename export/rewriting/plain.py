"""Plain: a graph rewritten to yield a text's vector and nothing else, in as few nodes as it takes.

OpenVINO compiles each graph as a whole, prepares every node of it for each new shape, and computes
all of its outputs whichever are fetched. So what is known of shapes is constant, attention has one
constant for its scale and one mask for all layers that see the same, and the inputs are the 32-bit
integers that it turns others into.

In bfloat16 OpenVINO computes in float32 what lies between the last product of a graph and its
outputs: here the sums of the residual stream, which is what its closeness rests on. Pooling by a
product would end that, so tokens are weighted and summed.
"""

from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper, numpy_helper

from app.model.names import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from export.graph.builder import Builder
from export.graph.reader import (
    Reader,
    attribute,
    lift_constants,
    needs,
    opset,
    prune,
    replace_nodes,
)
from export.rewriting import masks, scores, settled_shapes
from export.rewriting.masks import Sight
from export.rewriting.scores import Scores
from export.rewriting.settled_shapes import LENGTH, Run

_TYPES = "token_type_ids"


def rewrite(model: onnx.ModelProto, run: Run) -> str | None:
    """Rewrite a float32 graph in place, or return why it cannot be; its inputs change as well.

    Nodes are known by their pattern, and by what they compute for a few batches, so the result has
    to be proved.
    """
    graph = model.graph
    lift_constants(graph)
    settled_shapes.settle(model, run)
    found = scores.find_all(graph)
    if not found or len(found) < sum(node.op_type == "Softmax" for node in graph.node):
        return "its attention is of another kind"
    terms = dict.fromkeys(term for one in found.values() for term in one.terms)
    rewriting = _Rewriting(Reader(graph), Builder(opset(model), "plain"))
    rewriting.add_all(graph, found, masks.find(model, terms, run))
    replace_nodes(graph, list(rewriting.builder.nodes))
    graph.initializer.extend(rewriting.builder.constants.values())
    [vector] = [one for one in graph.output if one.name == SENTENCE_EMBEDDING]
    del graph.output[:]
    graph.output.append(vector)
    prune(graph)
    if (obstacle := _behind_tokens(graph)) is not None:
        return obstacle
    _narrow(graph)
    return None


class _Rewriting:
    """One pass over the nodes of a graph."""

    def __init__(self, reader: Reader, builder: Builder) -> None:
        self.builder = builder
        self._reader = reader
        self._masks: dict[str, str] = {}  # what stands for each mask
        self._finite: set[str] = set()  # each softmax that is a number in every row

    def add_all(
        self, graph: onnx.GraphProto, found: Mapping[str, Scores], sights: Mapping[str, Sight]
    ) -> None:
        """Add all nodes, the known ones in their plain form."""
        builder = self.builder
        for node in graph.node:
            name = node.output[0]
            if LENGTH in node.output:
                builder.nodes.append(node)
                self._masks = masks.add(builder, LENGTH, sights)
            elif name in found:
                self._score(node, found[name])
            elif self._mends(node):
                builder.node("Identity", node.input[2], output=name)
            elif node.op_type == "Gather" and self._is_zero(node.input[1]):
                first = builder.integers(0)  # of every text, as only pairs have others
                builder.node("Gather", node.input[0], first, output=name)
            elif (weights := self._pooled_by(node)) is not None:
                column = builder.node("Unsqueeze", weights, builder.integers(2))
                weighted = builder.node("Mul", TOKEN_EMBEDDINGS, column)
                builder.reduced("ReduceSum", weighted, 1, keepdims=0, output=name)
            else:
                builder.nodes.append(node)

    def _score(self, node: onnx.NodeProto, one: Scores) -> None:
        builder = self.builder
        summed = builder.node("MatMul", one.queries, self._once_transposed(one.keys))
        if one.factor != 1:
            summed = builder.node("Mul", summed, builder.number(one.factor))
        for term in one.terms:
            summed = builder.node("Add", summed, self._masks.get(term, term))
        builder.node("Softmax", summed, axis=-1, output=node.output[0])
        if all(term in self._masks or not self._reader.fed_by(term) for term in one.terms):
            self._finite.add(node.output[0])

    def _once_transposed(self, name: str) -> str:
        """Return a tensor that is transposed twice, transposed once."""
        second = self._reader.made_by(name, "Transpose")
        first = self._reader.made_by(second.input[0], "Transpose") if second is not None else None
        if first is None or second is None:
            return name
        order, again = attribute(first, "perm"), attribute(second, "perm")
        if not (isinstance(order, list) and isinstance(again, list)):
            return name
        both = [order[axis] for axis in again]
        return self.builder.node("Transpose", first.input[0], perm=both)

    def _is_zero(self, name: str) -> bool:
        """Check whether a tensor holds the token types of texts alone, given or made up."""
        made = self._reader.made_by(name, "ConstantOfShape")
        value = attribute(made, "value") if made is not None else None
        zero = isinstance(value, onnx.TensorProto) and not numpy_helper.to_array(value).any()
        return name == _TYPES or zero

    def _mends(self, node: onnx.NodeProto) -> bool:
        """Check whether a node replaces what is not a number where every row is one."""
        odd = self._reader.made_by(node.input[0], "IsNaN") if node.op_type == "Where" else None
        return odd is not None and odd.input[0] == node.input[2] and odd.input[0] in self._finite

    def _pooled_by(self, node: onnx.NodeProto) -> str | None:
        """Return the (B, S) weights of the tokens that a node yields the sum of, if it does."""
        reader = self._reader
        product = reader.made_by(node.input[0], "MatMul") if node.op_type == "Squeeze" else None
        if product is None or product.input[1] != TOKEN_EMBEDDINGS:
            return None
        row = reader.made_by(product.input[0], "Unsqueeze")
        return None if row is None else str(row.input[0])


def _behind_tokens(graph: onnx.GraphProto) -> str | None:
    """Return what keeps the sums of the residual stream from being computed in float32, if any."""
    behind = {TOKEN_EMBEDDINGS}
    for node in graph.node:
        if not behind.isdisjoint(needs(node)):
            if node.op_type in {"MatMul", "Gemm"}:
                return "there is a layer behind its pooling"
            behind.update(node.output)
    return None if SENTENCE_EMBEDDING in behind else "it pools no vectors of tokens"


def _narrow(graph: onnx.GraphProto) -> None:
    """Drop inputs that nothing reads, and let the others be 32-bit integers."""
    read = {name for node in graph.node for name in needs(node)}
    inputs = [one for one in graph.input if one.name in read]
    del graph.input[:]
    for one in inputs:
        one.type.tensor_type.elem_type = TensorProto.INT32
        graph.input.append(one)
    names, widened = {one.name for one in inputs}, {}
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name in names and not _takes_any_integer(node, i):
                widened[name] = node.input[i] = f"{name}/int64"
    casts = [
        helper.make_node("Cast", [name], [wide], name=f"node/{wide}", to=TensorProto.INT64)
        for name, wide in widened.items()
    ]
    replace_nodes(graph, [*casts, *graph.node])


def _takes_any_integer(node: onnx.NodeProto, place: int) -> bool:
    return node.op_type in {"Cast", "Shape"} or (node.op_type == "Gather" and place == 1)
