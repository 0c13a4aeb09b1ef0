"""Linear layers: where a graph multiplies by constant weights, and what it does around that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from export.graph.reader import Reader, users_of
from export.rewriting import activations, column_halves
from export.rewriting.activations import Activation

_HEAD = "head/"  # layers behind the encoder stay as they are: they are small, and end in the vector
_LEAST = 16  # entries of a row and of a column for which a product is worth its rounding


@dataclass(frozen=True, slots=True)
class Linear:
    """A product of an input with weights, (K, N), its bias, and what is made of it."""

    input: str
    weights: str
    bias: str  # or empty
    activation: Activation | None
    output: str
    nodes: tuple[onnx.NodeProto, ...]

    def product(self) -> "Linear":
        """Return it without the activation, whose nodes then stay."""
        nodes = self.nodes[: 2 if self.bias else 1]
        return replace(self, activation=None, output=nodes[-1].output[0], nodes=nodes)


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Products with one activated product between; gated if there are two, or one of two halves."""

    up: Linear
    gate: Linear | None
    halved: bool
    down: Linear
    nodes: tuple[onnx.NodeProto, ...]


class Layers:
    """The layers of a graph, which must not change during it; its constants must be lifted."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._zeros: set[str] = set()
        self._reader = Reader(graph)
        self._matrices = {
            item.name: tuple(item.dims)
            for item in graph.initializer
            if item.data_type == TensorProto.FLOAT
            and len(item.dims) == 2
            and min(item.dims) >= _LEAST
        }
        self._outputs = {item.name for item in graph.output}
        self._users = users_of(graph)
        found = (self._linear(node) for node in graph.node)
        self.linears = {one.output: one for one in found if one is not None}

    def zeros(self, one: Linear) -> str:
        """Return the name of zeros in the graph, in place of the bias that a product lacks."""
        width = self._matrices[one.weights][1]
        name = f"int16/zeros/{width}"
        if name not in self._zeros:
            self._zeros.add(name)
            self._graph.initializer.append(
                numpy_helper.from_array(np.zeros(width, np.float32), name)
            )
        return name

    def feed_forwards(self) -> list[FeedForward]:
        """Return the layers of two products with an activation between that nothing else reads."""
        found = (self._feed_forward(one) for one in self.linears.values())
        return [one for one in found if one is not None]

    def _only_user(self, name: str) -> onnx.NodeProto | None:
        users = self._users.get(name, ())
        return users[0] if len(users) == 1 and name not in self._outputs else None

    def _linear(self, node: onnx.NodeProto) -> Linear | None:
        if node.op_type != "MatMul" or node.input[1] not in self._matrices:
            return None
        if node.input[1].startswith(_HEAD) or self._reader.is_constant(node.input[0]):
            return None
        one = Linear(node.input[0], node.input[1], "", None, node.output[0], (node,))
        one = self._with_bias(one)
        activated = activations.find(self._reader, self._users, one.output)
        if activated is not None and one.output not in self._outputs:
            return replace(
                one,
                activation=activated.activation,
                output=activated.output,
                nodes=(*one.nodes, *activated.nodes),
            )
        return one

    def _with_bias(self, one: Linear) -> Linear:
        add = self._added(one)
        bias = _other(add, one.output) if add is not None else ""
        if add is None or not self._reader.is_constant(bias) or self._reader.rank(bias) != 1:
            return one
        return replace(one, bias=bias, output=add.output[0], nodes=(*one.nodes, add))

    def _added(self, one: Linear) -> onnx.NodeProto | None:
        node = self._only_user(one.output)
        return node if node is not None and node.op_type == "Add" else None

    def _feed_forward(self, down: Linear) -> FeedForward | None:
        """Return the layer that ends in this product."""
        if down.activation is not None or self._only_user(down.input) is None:
            return None
        up = self.linears.get(down.input)
        if up is not None and up.activation is not None:
            return FeedForward(up, None, False, down, (*up.nodes, *down.nodes))
        product = self._reader.made_by(down.input, "Mul")
        if product is None:
            return None
        for one, other in (product.input, product.input[::-1]):
            found = self._gated(one, other)
            if found is not None:
                up, gate, nodes = found
                every = (*nodes, product, *down.nodes)
                return FeedForward(up, gate, gate is None, down, every)
        return None

    def _gated(
        self, activated: str, gate: str
    ) -> tuple[Linear, Linear | None, tuple[onnx.NodeProto, ...]] | None:
        """Return the product or products of one input of which one side, activated, is a gate's."""
        if self._only_user(activated) is None or self._only_user(gate) is None:
            return None
        up, other = self.linears.get(activated), self.linears.get(gate)
        if up is not None and up.activation is not None and other is not None:
            plain = other.activation is None and other.input == up.input
            alike = bool(up.bias) == bool(other.bias)
            return (up, other, (*up.nodes, *other.nodes)) if plain and alike else None
        return self._halved(activated, gate)

    def _halved(
        self, activated: str, gate: str
    ) -> tuple[Linear, None, tuple[onnx.NodeProto, ...]] | None:
        """Return the one product whose first half is activated, and whose second is the gate."""
        cut = self._reader.producer(gate)
        up = self.linears.get(cut.input[0]) if cut is not None else None
        if up is None or up.activation or up.output in self._outputs:
            return None
        width = self._matrices[up.weights][1]
        halves = column_halves.find(self._reader, self._users, up.output, width)
        if halves is None or halves.second != gate:
            return None
        found = activations.find(self._reader, self._users, halves.first)
        if found is None or found.output != activated:
            return None
        up = replace(up, activation=found.activation)
        return up, None, (*up.nodes, *halves.nodes, *found.nodes)


def of_one_input(linears: Sequence[Linear], most: int) -> list[list[Linear]]:
    """Group products of one input, up to `most` in a group."""
    groups: dict[str, list[list[Linear]]] = {}
    for one in linears:
        found = groups.setdefault(one.input, [[]])
        if len(found[-1]) == most:
            found.append([])
        found[-1].append(one)
    return [group for found in groups.values() for group in found]


def _other(node: onnx.NodeProto, name: str) -> str:
    first, second = node.input
    return str(second if first == name else first)
