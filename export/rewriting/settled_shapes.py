"""Settled shapes: what a graph computes of the shapes of its inputs, where that never changes.

Converters write out the length of every axis that they reshape to, in dozens of nodes a layer. What
such nodes compute is found by running a few batches of different shapes: what is the same for all
of them is a constant, and an axis that is as long as before need not be named.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from app.model.names import POOLING_MASK
from export.graph.builder import Builder
from export.graph.reader import Reader, needs, opset, prune, rename, replace_nodes

Array = NDArray[Any]
Feed = Mapping[str, NDArray[np.int64]]
# Runs a graph beside its weights, and returns its outputs by name for each feed.
Run = Callable[[onnx.ModelProto, Sequence[Feed]], list[dict[str, Array]]]

LENGTH = "shapes/length"  # (): the tokens of each row, padding included
_BATCHES = ((2, 3), (3, 5), (5, 7))  # rows and tokens: no axis of a model is as long as in all
_MOST = 1024  # entries of a constant
_MASKS = frozenset({"attention_mask", POOLING_MASK})
_STEPS = 4  # the place of this input of Slice
_SAME: Mapping[str, int] = {"Reshape": 0, "Expand": 1}  # the length of an axis that is kept
_REST = -1  # that of the one axis that Reshape works out


def settle(model: onnx.ModelProto, run: Run) -> None:
    """Put constants in place of what is computed of shapes alone, in place.

    The graph's constants must be lifted.
    """
    graph = model.graph
    free = _free(graph)
    reader = Reader(graph)
    moves = [one for one in graph.node if one.output[0] not in free and _moves(reader, one)]
    ends = dict.fromkeys(name for node in moves for name in (node.input[0], node.output[0]))
    if not (free or ends):
        return
    feeds = [feed(graph, np.ones(batch, np.int64)) for batch in _BATCHES]
    seen = _Seen(run(asking(model, free, ends), feeds))
    constants = {name: value for name in free if (value := seen.constant(name)) is not None}
    passed = dict.fromkeys(filter(seen.is_length, free), LENGTH)
    outputs = {item.name for item in graph.output}
    builder = Builder(opset(model), "shapes")
    shape = builder.node("Shape", graph.input[0].name)
    builder.node("Gather", shape, builder.integer(1), output=LENGTH)
    for node in moves:
        if node.output[0] not in outputs and seen.is_passed_on(node):
            passed[node.output[0]] = node.input[0]
        elif node.op_type in _SAME and (target := seen.target(node)) is not None:
            node.input[1] = builder.integers(*target)
            del node.attribute[:]  # which may give 0 another meaning
    gone = constants.keys() | passed.keys()
    kept = [node for node in graph.node if not gone.issuperset(node.output)]
    rename(kept, {name: _end(passed, name) for name in passed})
    replace_nodes(graph, [*builder.nodes, *kept])
    graph.initializer.extend(builder.constants.values())
    graph.initializer.extend(numpy_helper.from_array(one, name) for name, one in constants.items())
    prune(graph)


def asking(
    model: onnx.ModelProto, values: Iterable[str], shapes: Iterable[str] = ()
) -> onnx.ModelProto:
    """Return a copy of a graph that yields these tensors, and the shapes of those, alone."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    graph = asked.graph
    for name in shapes:
        graph.node.append(helper.make_node("Shape", [name], [_shape_of(name)]))
    del graph.output[:]
    names = [*values, *map(_shape_of, shapes)]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    prune(graph)
    return asked


def feed(graph: onnx.GraphProto, mask: NDArray[np.int64]) -> Feed:
    """Return inputs of a graph with this mask (B, S), and zeros elsewhere."""
    zeros = np.zeros_like(mask)
    return {item.name: mask if item.name in _MASKS else zeros for item in graph.input}


class _Seen:
    """The tensors of each batch, and the lengths of the axes of others."""

    def __init__(self, batches: list[dict[str, Array]]) -> None:
        self._batches = batches

    def constant(self, name: str) -> Array | None:
        """Return the value of a tensor if it was the same in each batch, and is small."""
        first, *others = (batch[name] for batch in self._batches)
        same = first.size <= _MOST and all(np.array_equal(first, one) for one in others)
        return first if same else None

    def is_length(self, name: str) -> bool:
        """Check whether a tensor was the number of tokens in each batch."""
        values = [batch[name] for batch in self._batches]
        return all(
            value.shape == () and value.dtype == np.int64 and value == length
            for value, (_, length) in zip(values, _BATCHES, strict=True)
        )

    def is_passed_on(self, node: onnx.NodeProto) -> bool:
        """Check whether a node yielded what it was given, in each batch."""
        return self._shapes(node.input[0]) == self._shapes(node.output[0])

    def target(self, node: onnx.NodeProto) -> list[int] | None:
        """Return the one shape that a node can be given for every batch, if there is one."""
        same, found = _SAME[node.op_type], []
        before, after = self._shapes(node.input[0]), self._shapes(node.output[0])
        added = len(after[0]) - len(before[0]) if node.op_type == "Expand" else 0
        for axis, lengths in enumerate(zip(*after, strict=True)):
            old = [shape[axis - added : axis - added + 1] for shape in before if axis >= added]
            if old == [[length] for length in lengths]:
                found.append(same)
            else:
                found.append(lengths[0] if len(set(lengths)) == 1 else _REST)
        return found if found.count(_REST) <= (node.op_type == "Reshape") else None

    def _shapes(self, name: str) -> list[list[int]]:
        return [batch[_shape_of(name)].tolist() for batch in self._batches]


def _free(graph: onnx.GraphProto) -> dict[str, None]:
    """Return the computed tensors that no value of an input reaches, and no weights."""
    held = {item.name for item in graph.initializer if np.prod(item.dims) > _MOST}
    held.update(item.name for item in graph.input)
    found: dict[str, None] = {}
    for node in graph.node:
        if node.op_type == "Shape" or held.isdisjoint(needs(node)):
            found.update(dict.fromkeys(node.output))
        else:
            held.update(node.output)
    return found


def _moves(reader: Reader, node: onnx.NodeProto) -> bool:
    """Check whether a node hands on what it is given, in order."""
    if node.op_type != "Slice" or len(node.input) <= _STEPS:
        return node.op_type in {*_SAME, "Slice"}
    steps = reader.small(node.input[_STEPS])
    return steps is not None and bool(np.all(steps == 1))


def _shape_of(name: str) -> str:
    return f"shape of {name}"


def _end(passed: Mapping[str, str], name: str) -> str:
    while name in passed:
        name = passed[name]
    return name
