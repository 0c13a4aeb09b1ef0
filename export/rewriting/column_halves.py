"""Column halves: where a graph cuts a tensor into two halves of its last axis, and uses only these.

Converters write this as one Split, or as two slices whose ends are computed from the width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from export.graph.reader import Reader, Users, attribute

_ARITHMETIC = frozenset({"Gather", "Add", "Mul", "Div"})
_LAST = -1
_SLICE_INPUTS = 4  # data, starts, ends, axes


@dataclass(frozen=True, slots=True)
class Halves:
    """The two halves of a tensor, and the nodes that cut them."""

    first: str
    second: str
    nodes: tuple[onnx.NodeProto, ...]


def find(reader: Reader, users: Users, name: str, width: int) -> Halves | None:
    """Find the halves of a tensor (…, width) that nothing reads as a whole."""
    read_by = users.get(name, ())
    cuts = [node for node in read_by if node.op_type != "Shape"]
    shapes = [node for node in read_by if node.op_type == "Shape"]
    if width % 2 or not all(_ends_in(users, node.output[0], cuts) for node in shapes):
        return None
    if len(cuts) == 1:
        return _split(reader, cuts[0], width)
    ranges = [_range(reader, node, name, width) for node in cuts]
    if sorted(map(str, ranges)) != sorted(map(str, [(0, width // 2), (width // 2, width)])):
        return None
    first, second = cuts if ranges[0] == (0, width // 2) else cuts[::-1]
    return Halves(first.output[0], second.output[0], (first, second))


def _split(reader: Reader, node: onnx.NodeProto, width: int) -> Halves | None:
    if node.op_type != "Split" or len(node.output) != 2 or attribute(node, "axis", 0) != _LAST:
        return None
    if len(node.input) > 1:
        sizes = reader.small(node.input[1])
        if sizes is None or sizes.tolist() != [width // 2, width // 2]:
            return None
    return Halves(node.output[0], node.output[1], (node,))


def _range(reader: Reader, node: onnx.NodeProto, name: str, width: int) -> tuple[int, int] | None:
    """Return which columns a slice takes, or None if it takes something else."""
    if node.op_type != "Slice" or len(node.input) != _SLICE_INPUTS or node.input[0] != name:
        return None
    start, end, axis = (_integer(reader, one, name, width) for one in node.input[1:])
    if start is None or end is None or axis != _LAST:
        return None
    return start, min(end, width)


def _integer(reader: Reader, tensor: str, name: str, width: int) -> int | None:
    """Return the value of a tensor of one integer, computed from the width of `name` at most."""
    known = reader.small(tensor)
    if known is not None:
        return int(known.item()) if known.size == 1 else None
    node = reader.producer(tensor)
    if node is None or node.op_type not in _ARITHMETIC:
        return None
    if node.op_type == "Gather":
        shape = reader.made_by(node.input[0], "Shape")
        last = shape is not None and shape.input[0] == name
        return width if last and reader.number(node.input[1]) == _LAST else None
    first, second = (_integer(reader, one, name, width) for one in node.input)
    if first is None or second is None or (node.op_type == "Div" and second <= 0):
        return None
    if node.op_type == "Div":
        return first // second
    return first + second if node.op_type == "Add" else first * second


def _ends_in(users: Users, name: str, last: Sequence[onnx.NodeProto]) -> bool:
    """Check that arithmetic leads from a tensor to these nodes and nowhere else."""
    return all(
        node in last or (node.op_type in _ARITHMETIC and _ends_in(users, node.output[0], last))
        for node in users.get(name, ())
    )
