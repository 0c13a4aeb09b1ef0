"""Packing: a graph that removes a batch's padding once, and restores it if need be.

In between a token is a row, (T, H) in place of (B, S, H): products take as many rows as there are
real tokens. The operators for it (RemovePadding, PackedMultiHeadAttention, RestorePadding) are ONNX
Runtime's, and run on its CUDA provider only.
"""

import onnx
from onnx import helper

from export.graph.reader import MICROSOFT, Reader, attribute, rename, replace_nodes
from export.rewriting.attention import LENGTHS
from export.rewriting.attention import OPERATOR as ATTENTION

_OFFSETS, _ENDS, _LONGEST = "packing/offsets", "packing/ends", "packing/longest"
# Operators that work on each token alone, if their other inputs are the same for every token.
_SUMS = {"Add", "Sub", "Mul", "Div", "Pow", "Neg", "Abs"}
_EACH = frozenset({*_SUMS, "Relu", "Erf", "Tanh", "Sigmoid", "Cast", "Identity"})


def pack(model: onnx.ModelProto) -> bool:
    """Remove padding from a graph with fused attention, in place; return whether that succeeded.

    Nodes that are not known to work on each token alone get whole batches, as before.
    """
    reader = Reader(model.graph)
    first = next((node for node in model.graph.node if node.op_type == ATTENTION), None)
    entry = None if first is None else _entry(reader, first.input[0])
    if entry is None:
        return False
    packing = _Packing(reader, entry)
    for node in list(model.graph.node):
        packing.add(node)
    packing.restore([item.name for item in model.graph.output])
    replace_nodes(model.graph, packing.nodes)
    return packing.is_whole


def _entry(reader: Reader, query: str) -> str | None:
    """Return the tensor that the first queries are projected from, (B, S, H), with padding."""
    node = reader.producer(query)
    while node is not None and node.op_type in {"Add", "Mul"}:  # a bias
        computed = [one for one in node.input if not reader.is_constant(one)]
        node = reader.producer(computed[0]) if len(computed) == 1 else None
    if node is None or node.op_type != "MatMul":
        return None
    cast = reader.made_by(node.input[0], "Cast")
    return str(cast.input[0] if cast is not None else node.input[0])


class _Packing:
    """One pass over the nodes: a tensor keeps its name padded, and has another one packed."""

    def __init__(self, reader: Reader, entry: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.is_whole = True  # whether every attention is packed
        self._reader = reader
        self._entry = entry
        self._packed: set[str] = set()  # tensors that exist packed
        self._padded: set[str] = set()  # those of them that exist padded as well

    def add(self, node: onnx.NodeProto) -> None:
        """Add a node over rows of tokens if it allows that, else over whole batches."""
        if node.op_type == ATTENTION and self._packed.issuperset(node.input[:3]):
            self._attend(node)
        elif self._is_of_each(node):
            self._rename(node)
        else:
            self.is_whole = self.is_whole and node.op_type != ATTENTION
            self.restore(node.input)
            self.nodes.append(node)
        if self._entry in node.output:
            self._remove()

    def restore(self, names: list[str]) -> None:
        """Restore the padding of these tensors, unless that has been done."""
        for name in names:
            if name in self._packed and name not in self._padded:
                self._node("RestorePadding", [_packed(name), _OFFSETS], [name])
                self._padded.add(name)

    def _remove(self) -> None:
        outputs = [_packed(self._entry), _OFFSETS, _ENDS, _LONGEST]
        self._node("RemovePadding", [self._entry, LENGTHS], outputs)
        self._packed.add(self._entry)
        self._padded.add(self._entry)

    def _attend(self, node: onnx.NodeProto) -> None:
        inputs = [*map(_packed, node.input[:3]), "", _OFFSETS, _ENDS, *node.input[5:]]
        self._node(f"Packed{ATTENTION}", inputs, [_packed(node.output[0])])
        self.nodes[-1].attribute.extend(node.attribute)
        self._packed.add(node.output[0])

    def _rename(self, node: onnx.NodeProto) -> None:
        self._packed.update(node.output)
        mentioned = self._packed.intersection([*node.input, *node.output])
        rename([node], {name: _packed(name) for name in mentioned})
        self.nodes.append(node)

    def _is_of_each(self, node: onnx.NodeProto) -> bool:
        """Check whether a node does the same to every token, and so to rows of tokens."""
        packed = [name for name in node.input if name in self._packed]
        others = [name for name in node.input if name and name not in self._packed]
        if not packed or not all(map(self._reader.is_constant, others)):
            return False
        if node.op_type == "MatMul":
            return node.input[0] in self._packed and [*map(self._reader.rank, others)] == [2]
        if node.op_type == "LayerNormalization":
            return attribute(node, "axis", -1) == -1 and node.input[0] in self._packed
        return node.op_type in _EACH and all(self._reader.rank(name) <= 1 for name in others)

    def _node(self, operator: str, inputs: list[str], outputs: list[str]) -> None:
        name = f"node/{outputs[0]}/{operator}"
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=MICROSOFT))


def _packed(name: str) -> str:
    return f"{name}/packed"
