"""Reader: which node computes a tensor, what is constant, and what no output needs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, helper, numpy_helper

MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators
_STANDARD = frozenset({"", "ai.onnx"})  # both are the standard's domain, by the ONNX specification


Users = Mapping[str, Sequence[onnx.NodeProto]]  # the nodes that read each tensor


class Reader:
    """An index of a graph as it was when the index was made."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._producers = {name: node for node in graph.node for name in node.output}
        self._constants = {item.name: item for item in graph.initializer}

    def producer(self, name: str) -> onnx.NodeProto | None:
        """Return the node that computes a tensor; None for inputs and constants."""
        return self._producers.get(name)

    def made_by(self, name: str, operator: str) -> onnx.NodeProto | None:
        """Return the node that computes a tensor, if it has this operator."""
        node = self._producers.get(name)
        return node if node is not None and node.op_type == operator else None

    def is_constant(self, name: str) -> bool:
        """Check whether the graph holds the values of a tensor."""
        return name in self._constants

    def rank(self, name: str) -> int:
        """Return how many axes a constant has."""
        return len(self._constants[name].dims)

    def small(self, name: str) -> NDArray | None:  # type: ignore[type-arg]  # of any type
        """Return the values of a constant if they are stored in the graph itself, else None."""
        item = self._constants.get(name)
        if item is None or item.data_location == onnx.TensorProto.EXTERNAL:
            return None
        return numpy_helper.to_array(item)

    def number(self, name: str) -> float | None:
        """Return the value of a constant that is one number, else None."""
        value = self.small(name)
        return float(value.item()) if value is not None and value.size == 1 else None

    def fed_by(self, name: str) -> frozenset[str]:
        """Return the graph's inputs whose values reach a tensor; their shapes do not count."""
        found, pending, seen = set(), [name], {""}
        while pending:
            one = pending.pop()
            if one in seen or self.is_constant(one):
                continue
            seen.add(one)
            node = self._producers.get(one)
            if node is None:
                found.add(one)
            elif node.op_type != "Shape":
                pending.extend(needs(node))
        return frozenset(found)


def attribute(node: onnx.NodeProto, name: str, default: object = None) -> object:
    """Return the value of a node's attribute, or the default."""
    found = (one for one in node.attribute if one.name == name)
    return next((helper.get_attribute_value(one) for one in found), default)


def lift_constants(graph: onnx.GraphProto) -> None:
    """Make `Constant` nodes initializers, and drop `Identity` nodes that rename one, in place."""
    known = {item.name: item.name for item in graph.initializer}
    outputs = {item.name for item in graph.output}
    kept = []
    for node in graph.node:
        value = attribute(node, "value") if node.op_type == "Constant" else None
        if isinstance(value, onnx.TensorProto):
            value.name = node.output[0]
            graph.initializer.append(value)
            known[value.name] = value.name
        elif (
            node.op_type == "Identity"
            and node.input[0] in known
            and outputs.isdisjoint(node.output)
        ):
            known[node.output[0]] = known[node.input[0]]
        else:
            rename([node], known)
            kept.append(node)
    replace_nodes(graph, kept)


def rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Rename tensors wherever the nodes mention them, including in branches and loops."""
    for node in nodes:
        for mentioned in (node.input, node.output):
            for i, name in enumerate(mentioned):
                mentioned[i] = names.get(name, name)
        for one in node.attribute:
            if one.type == AttributeProto.GRAPH:
                _rename_inside(one.g, names)


def _rename_inside(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename in a branch or a loop, except names that it declares itself."""
    own = {item.name for item in (*graph.input, *graph.initializer)}
    outer = {name: names[name] for name in names.keys() - own}
    rename(graph.node, outer)
    for item in graph.output:  # what its nodes yield
        item.name = outer.get(item.name, item.name)


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Replace all nodes of a graph."""
    del graph.node[:]
    graph.node.extend(nodes)


def rebuild(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    constants: Iterable[onnx.TensorProto] = (),
) -> None:
    """Replace all nodes of a graph, drop constants that are no longer needed, and add others."""
    used = {item.name for item in graph.output}.union(*map(needs, nodes))
    kept = [item for item in graph.initializer if item.name in used]
    replace_nodes(graph, nodes)
    del graph.initializer[:]
    graph.initializer.extend([*kept, *constants])


def prune(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no output needs."""
    needed = {item.name for item in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(needs(node))
            kept.append(node)
    rebuild(graph, kept[::-1])


def needs(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, including those in its branches and loops."""
    yield from node.input
    for one in node.attribute:
        if one.type == AttributeProto.GRAPH:
            for inner in one.g.node:
                yield from needs(inner)
            yield from (item.name for item in one.g.output)  # a branch may return an outer tensor


def users_of(graph: onnx.GraphProto) -> Users:
    """Return the nodes that read each tensor, in the graph's order."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(needs(node)):
            found.setdefault(name, []).append(node)
    return found


def import_standard(model: onnx.ModelProto, version: int) -> None:
    """Declare the standard operators in this version, unless the model declares one."""
    if all(one.domain not in _STANDARD for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", version))


def import_microsoft(model: onnx.ModelProto) -> None:
    """Declare ONNX Runtime's own operators, unless the model does."""
    if all(one.domain != MICROSOFT for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))


def opset(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a model uses."""
    return int(next(one.version for one in model.opset_import if one.domain in _STANDARD))
