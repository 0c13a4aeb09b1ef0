"""Plain: a graph rewritten to yield a text's vector and nothing else, in as few nodes as it takes.

OpenVINO compiles each graph as a whole, prepares every node of it for each new shape, and computes
all of its outputs whichever are fetched. So attention is five products and sums with one constant
for its scale and one mask (B, 1, 1, S) for all layers, no shape is computed on the way, and the
inputs are the 32-bit integers that it turns others into.

In bfloat16 OpenVINO computes in float32 what lies between the last product of a graph and its
outputs: here the sums of the residual stream, which is what its closeness rests on. Pooling by a
product would end that, so tokens are weighted and summed.
"""

import math

import onnx
from onnx import TensorProto, helper

from app.model.names import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from export.graph.builder import Builder
from export.graph.reader import Reader, lift_constants, needs, opset, prune, replace_nodes
from export.rewriting import attention
from export.rewriting.attention import Attention

_TYPES = "token_type_ids"
_MASK = "attention_mask"
_HIDDEN = 1e9  # subtracted from the scores of padding: bfloat16 and float32 both hold it
_HEADS_FIRST, _KEYS_LAST = [0, 2, 1, 3], [0, 2, 3, 1]


def rewrite(model: onnx.ModelProto) -> str | None:
    """Rewrite a float32 graph in place, or return why it cannot be; its inputs change as well.

    Nodes are matched by their pattern alone, so the result has to be proved.
    """
    graph = model.graph
    lift_constants(graph)
    found = attention.find(graph)
    if not found:
        return "its attention is of another kind than BERT's"
    rewriting = _Rewriting(Reader(graph), Builder(opset(model), "plain"))
    rewriting.add_all(graph, found)
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
        self._hidden = ""  # (B, 1, 1, S): what is added to the scores

    def add_all(self, graph: onnx.GraphProto, found: dict[str, Attention]) -> None:
        """Add all nodes, the known ones in their plain form."""
        builder = self.builder
        missing = builder.node("Sub", builder.floats(_MASK), builder.number(1))
        hidden = builder.node("Mul", missing, builder.number(_HIDDEN))
        self._hidden = builder.node("Unsqueeze", hidden, builder.integers(1, 2))
        for node in graph.node:
            if node.output[0] in found:
                self._attend(found[node.output[0]])
            elif node.op_type == "Gather" and node.input[1] == _TYPES:
                first = builder.integers(0)  # of every text, as only pairs have others
                builder.node("Gather", node.input[0], first, output=node.output[0])
            elif (weights := self._pooled_by(node)) is not None:
                column = builder.node("Unsqueeze", weights, builder.integers(2))
                weighted = builder.node("Mul", TOKEN_EMBEDDINGS, column)
                builder.reduced("ReduceSum", weighted, 1, keepdims=0, output=node.output[0])
            else:
                builder.nodes.append(node)

    def _attend(self, one: Attention) -> None:
        builder = self.builder
        orders = (_HEADS_FIRST, _KEYS_LAST, _HEADS_FIRST)
        query, key, value = (
            builder.node("Transpose", self._split(name, one.heads), perm=order)
            for name, order in zip(one.inputs, orders, strict=True)
        )
        scale = 1 / math.sqrt(one.size) if one.scale is None else one.scale
        scores = builder.node("Mul", builder.node("MatMul", query, key), builder.number(scale))
        for term in filter(None, (one.bias, self._hidden)):
            scores = builder.node("Add", scores, term)
        found = builder.node("MatMul", builder.node("Softmax", scores, axis=-1), value)
        swapped = builder.node("Transpose", found, perm=_HEADS_FIRST)
        builder.node("Reshape", swapped, builder.integers(0, 0, -1), output=one.output)

    def _split(self, name: str, heads: int) -> str:
        return self.builder.node("Reshape", name, self.builder.integers(0, 0, heads, -1))

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
    return node.op_type == "Cast" or (node.op_type == "Gather" and place == 1)
